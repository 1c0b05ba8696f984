"""How a server is asked for much: many at a time, no more than it bears, again where that helps."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import asynccontextmanager
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from queue import SimpleQueue
from threading import Thread
from typing import TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")

_FIRST_LIMIT = 4
_LONGEST_BACK_OFF = 8.0


class PassingError(Exception):
    """A failure that may heal by itself.

    Args:
        message: What happened.
        overloaded: Whether it means that the server is asked for too much at a time.
        wait: Seconds the server wants to be left alone by everybody.
    """

    def __init__(self, message: str, *, overloaded: bool = False, wait: float = 0.0) -> None:
        super().__init__(message)
        self.overloaded = overloaded
        self.wait = wait


class Pace:
    """How many may ask at a time: more while all goes well, half as many on a sign of overload.

    The limit doubles with every round of answers until the first such sign, then grows by one a
    round (as TCP does), so a server's bound is found in seconds and seldom passed again.

    Args:
        ceiling: Never more than this.
    """

    def __init__(self, ceiling: int) -> None:
        self.limit = min(_FIRST_LIMIT, ceiling)
        self._ceiling = ceiling
        self._asking = 0
        self._well = 0
        self._last_cut = 0.0
        self._quiet_until = 0.0
        self._freed = asyncio.Condition()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn to ask; a `PassingError` raised within it sets the pace for all."""
        async with self._freed:
            await self._freed.wait_for(lambda: self._asking < self.limit)
            self._asking += 1
        try:
            while (rest := self._quiet_until - time.monotonic()) > 0:
                await asyncio.sleep(rest)
            began = time.monotonic()
            yield
            self._went_well()
        except PassingError as error:
            self._quiet_until = max(self._quiet_until, time.monotonic() + error.wait)
            # One cut per burst: who asked before the last cut tells nothing new.
            if error.overloaded and began >= self._last_cut:
                self.limit = max(1, self.limit // 2)
                self._well, self._last_cut = 0, time.monotonic()
            raise
        finally:
            self._asking -= 1
            async with self._freed:
                self._freed.notify(max(0, self.limit - self._asking))

    def _went_well(self) -> None:
        self._well += 1
        if not self._last_cut or self._well >= self.limit:
            self.limit, self._well = min(self._ceiling, self.limit + 1), 0


async def persist(ask: Callable[[], Awaitable[Answer]], pace: Pace, max_retries: int) -> Answer:
    """Return what `ask` returns, asking again after passing errors, each time after a longer wait.

    Raises:
        PassingError: The last one, if every retry ended in one.
    """
    from tenacity import (
        AsyncRetrying,
        retry_if_exception_type,
        stop_after_attempt,
        wait_exponential_jitter,
    )

    async def ask_in_turn() -> Answer:
        async with pace.turn():
            return await ask()

    retrying = AsyncRetrying(
        retry=retry_if_exception_type(PassingError),
        stop=stop_after_attempt(max_retries + 1),
        wait=wait_exponential_jitter(initial=0.5, max=_LONGEST_BACK_OFF),
        reraise=True,
    )
    return await retrying(ask_in_turn)


def as_they_arrive(
    items: Iterable[Item],
    answer: Callable[[Item], Awaitable[Answer]],
    *,
    window: int,
    close: Callable[[], Awaitable[object]],
) -> Iterator[Answer]:
    """Yield an answer per item, in any order, from an event loop in a thread of its own.

    When the iterator ends, by whatever cause, all that is under way is cancelled and the thread
    is gone.

    Args:
        items: Taken one by one in the caller's thread, as answers leave.
        answer: Answers one item, in the loop.
        window: How many items are under way or waiting to be taken, at most.
        close: Called in the loop at the end.

    Raises:
        Exception: The first that `answer` raises.
    """
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever, name="language-model", daemon=True)
    done: SimpleQueue[Future[Answer]] = SimpleQueue()
    under_way = 0

    async def answered(item: Item) -> Answer:
        return await answer(item)

    async def wind_up() -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await close()
        await loop.shutdown_asyncgens()
        await loop.shutdown_default_executor()

    try:
        thread.start()
        for item in items:
            asyncio.run_coroutine_threadsafe(answered(item), loop).add_done_callback(done.put)
            under_way += 1
            while under_way == window or not done.empty():
                yield done.get().result()
                under_way -= 1
        while under_way:
            yield done.get().result()
            under_way -= 1
    finally:
        try:
            asyncio.run_coroutine_threadsafe(wind_up(), loop).result()
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()


def seconds_to_wait(retry_after: str | None) -> float:
    """Return the seconds that a Retry-After header asks for; 0 without one, or if it says nothing.

    >>> seconds_to_wait("1.5"), seconds_to_wait(None), seconds_to_wait("soon")
    (1.5, 0.0, 0.0)
    >>> seconds_to_wait("Wed, 21 Oct 2015 07:28:00 GMT")
    0.0
    """
    if retry_after is None:
        return 0.0
    try:
        return max(0.0, float(retry_after))
    except ValueError:
        pass
    try:
        when = parsedate_to_datetime(retry_after)
    except ValueError:
        return 0.0
    if when.tzinfo is None:
        when = when.replace(tzinfo=timezone.utc)
    return max(0.0, (when - datetime.now(timezone.utc)).total_seconds())

"""How a server is asked for much: many at a time, no more than it bears, again where that helps."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Iterator
from contextlib import asynccontextmanager
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")

_FIRST_LIMIT = 4
_FIRST_BACK_OFF, _LONGEST_BACK_OFF = 0.5, 8.0


class PassingError(Exception):
    """A failure that may heal by itself."""


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
        self._waiting: deque[asyncio.Future[None]] = deque()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[float]:
        """Wait for a turn to ask; yield when it begins, by the monotonic clock."""
        mine = asyncio.get_running_loop().create_future()
        self._waiting.append(mine)
        self._admit()
        try:
            await mine
            while (rest := self._quiet_until - time.monotonic()) > 0:
                await asyncio.sleep(rest)
            yield time.monotonic()
        finally:
            if mine.done() and not mine.cancelled():
                self._asking -= 1
                self._admit()

    def went_well(self) -> None:
        """Take note of an answer."""
        self._well += 1
        if not self._last_cut or self._well >= self.limit:
            self.limit, self._well = min(self._ceiling, self.limit + 1), 0

    def overloaded(self, began: float) -> None:
        """Take note that the server was asked for too much at a time, in a turn begun then."""
        # One cut per burst: who asked before the last cut tells nothing new.
        if began >= self._last_cut:
            self.limit = max(1, self.limit // 2)
            self._well, self._last_cut = 0, time.monotonic()

    def keep_quiet(self, seconds: float) -> None:
        """Let nobody begin for so long."""
        self._quiet_until = max(self._quiet_until, time.monotonic() + seconds)

    def _admit(self) -> None:
        while self._waiting and self._asking < self.limit:
            if not (next_one := self._waiting.popleft()).done():  # it may be cancelled
                self._asking += 1
                next_one.set_result(None)


async def persist(ask: Callable[[], Awaitable[Answer]], max_retries: int) -> Answer:
    """Return what `ask` returns, asking again after passing errors, each time after a longer wait.

    Raises:
        PassingError: The last one, if every retry ended in one.
    """
    try:
        return await ask()  # nearly all end here: what retries need is set up for the others alone
    except PassingError as error:
        failed = [error]

    from tenacity import (
        AsyncRetrying,
        retry_if_exception_type,
        stop_after_attempt,
        wait_exponential_jitter,
    )

    async def again() -> Answer:
        if failed:
            raise failed.pop()
        return await ask()

    retrying = AsyncRetrying(
        retry=retry_if_exception_type(PassingError),
        stop=stop_after_attempt(max_retries + 1),
        wait=wait_exponential_jitter(initial=_FIRST_BACK_OFF, max=_LONGEST_BACK_OFF),
        reraise=True,
    )
    return await retrying(again)


def as_they_arrive(
    items: Iterable[Item],
    answer: Callable[[Item], Coroutine[Any, Any, Answer]],
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
    # Each thread wakes the other once for many: to change threads costs more than the rest here.
    taken: deque[Item] = deque()
    ended: list[asyncio.Task[Answer]] = []
    done: SimpleQueue[list[asyncio.Task[Answer]]] = SimpleQueue()
    under_way, ending = 0, False

    def begin() -> None:
        while taken and not ending:
            loop.create_task(answer(taken.popleft())).add_done_callback(end)

    def end(task: asyncio.Task[Answer]) -> None:
        # An error ends all here and now: the caller's thread may be busy with other answers.
        if not task.cancelled() and task.exception() and not ending:
            cancel_all()
        ended.append(task)
        if len(ended) == 1:
            loop.call_soon(hand_over)

    def hand_over() -> None:
        done.put(ended.copy())
        ended.clear()

    def cancel_all() -> set[asyncio.Task[Any]]:
        nonlocal ending
        ending = True
        others = asyncio.all_tasks(loop) - {asyncio.current_task(loop)}
        for task in others:
            task.cancel()
        return others

    async def wind_up() -> None:
        await asyncio.gather(*cancel_all(), return_exceptions=True)
        await close()
        await loop.shutdown_asyncgens()
        await loop.shutdown_default_executor()

    try:
        thread.start()
        for item in items:
            taken.append(item)
            if len(taken) == 1:
                loop.call_soon_threadsafe(begin)
            under_way += 1
            while under_way == window or not done.empty():
                for task in sorted(done.get(), key=_failed):  # what came is not lost to an error
                    yield task.result()
                    under_way -= 1
        while under_way:
            for task in sorted(done.get(), key=_failed):
                yield task.result()
                under_way -= 1
    finally:
        try:
            asyncio.run_coroutine_threadsafe(wind_up(), loop).result()
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()


def _failed(task: asyncio.Task[Any]) -> bool:
    return task.cancelled() or task.exception() is not None


def may_heal(status: int) -> bool:
    """Return whether a request that a server answers so may be answered better later."""
    return status in (408, 409, 429) or status >= 500


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

"""The pace, the retries and the thread, without any server."""

import asyncio
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from erc_kedro.llm.transport import Pace, PassingError, as_they_arrive, persist, seconds_to_wait


async def nothing() -> None:
    pass


class TestPace:
    @settings(max_examples=50, deadline=None)
    @given(st.integers(1, 20), st.lists(st.booleans(), max_size=60))
    def test_stays_between_one_and_the_ceiling(self, ceiling: int, goes_well: list[bool]) -> None:
        now, most, limits = 0, 0, []

        async def ask(pace: Pace, well: bool) -> None:
            nonlocal now, most
            try:
                async with pace.turn():
                    now += 1
                    most = max(most, now)
                    await asyncio.sleep(0)
                    now -= 1
                    if not well:
                        raise PassingError("busy", overloaded=True)
            except PassingError:
                pass
            limits.append(pace.limit)

        async def run() -> None:
            pace = Pace(ceiling)
            await asyncio.gather(*(ask(pace, well) for well in goes_well))

        asyncio.run(run())
        assert len(limits) == len(goes_well)
        assert all(1 <= limit <= ceiling for limit in limits)
        assert most <= ceiling

    @staticmethod
    async def one(pace: Pace, error: PassingError | None = None) -> None:
        async with pace.turn():
            if error is not None:
                raise error

    def test_grows_fast_at_first_and_slowly_after_a_cut(self) -> None:
        async def run() -> list[int]:
            pace, limits = Pace(64), []
            for _ in range(12):
                await self.one(pace)
            limits.append(pace.limit)
            with pytest.raises(PassingError):
                await self.one(pace, PassingError("busy", overloaded=True))
            limits.append(pace.limit)
            for _ in range(8):
                await self.one(pace)
            limits.append(pace.limit)
            return limits

        assert asyncio.run(run()) == [16, 8, 9]

    def test_one_burst_of_refusals_is_one_cut(self) -> None:
        async def refused(pace: Pace) -> None:
            with pytest.raises(PassingError):
                async with pace.turn():
                    await asyncio.sleep(0.05)
                    raise PassingError("busy", overloaded=True)

        async def run() -> int:
            pace = Pace(4)
            await asyncio.gather(*(refused(pace) for _ in range(4)))
            return pace.limit

        assert asyncio.run(run()) == 2

    def test_a_failure_that_is_no_overload_cuts_nothing(self) -> None:
        async def run() -> int:
            pace = Pace(4)
            with pytest.raises(PassingError):
                await self.one(pace, PassingError("broken"))
            return pace.limit

        assert asyncio.run(run()) == 4

    def test_a_wait_is_for_everybody(self) -> None:
        async def run() -> float:
            pace = Pace(4)
            with pytest.raises(PassingError):
                await self.one(pace, PassingError("busy", wait=0.3))
            began = time.monotonic()
            await asyncio.gather(*(self.one(pace) for _ in range(3)))
            return time.monotonic() - began

        assert asyncio.run(run()) >= 0.29


class TestPersist:
    @staticmethod
    def run(failures: int, max_retries: int) -> tuple[str, int]:
        asked = 0

        async def ask() -> str:
            nonlocal asked
            asked += 1
            if asked <= failures:
                raise PassingError(f"failure {asked}")
            return "answer"

        async def run() -> str:
            return await persist(ask, Pace(1), max_retries)

        return asyncio.run(run()), asked

    def test_asks_again_until_it_is_answered(self) -> None:
        assert self.run(1, 3) == ("answer", 2)

    def test_gives_up_with_the_last_failure(self) -> None:
        with pytest.raises(PassingError, match="failure 2"):
            self.run(9, 1)

    def test_does_not_ask_again_after_another_error(self) -> None:
        asked = 0

        async def ask() -> str:
            nonlocal asked
            asked += 1
            raise ValueError("wrong for good")

        async def run() -> str:
            return await persist(ask, Pace(1), 5)

        with pytest.raises(ValueError, match="wrong for good"):
            asyncio.run(run())
        assert asked == 1


class TestAsTheyArrive:
    @settings(max_examples=30, deadline=None)
    @given(st.lists(st.integers(0, 3), max_size=30), st.integers(1, 5))
    def test_answers_all_and_takes_no_more_than_the_window(
        self, delays: list[int], window: int
    ) -> None:
        taken, given_ = 0, []

        def items() -> Iterator[tuple[int, int]]:
            nonlocal taken
            for item in enumerate(delays):
                taken += 1
                yield item

        async def answer(item: tuple[int, int]) -> int:
            await asyncio.sleep(item[1] / 1000)
            return item[0]

        for number in as_they_arrive(items(), answer, window=window, close=nothing):
            given_.append(number)
            assert taken - len(given_) <= window
        assert sorted(given_) == list(range(len(delays)))
        assert "language-model" not in {t.name for t in threading.enumerate()}

    def test_the_first_error_cancels_the_others_and_closes(self) -> None:
        cancelled, closed = [], []

        async def answer(item: int) -> int:
            if item == 2:
                raise ValueError("two")
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                cancelled.append(item)
                raise
            return item

        async def close() -> None:
            closed.append(True)

        with pytest.raises(ValueError, match="two"):
            list(as_they_arrive(range(4), answer, window=10, close=close))
        assert sorted(cancelled) == [0, 1, 3] or sorted(cancelled) == [0, 1]
        assert closed == [True]

    def test_never_started_it_starts_nothing(self) -> None:
        before = threading.active_count()
        answers = as_they_arrive([1], asyncio.sleep, window=1, close=nothing)
        assert threading.active_count() == before
        del answers


@settings(max_examples=50)
@given(st.integers(-3600, 3600))
def test_a_date_to_wait_for_is_turned_to_seconds(seconds: int) -> None:
    when = datetime.now(timezone.utc) + timedelta(seconds=seconds)
    wait = seconds_to_wait(format_datetime(when, usegmt=True))
    assert max(0, seconds) - 2 <= wait <= max(0, seconds)
    assert seconds_to_wait(str(seconds)) == max(0, seconds)

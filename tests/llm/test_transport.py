"""The pace, the retries and the thread, without any server."""

import asyncio
import gc
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
            async with pace.turn() as began:
                now += 1
                most = max(most, now)
                await asyncio.sleep(0)
                now -= 1
                if well:
                    pace.went_well()
                else:
                    pace.overloaded(began)
            limits.append(pace.limit)

        async def run() -> None:
            pace = Pace(ceiling)
            await asyncio.gather(*(ask(pace, well) for well in goes_well))

        asyncio.run(run())
        assert len(limits) == len(goes_well)
        assert all(1 <= limit <= ceiling for limit in limits)
        assert most <= ceiling

    @settings(max_examples=50, deadline=None)
    @given(
        st.lists(
            st.tuples(st.sampled_from(["ends", "fails", "is cancelled"]), st.integers(0, 3)),
            max_size=40,
        )
    )
    def test_no_turn_is_lost(self, fates: list[tuple[str, int]]) -> None:
        async def ask(pace: Pace, fate: str) -> None:
            async with pace.turn():
                await asyncio.sleep(0)
                if fate == "fails":
                    raise PassingError("broken")

        async def run() -> list[object]:
            pace = Pace(3)
            tasks = [asyncio.create_task(ask(pace, fate)) for fate, _ in fates]
            for task, (fate, steps) in zip(tasks, fates, strict=True):
                if fate == "is cancelled":
                    for _ in range(steps):
                        await asyncio.sleep(0)
                    task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            inside = 0

            async def together() -> None:
                nonlocal inside
                async with pace.turn():
                    inside += 1
                    while inside < 3:
                        await asyncio.sleep(0)

            last = asyncio.gather(*(together() for _ in range(3)))
            return list(await asyncio.wait_for(last, 5))

        assert asyncio.run(run()) == [None] * 3

    def test_grows_fast_at_first_and_slowly_after_a_cut(self) -> None:
        pace, limits = Pace(64), []
        for _ in range(12):
            pace.went_well()
        limits.append(pace.limit)
        pace.overloaded(time.monotonic())
        limits.append(pace.limit)
        for _ in range(8):
            pace.went_well()
        assert [*limits, pace.limit] == [16, 8, 9]

    def test_one_burst_of_refusals_is_one_cut(self) -> None:
        pace, began = Pace(4), time.monotonic()
        for _ in range(4):
            pace.overloaded(began)
        assert pace.limit == 2

    def test_a_wait_is_for_everybody(self) -> None:
        async def one(pace: Pace) -> None:
            async with pace.turn():
                pass

        async def run() -> float:
            pace = Pace(4)
            pace.keep_quiet(0.3)
            began = time.monotonic()
            await asyncio.gather(*(one(pace) for _ in range(3)))
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
            return await persist(ask, max_retries)

        return asyncio.run(run()), asked

    def test_asks_again_until_it_is_answered(self) -> None:
        assert self.run(1, 3) == ("answer", 2)

    @pytest.mark.parametrize("max_retries", [0, 1])
    def test_gives_up_with_the_last_failure(self, max_retries: int) -> None:
        with pytest.raises(PassingError, match=f"failure {max_retries + 1}"):
            self.run(9, max_retries)

    def test_waits_longer_each_time_but_never_too_long(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        waits: list[float] = []

        async def note(seconds: float) -> None:
            waits.append(seconds)

        monkeypatch.setattr("erc_kedro.llm.transport.asyncio.sleep", note)
        self.run(9, 9)
        bounds = [(0.5, 1.5), (1, 2), (2, 3), (4, 5), *[(8, 8)] * 5]
        assert len(waits) == 9
        assert all(low <= wait <= high for wait, (low, high) in zip(waits, bounds, strict=True))

    def test_does_not_ask_again_after_another_error(self) -> None:
        asked = 0

        async def ask() -> str:
            nonlocal asked
            asked += 1
            raise ValueError("wrong for good")

        with pytest.raises(ValueError, match="wrong for good"):
            asyncio.run(persist(ask, 5))
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

    def test_an_error_ends_the_others_though_the_caller_is_busy(self) -> None:
        begun: list[int] = []

        async def answer(item: int) -> int:
            begun.append(item)
            await asyncio.sleep(0.05 if item == 1 else 0)
            if item == 1:
                raise ValueError("one")
            if item:
                await asyncio.sleep(60)
            return item

        answers = as_they_arrive(range(50), answer, window=3, close=nothing)
        assert next(answers) == 0
        time.sleep(0.3)
        with pytest.raises(ValueError, match="one"):
            list(answers)
        assert len(begun) <= 4  # a window's more than the first, if that came at once

    def test_what_came_with_an_error_is_not_lost_to_it(self) -> None:
        async def answer(item: int) -> int:
            await asyncio.sleep(0)
            if item == 0:
                raise ValueError("zero")
            return item

        answers = as_they_arrive(range(5), answer, window=5, close=nothing)
        got = []
        with pytest.raises(ValueError, match="zero"):
            for one in answers:
                got.append(one)
                time.sleep(0.1)
        assert got == sorted(got)

    def test_errors_nobody_comes_to_are_not_logged(self, caplog: pytest.LogCaptureFixture) -> None:
        async def answer(item: int) -> int:
            raise ValueError(str(item))

        gc.collect()
        caplog.clear()
        with pytest.raises(ValueError, match="0"):
            list(as_they_arrive(range(9), answer, window=9, close=nothing))
        gc.collect()
        assert caplog.text == ""

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

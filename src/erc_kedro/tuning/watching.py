"""How a search goes: counted on the screen, the best so far and the time left in the log."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from heapq import heapify, heapreplace
from statistics import fmean
from typing import TYPE_CHECKING

from optuna.trial import TrialState

from erc_kedro.core.progress import Telling, counting
from erc_kedro.tuning import marks
from erc_kedro.tuning.tables import best_of

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from erc_kedro.tuning.study import Study

logger = logging.getLogger(__name__)


@contextmanager
def watching(study: "Study", wanted: int, workers: int, every: float) -> "Iterator[Watch]":
    """Show how a search goes while it does, and what came of it.

    Args:
        study: The study.
        wanted: How many complete trials it shall have.
        workers: How many try settings here.
        every: Seconds between two lines in the log; a better trial has a line at once.
    """
    trials = study.trials()
    before = len(marks.complete(trials))
    what = "Searching" if before == 0 else "Going on with the search of"
    with counting("tuning", wanted - before, "trials", logged=True) as advance:
        watch = Watch(study, wanted, every, trials, workers, advance)
        watch.say(f"{what} study {study.name!r} in {study.storage}")
        yield watch
    watch.say("Searched")


class Watch:
    """Takes in how a search goes, and says it."""

    def __init__(
        self,
        study: "Study",
        wanted: int,
        every: float,
        trials: "Sequence[FrozenTrial]",
        idle: int,
        advance: Callable[[int], None],
    ) -> None:
        self._study, self._wanted, self._every, self._advance = study, wanted, every, advance
        self._trials, self._idle = trials, idle
        self._said = time.monotonic()
        self._done = len(marks.complete(trials))
        self._best = best_of(trials)
        self._telling = Telling(self._numbers)
        self._telling.after(self._done, at_once=True)  # what a search that goes on begins with

    def is_due(self) -> bool:
        """Say whether it is time for a line."""
        return time.monotonic() - self._said >= self._every

    def see(self, trials: "Sequence[FrozenTrial]", idle: int) -> None:
        """Take in how all trials are now, and how many workers here have none."""
        self._trials, self._idle = trials, idle
        done = len(marks.complete(trials))
        more, self._done = done - self._done, done
        if more:
            best = best_of(trials)
            if best != self._best:
                self._best = best
                self.say(f"Trial {best} is the best so far")
                self._telling.after(done, at_once=True)
        if self.is_due():
            self.say("Tuning")
        self._advance(more)

    def say(self, what: str) -> None:
        """Write a line that says how it goes."""
        self._said = time.monotonic()
        states = [trial.state for trial in self._trials]
        parts = [f"{self._done} of {self._wanted} trials done"]
        if running := states.count(TrialState.RUNNING):
            parts.append(f"{running} running")
        failed = [t for t in self._trials if t.state == TrialState.FAIL]
        if n := sum(t.user_attrs.get(marks.REASON) != marks.NOT_NEEDED for t in failed):
            parts.append(f"{n} failed")
        if self._best is not None:
            values = self._trials[self._best].values
            pairs = zip(self._study.objectives, values, strict=True)
            parts.append("best " + ", ".join(f"{name} {value:.4f}" for name, value in pairs))
        logger.info("%s: %s%s", what, "; ".join(parts), self._time_left())

    def _time_left(self) -> str:
        took = [t.user_attrs.get(marks.SECONDS) for t in marks.complete(self._trials)]
        known = [seconds for seconds in took if seconds is not None]
        if not known or self._done >= self._wanted:
            return ""
        now = datetime.now()
        running = [
            (now - trial.datetime_start).total_seconds()
            for trial in self._trials
            if trial.state == TrialState.RUNNING and trial.datetime_start
        ]
        seconds = seconds_left(fmean(known), running, self._idle, self._wanted - self._done)
        if seconds < 1:
            return ""
        if seconds < 120:
            return f"; about {seconds:.0f} s left"
        return f"; about {seconds / 60:.0f} min left"

    def _numbers(self) -> dict[str, float]:
        if self._best is None:
            return {}
        values = self._trials[self._best].values
        pairs = zip(self._study.objectives, values, strict=True)
        return {f"tuning_best_{name}": float(value) for name, value in pairs}


def seconds_left(each: float, running: Sequence[float], idle: int, left: int) -> float:
    """Return the seconds until so many more trials are complete.

    Args:
        each: Seconds that a trial takes.
        running: For how long each that is under way has been.
        idle: How many workers can begin one now.
        left: How many trials, those under way among them.
    """
    ends = [min(each, max(0.0, each - since)) for since in running] + idle * [0.0]
    heapify(ends)
    for _ in range(left - len(running) if ends else 0):
        heapreplace(ends, ends[0] + each)
    return max(ends, default=each * left)

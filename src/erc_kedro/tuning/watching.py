"""How a search goes: counted on the screen, the best so far and the time left in the log."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from optuna.trial import TrialState

from erc_kedro.core.progress import Telling, counting
from erc_kedro.tuning import marks
from erc_kedro.tuning.tables import best_of

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from erc_kedro.tuning.study import Study

logger = logging.getLogger(__name__)

See = Callable[[Sequence["FrozenTrial"], int], None]
"""Takes all trials as they are now, and how many of them run here."""


@contextmanager
def watching(study: "Study", wanted: int, every: float) -> Iterator[See]:
    """Show how a search goes while it does, and what came of it.

    Args:
        study: The study.
        wanted: How many complete trials it shall have.
        every: Seconds between two lines in the log; a better trial has a line at once.
    """
    trials = study.trials()
    before = len(marks.complete(trials))
    watch = _Watch(study, wanted, every, trials)
    watch.say("Searching" if before == 0 else "Going on with the search")
    with counting("tuning", wanted - before, "trials", logged=True) as advance:

        def see(trials: Sequence["FrozenTrial"], running: int) -> None:
            advance(watch.see(trials))

        yield see
    watch.say("Searched")


class _Watch:
    def __init__(
        self, study: "Study", wanted: int, every: float, trials: "Sequence[FrozenTrial]"
    ) -> None:
        self._study, self._wanted, self._every = study, wanted, every
        self._trials = trials
        self._began = self._said = time.monotonic()
        self._before = self._done = len(marks.complete(trials))
        self._best = best_of(trials)
        self._telling = Telling(self._numbers)

    def see(self, trials: "Sequence[FrozenTrial]") -> int:
        """Take in how the trials are now; return how many more are complete."""
        self._trials = trials
        done = len(marks.complete(trials))
        more, self._done = done - self._done, done
        if more:
            best = best_of(trials)
            if best != self._best:
                self._best = best
                self.say(f"Trial {best} is the best so far")
                self._telling.after(done, at_once=True)
        if time.monotonic() - self._said >= self._every:
            self.say("Tuning")
        return more

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
        done, left = self._done - self._before, self._wanted - self._done
        if done < 1 or left < 1:
            return ""
        seconds = (time.monotonic() - self._began) / done * left
        if seconds < 120:
            return f"; about {seconds:.0f} s left"
        return f"; about {seconds / 60:.0f} min left"

    def _numbers(self) -> dict[str, float]:
        if self._best is None:
            return {}
        values = self._trials[self._best].values
        pairs = zip(self._study.objectives, values, strict=True)
        return {f"tuning_best_{name}": float(value) for name, value in pairs}

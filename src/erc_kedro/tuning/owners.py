"""Who works on a trial, and the trials whose owner is gone: they are ended, and run again."""

import logging
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from threading import Event, Thread
from typing import TYPE_CHECKING

from optuna.trial import TrialState

from erc_kedro.processes import is_gone, is_here, this_process
from erc_kedro.tuning import marks
from erc_kedro.tuning.patience import Patience
from erc_kedro.tuning.patience import is_gone as is_outage

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

    from erc_kedro.tuning.study import Study

logger = logging.getLogger(__name__)

_SECONDS_TO_END = 2.0

_numbers = count()
_searching: set[str] = set()


@dataclass(frozen=True)
class Timing:
    """How often things are looked at, in seconds.

    Attributes:
        alive: A running trial's owner says so often that it is alive.
        gone: An owner on another machine is gone if it has said nothing for so long.
        unchanged: But not before it was seen saying nothing for so long, whatever its clock says.
        sweep: So often trials of owners that are gone are looked for.
        poll: So often, when others have all that is left.
        say: So often a line in the log says how it goes.
    """

    alive: float = 30.0
    gone: float = 300.0
    unchanged: float = 60.0
    sweep: float = 60.0
    poll: float = 1.0
    say: float = 60.0


@contextmanager
def owning() -> Iterator[str]:
    """Yield what a search calls itself as an owner of trials, while it searches."""
    owner = f"{this_process()} {next(_numbers)}"
    _searching.add(owner)
    try:
        yield owner
    finally:
        _searching.discard(owner)


@contextmanager
def staying_alive(
    running: Callable[[], "Collection[optuna.Trial]"], patient: Patience, every: float
) -> Iterator[None]:
    """Say that the owner of running trials is alive, so often and whatever else is under way.

    A thread of its own says it, which waits for no storage: if that is gone, it is said next time.

    Args:
        running: Returns the trials; called by that thread.
        patient: What counts that the storage was gone.
        every: Seconds.
    """
    ended = Event()

    def say() -> None:
        while not ended.wait(every):
            for trial in running():
                try:
                    trial.set_user_attr(marks.ALIVE, time.time())
                except Exception as error:  # the trial ended; or it is the search's to tell
                    patient.outages += is_outage(error)

    thread = Thread(target=say, name="signs of life", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(_SECONDS_TO_END)


class Sweeper:
    """Ends the trials of owners that are gone."""

    def __init__(self, study: "Study", timing: Timing) -> None:
        self._study, self._timing = study, timing
        self._seen: dict[int, tuple[object, float]] = {}
        self._outages = study.patient.outages

    def sweep(self, mine: Collection[int]) -> None:
        """End what is left of the dead, and let it be run again."""
        trials = self._study.trials()
        if self._outages != self._study.patient.outages:  # nobody could say anything meanwhile
            self._outages = self._study.patient.outages
            self._seen.clear()
        turns = {marks.generation(trial) for trial in trials}
        for trial in trials:
            if trial.state == TrialState.RUNNING and trial.number not in mine:
                if self._is_left(trial):
                    self._end(trial)
            elif trial.state == TrialState.FAIL and trial.user_attrs.get(marks.AGAIN):
                root, times = marks.generation(trial)
                if (root, times + 1) not in turns and self._unchanged(trial, "failed"):
                    self._study.hand_on(trial)  # who ended it did not come to that

    def _end(self, trial: "FrozenTrial") -> None:
        deaths = trial.user_attrs.get(marks.DEATHS, 0)
        if self._study.give_up(trial, "its process is gone", again=True, deaths=deaths):
            logger.info("Trial %d was left by its process; it is run again.", trial.number)

    def _is_left(self, trial: "FrozenTrial") -> bool:
        owner, alive = (trial.user_attrs.get(name) for name in (marks.OWNER, marks.ALIVE))
        if owner is None:  # asked for a moment ago, or by somebody who was gone at once
            return self._unchanged(trial, "running")
        process = owner.rpartition(" ")[0]
        if process == this_process():
            return owner not in _searching
        if is_here(process):
            return is_gone(process)
        silent = time.time() - (alive or 0.0)
        return self._unchanged(trial, alive) and silent > self._timing.gone

    def _unchanged(self, trial: "FrozenTrial", what: object) -> bool:
        """Say whether a trial has been seen like this, by this process, for long enough."""
        before, since = self._seen.get(trial.number, (None, 0.0))
        if before != what:
            self._seen[trial.number] = (what, time.monotonic())
            return self._timing.unchanged <= 0
        return time.monotonic() - since >= self._timing.unchanged

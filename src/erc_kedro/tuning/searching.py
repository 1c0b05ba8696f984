"""The search: trials are asked for, handed to workers, and told to the study when they are done."""

import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from erc_kedro.core.errors import UserError
from erc_kedro.tuning import marks
from erc_kedro.tuning.failures import Failures
from erc_kedro.tuning.interrupts import hearing
from erc_kedro.tuning.listening import Listening
from erc_kedro.tuning.owners import Sweeper, Timing, owning, staying_alive
from erc_kedro.tuning.patience import StorageGoneError
from erc_kedro.tuning.study import Study
from erc_kedro.tuning.watching import Watch, watching
from erc_kedro.tuning.worker import MakeObjective, Tried
from erc_kedro.tuning.worker_process import Died
from erc_kedro.tuning.workers import InThisProcess, Processes, Workers

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

logger = logging.getLogger(__name__)

_MOST_DEATHS = 3
_PATIENCE_AT_THE_END = 5.0


def search(
    study: Study,
    make_objective: MakeObjective,
    *,
    trials: int,
    workers: int,
    devices: Sequence[str | None] = (),
    timing: Timing | None = None,
) -> None:
    """Search until the study has so many complete trials, whoever made them.

    Args:
        study: The study; other processes may search in it at the same time.
        make_objective: Makes the objective, once in each worker; can be pickled.
        trials: How many complete trials the study shall have.
        workers: Worker processes; 0 tries in this process.
        devices: What each worker sees as CUDA_VISIBLE_DEVICES; none leaves that as it is.
        timing: How often things are looked at.

    Raises:
        KeyboardInterrupt: After Ctrl-C or SIGTERM.
        UserError: If trials keep failing, the storage stays gone, or no worker can start.
            Trials under way are run again by the next search in the study.
    """
    if devices and len(devices) != workers:
        raise ValueError(f"{len(devices)} devices for {workers} workers")
    timing = timing or Timing()
    sweeper = Sweeper(study, timing)
    sweeper.sweep([])
    left = trials - len(marks.complete(study.trials()))
    if left <= 0:
        logger.info("The study %r has its %d trials.", study.name, trials)
        return
    own: Workers
    if workers == 0:
        own = InThisProcess(make_objective)
    else:
        chosen = list(devices) or [None] * workers
        own = Processes(make_objective, chosen[:left])
    with owning() as owner:
        _Search(study, own, owner, sweeper, trials, timing).run()


@dataclass
class _Running:
    """A trial under way."""

    trial: "optuna.Trial"
    deaths: int
    began: float = field(default_factory=time.monotonic)


class _Search:
    def __init__(
        self,
        study: Study,
        workers: Workers,
        owner: str,
        sweeper: Sweeper,
        wanted: int,
        timing: Timing,
    ) -> None:
        self._study, self._workers, self._owner, self._sweeper = study, workers, owner, sweeper
        self._wanted, self._timing = wanted, timing
        self._running: dict[int, _Running] = {}
        self._listening = Listening(study)
        self._failures = Failures(study.name)
        self._swept = time.monotonic()

    def run(self) -> None:
        """Search to the end."""
        watched = watching(self._study, self._wanted, len(self._workers), self._timing.say)
        alive = staying_alive(self._trials, self._study.patient, self._timing.alive)
        with hearing(self._workers.wake) as interrupts, watched as watch, alive:
            self._study.patient.sleep = interrupts.sleep
            at_once = True
            try:
                while self._goes_on():
                    self._look_after(watch)
                    self._hand_out(watch)
                    self._listening.catch_up()
                    interrupts.check()
                    arrived = self._workers.next(self._timing.poll)
                    if arrived:
                        self._take(*arrived)
                self._see(watch)
                at_once = False
            except KeyboardInterrupt:
                self._stop(interrupts.reason)
                logger.warning(
                    "The search was %s. What is done is kept in study %r: the next one goes on.",
                    interrupts.reason,
                    self._study.name,
                )
                raise
            except StorageGoneError:
                raise
            except Exception:
                self._stop("the search was stopped")
                raise
            finally:
                self._workers.close(at_once=at_once)
                self._listening.catch_up()
                self._study.patient.sleep = time.sleep

    def _goes_on(self) -> bool:
        if self._running:
            return True
        return len(marks.complete(self._study.trials())) < self._wanted

    def _trials(self) -> "list[optuna.Trial]":
        return [run.trial for run in list(self._running.values())]

    def _see(self, watch: Watch) -> "list[FrozenTrial]":
        trials = self._study.trials()
        watch.see(trials, len(self._workers) - len(self._running))
        return trials

    def _look_after(self, watch: Watch) -> None:
        """Say how it goes, if it is time, and look for trials of searches that are not alive."""
        if watch.is_due():
            self._see(watch)
        now = time.monotonic()
        if now - self._swept >= (self._timing.sweep if self._running else self._timing.poll):
            self._swept = now
            self._sweeper.sweep([trial.number for trial in self._trials()])

    def _hand_out(self, watch: Watch) -> None:
        """Give every free worker a trial, if more are needed."""
        for worker in self._workers.free():
            if marks.taken(self._see(watch)) >= self._wanted:
                return
            asked = self._study.ask(self._owner, self._wanted)
            if asked is None:
                return
            trial, settings = asked
            self._workers.give(worker, settings)
            self._running[worker] = _Running(trial, trial.user_attrs.get(marks.DEATHS, 0))
            self._listening.started(trial, settings)

    def _take(self, worker: int, what: Tried | Died) -> None:
        """Tell the study what came of a trial."""
        run = self._running.pop(worker)
        number = run.trial.number
        if isinstance(what, Died):
            self._bury(run, what)
            return
        reason, outcome, seconds = what.reason, what.outcome, what.seconds
        if outcome is not None and len(outcome.values) != len(self._study.objectives):
            n = len(outcome.values)
            reason, outcome = f"{n} values for {len(self._study.objectives)} objectives", None
        if outcome is not None:
            if not self._study.complete(run.trial, outcome, seconds):
                logger.warning("Trial %d had been given to another process.", number)
                reason, outcome = "given to another process", None
            self._listening.ended(number, outcome, reason, seconds)
            self._failures.note(number, None)
            return
        assert reason is not None
        logger.warning("Trial %d failed: %s", number, reason)
        self._study.give_up(run.trial, reason, seconds=seconds, trace=what.trace)
        self._listening.ended(number, None, reason, seconds)
        self._failures.note(number, reason)

    def _bury(self, run: _Running, died: Died) -> None:
        """End a trial whose worker died; its settings are run again, but not for ever."""
        number, seconds, deaths = run.trial.number, time.monotonic() - run.began, run.deaths + 1
        again = deaths < _MOST_DEATHS
        reason = f"worker died ({died.how})" + ("" if again else f", as {deaths - 1} before it")
        logger.warning(
            "Trial %d: %s%s", number, reason, "; it is run again." if again else "; given up."
        )
        self._study.give_up(run.trial, reason, again=again, deaths=deaths, seconds=seconds)
        self._listening.ended(number, None, reason, seconds)
        if not again:
            self._failures.note(number, reason)

    def _stop(self, reason: str) -> None:
        """Keep what is done, end the workers, and let the other trials be run again."""
        patience, self._study.patient.seconds = self._study.patient.seconds, _PATIENCE_AT_THE_END
        self._study.patient.sleep = time.sleep
        try:
            for worker, tried in self._workers.done():
                with suppress(UserError):
                    self._take(worker, tried)
            self._workers.close(at_once=True)
            for run in self._running.values():
                seconds = time.monotonic() - run.began
                self._study.give_up(
                    run.trial, reason, again=True, deaths=run.deaths, seconds=seconds
                )
                self._listening.ended(run.trial.number, None, reason, seconds)
        except StorageGoneError as error:  # the next search sees that their owner is gone
            logger.warning("%s", error)
        finally:
            self._study.patient.seconds = patience

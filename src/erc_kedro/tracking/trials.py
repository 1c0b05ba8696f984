"""Every trial of a search as a child run; tracking only observes, so what fails here waits."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from queue import SimpleQueue
from threading import Event, Thread
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NOTE

from erc_kedro.core.tuning import Outcome, Settings, listen_to_trials
from erc_kedro.tracking.runs import ExperimentRuns

logger = logging.getLogger(__name__)

_PAUSE = 30.0
"""Seconds between two attempts while MLflow does not answer."""

_PATIENCE = 5.0
"""Seconds that a trial waits for the id of its run."""

_LAST_WAIT = 30.0
"""Seconds that the end of the search waits for MLflow."""

_UNTOLD = (MlflowException, OSError)


class TrialRuns:
    """One child run per trial, ended when the trial ends; all name the study.

    It listens to all trials from when it is made until it is closed. A thread of its own talks to
    MLflow, so that the search never waits for it. While MLflow does not answer, what there is to
    tell is kept, and told when it answers again.

    Args:
        runs: The parent run and its children.
        objectives: Names of an outcome's values.
        pause: Seconds between two attempts while MLflow does not answer.
        patience: Seconds that a trial waits for the id of its run.
    """

    def __init__(
        self,
        runs: ExperimentRuns,
        objectives: Sequence[str],
        pause: float = _PAUSE,
        patience: float = _PATIENCE,
    ) -> None:
        self._runs, self._objectives = runs, tuple(objectives)
        self._pause, self._patience = pause, patience
        self._study: str | None = None
        self._ids: dict[int, str] = {}
        self._open: set[int] = set()
        self._queue: SimpleQueue[tuple[Callable[[], None], Event] | None] = SimpleQueue()
        self._silent, self._closing = Event(), Event()
        self._untold = 0
        self._thread = Thread(target=self._work, name="trials to MLflow", daemon=True)
        self._thread.start()
        listen_to_trials(self)

    def searching(self, study: str) -> None:
        """Name the study on the parent, and on every trial's run to come."""
        self._study = study
        self._tell(lambda: self._runs.tag(self._runs.parent_id, {"study": study}))

    def started(self, number: int, settings: Settings) -> str | None:
        """Start a trial's run; return its id, or None if MLflow does not answer now."""
        began, own = _now(), dict(settings)
        done = self._tell(lambda: self._start(number, own, began))
        if not self._silent.is_set():
            done.wait(self._patience)
        return self._ids.get(number)

    def ended(
        self,
        number: int,
        state: str,
        outcome: Outcome | None,
        reason: str | None,
        seconds: float,
    ) -> None:
        """End a trial's run, with its outcome or the reason why there is none."""
        at = _now()
        self._tell(lambda: self._end(number, state, outcome, reason, seconds, at))

    def close(self, status: str = "FAILED", reason: str = "the search stopped") -> None:
        """Tell what waits, end what is open as `status`, and listen no more."""
        listen_to_trials(None)
        self._tell(lambda: self._abandon(status, reason))
        self._queue.put(None)
        self._closing.set()
        self._thread.join(_LAST_WAIT)
        if self._untold or self._thread.is_alive():
            logger.warning("MLflow does not answer: not all trials are in it.")

    def _tell(self, work: Callable[[], None]) -> Event:
        done = Event()
        self._queue.put((work, done))
        return done

    def _work(self) -> None:
        while (item := self._queue.get()) is not None:
            work, done = item
            while not (told := self._is_told(work)) and not self._closing.is_set():
                self._closing.wait(self._pause)
            self._untold += not told
            done.set()

    def _is_told(self, work: Callable[[], None]) -> bool:
        """Tell MLflow something; say whether that need not be tried again."""
        try:
            work()
        except Exception as error:  # the search goes on, whatever it is
            message = self._runs.secrets.hide((str(error).splitlines() or [""])[0])
            if not isinstance(error, _UNTOLD):
                logger.warning("A trial is not tracked as it should be: %s", message)
                return True
            if not self._silent.is_set():
                logger.warning("MLflow does not answer (%s); the search goes on.", message)
            self._silent.set()
            return False
        self._silent.clear()
        return True

    def _start(self, number: int, settings: dict[str, Any], began: int) -> None:
        if number not in self._ids:  # the run may be there, and its parameters not
            tags = {"trial_number": str(number)} | ({"study": self._study} if self._study else {})
            self._ids[number] = self._runs.start_child(f"trial {number}", tags, began)
            self._open.add(number)
        self._runs.log_parameters(self._ids[number], settings)

    def _end(
        self,
        number: int,
        state: str,
        outcome: Outcome | None,
        reason: str | None,
        seconds: float,
        at: int,
    ) -> None:
        run_id = self._ids.get(number)
        if run_id is None:
            return
        values: dict[str, float] = {"seconds": seconds}
        series: dict[str, list[float]] = {}
        if outcome is not None:
            values |= dict(zip(self._objectives, outcome.values, strict=True))
            series = {f"fold_{name}": list(each) for name, each in outcome.folds.items()}
        self._runs.log_metrics(run_id, values, series)
        self._runs.tag(run_id, {"state": state} | ({"reason": reason} if reason else {}))
        self._runs.end_run(run_id, "FINISHED" if state == "COMPLETE" else "FAILED", at)
        self._open.discard(number)

    def _abandon(self, status: str, reason: str) -> None:
        for number in sorted(self._open):
            self._runs.tag(self._ids[number], {"reason": reason})
            self._runs.end_run(self._ids[number], status)
            self._open.discard(number)


def _now() -> int:
    return int(time.time() * 1000)


def describe_search(runs: ExperimentRuns, summary: Mapping[str, Any], command: str) -> None:
    """Put what a search found on the parent's page: proposal, scores, and the command for it."""
    best = summary["best"]
    values = {f"best_{name}": value for name, value in best["values"].items()}
    differences = {
        f"dev_{own['metric']}_difference": own["difference"]
        for own in summary["check"]["comparisons"]
    }
    runs.log_metrics(runs.parent_id, {"best_trial": best["number"]} | values | differences)
    sentences = summary["proposal"]["sentences"]
    lines = [f"**{sentences[0]}**", "", *(f"- {sentence}" for sentence in sentences[1:])]
    lines += ["", f"Study `{summary['study']}`. To run the experiment with it:", ""]
    lines += [f"    {command}"]
    runs.tag(runs.parent_id, {MLFLOW_RUN_NOTE: "\n".join(lines), "tuned_command": command})

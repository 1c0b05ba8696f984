"""A study in its storage: trials are asked for, told, and handed on if they were cut short."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import TrialState

from erc_kedro.core.tuning import Dimension, Outcome, Settings
from erc_kedro.tuning import marks
from erc_kedro.tuning.storage import StudyStorage

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

_LONGEST_TRACE = 4000


class Study:
    """A study; every access waits for a storage that is gone.

    Attributes:
        name: What it is called in its storage.
        space: What is searched, by name.
        objectives: What is maximised.
        storage: Where it is kept.
        optuna: Optuna's study.
    """

    def __init__(
        self,
        study: optuna.Study,
        storage: StudyStorage,
        space: Mapping[str, Dimension],
        objectives: Sequence[str],
    ) -> None:
        self.optuna, self.storage, self.name = study, storage, study.study_name
        self.space, self.objectives = dict(space), tuple(objectives)
        self.patient = storage.patient()

    def trials(self) -> "list[FrozenTrial]":
        """Return all trials as the storage has them now, by number."""
        return self.patient(lambda: self.optuna.get_trials(deepcopy=False))

    def trial(self, number: int) -> "FrozenTrial":
        """Return one trial as the storage has it now."""
        return self.trials()[number]

    def ask(self, owner: str, wanted: int) -> tuple[optuna.Trial, Settings] | None:
        """Begin a trial.

        Args:
            owner: Who works on it.
            wanted: How many complete trials the study shall have.

        Returns:
            The trial and its settings; None if those begun before it are enough.
        """
        trial = self.patient(self.optuna.ask)

        def claim() -> None:
            trial.set_user_attr(marks.OWNER, owner)
            trial.set_user_attr(marks.ALIVE, time.time())

        if not self._unless_ended(trial.number, claim):
            return None
        trials = self.trials()
        own, twin = trials[trial.number], marks.has_twin(trials[trial.number], trials)
        if twin or marks.enough_before(own, trials, wanted):
            self.give_up(trial, marks.NOT_NEEDED, again=bool(marks.given(own)) and not twin)
            return None
        if not self._unless_ended(trial.number, lambda: self._suggest(trial)):
            return None
        return trial, {name: trial.params[name] for name in self.space}

    def note(self, trial: optuna.Trial, name: str, value: Any) -> bool:
        """Keep something with a running trial; say whether it still runs."""
        return self._unless_ended(trial.number, lambda: trial.set_user_attr(name, value))

    def complete(self, trial: optuna.Trial, outcome: Outcome, seconds: float) -> bool:
        """End a trial with its outcome; say whether it was still this owner's to end."""

        def tell() -> None:
            trial.set_user_attr(marks.FOLDS, {k: list(v) for k, v in outcome.folds.items()})
            trial.set_user_attr(marks.SECONDS, seconds)
            self.optuna.tell(trial.number, list(outcome.values))

        if self._unless_ended(trial.number, tell):
            return True
        stored = self.trial(trial.number)  # told before the storage went, or ended by another
        return stored.state == TrialState.COMPLETE and stored.values == list(outcome.values)

    def give_up(
        self,
        trial: "FrozenTrial | optuna.Trial",
        reason: str,
        *,
        again: bool = False,
        deaths: int = 0,
        seconds: float | None = None,
        trace: str | None = None,
    ) -> bool:
        """End a trial as failed.

        Args:
            trial: The trial.
            reason: Why.
            again: Whether its settings shall be run again.
            deaths: How many worker processes ended over them so far.
            seconds: How long it took.
            trace: Where in the objective it failed.

        Returns:
            Whether it was this call that ended it.
        """
        own = trial
        if not isinstance(own, optuna.Trial):  # another owner's: Optuna has no other way to it
            frozen = own
            own = self.patient(lambda: optuna.Trial(self.optuna, frozen._trial_id))
        notes: dict[str, Any] = {
            marks.REASON: reason,
            marks.AGAIN: again,
            marks.DEATHS: deaths,
            marks.SECONDS: seconds,
            marks.TRACE: trace and trace[-_LONGEST_TRACE:],
        }

        def tell() -> None:
            for name, value in notes.items():
                if value:
                    own.set_user_attr(name, value)
            self.optuna.tell(own.number, state=TrialState.FAIL)

        ended = self._unless_ended(own.number, tell)
        if ended and again:
            self.hand_on(self.trial(own.number))
        return ended

    def hand_on(self, ended: "FrozenTrial") -> None:
        """Let the settings of an ended trial wait for whoever asks next, if they do not yet."""
        root, times = marks.generation(ended)
        settings = {**marks.given(ended), **ended.params}
        notes = {
            marks.ROOT: root,
            marks.TIMES: times + 1,
            marks.DEATHS: ended.user_attrs.get(marks.DEATHS, 0),
        }

        def enqueue() -> None:
            trials = self.optuna.get_trials(deepcopy=False)
            if (root, times + 1) not in map(marks.generation, trials):
                self.optuna.enqueue_trial(settings, notes)

        if settings:  # it may have ended before it had any
            self.patient(enqueue)

    def _suggest(self, trial: optuna.Trial) -> None:
        for name, dimension in self.space.items():
            if dimension.kind == "categorical":
                assert dimension.choices is not None
                trial.suggest_categorical(name, dimension.choices)
                continue
            assert dimension.low is not None and dimension.high is not None
            if dimension.kind == "int":
                low, high = int(dimension.low), int(dimension.high)
                trial.suggest_int(name, low, high, log=dimension.log)
            else:
                trial.suggest_float(name, dimension.low, dimension.high, log=dimension.log)

    def _unless_ended(self, number: int, work: Callable[[], object]) -> bool:
        """Do something to a running trial; say whether it had not been ended already."""

        def attempt() -> bool:
            try:
                work()
            except (UpdateFinishedTrialError, ValueError):
                if self.optuna.get_trials(deepcopy=False)[number].state.is_finished():
                    return False
                raise
            return True

        return self.patient(attempt)

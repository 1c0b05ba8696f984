"""What stands with a trial beside its settings and values, and what follows from it."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from optuna.trial import TrialState

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

OWNER, ALIVE = "owner", "alive"
"""Who works on a trial, and when that was last heard of."""

REASON, TRACE, SECONDS, FOLDS = "reason", "trace", "seconds", "folds"
ROOT, TIMES, AGAIN, DEATHS = "root", "times", "again", "deaths"
"""For settings that are run again under another number: the trial that had them first, and how
often they were handed on; whether those of an ended trial are to be; how many workers they killed.
"""

TRACKED_AS = "tracked_as"
NOT_NEEDED = "not needed"

_TAKEN = (TrialState.COMPLETE, TrialState.RUNNING)


def generation(trial: "FrozenTrial") -> tuple[int, int]:
    """Return the number of the trial that first had these settings, and how often they went on."""
    return (
        int(trial.user_attrs.get(ROOT, trial.number)),
        int(trial.user_attrs.get(TIMES, 0)),
    )


def given(trial: "FrozenTrial") -> Mapping[str, Any]:
    """Return the settings that a trial waited with; nothing if it drew its own."""
    return dict(trial.system_attrs.get("fixed_params", {}))


def has_twin(trial: "FrozenTrial", trials: "Iterable[FrozenTrial]") -> bool:
    """Say whether an earlier trial runs the same settings in the same turn."""
    own = generation(trial)
    return any(one.number < trial.number and generation(one) == own for one in trials)


def enough_before(trial: "FrozenTrial", trials: "Iterable[FrozenTrial]", wanted: int) -> bool:
    """Say whether so many are complete or running that begun before a trial."""
    earlier = (one for one in trials if one.number < trial.number)
    return sum(one.state in _TAKEN for one in earlier) >= wanted


def taken(trials: "Iterable[FrozenTrial]") -> int:
    """Return how many are complete or running."""
    return sum(trial.state in _TAKEN for trial in trials)


def complete(trials: "Iterable[FrozenTrial]") -> "list[FrozenTrial]":
    """Return those that are complete."""
    return [trial for trial in trials if trial.state == TrialState.COMPLETE]

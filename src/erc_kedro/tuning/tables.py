"""What came of a study: the table of its trials, and the best of them."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from erc_kedro.core.errors import UserError
from erc_kedro.core.tuning import Settings
from erc_kedro.tuning import marks

if TYPE_CHECKING:
    import pandas as pd
    from optuna.trial import FrozenTrial

    from erc_kedro.tuning.study import Study


def trial_table(study: "Study", in_effect: Callable[[Settings], Settings] = dict) -> "pd.DataFrame":
    """Return the finished trials, by number.

    Args:
        study: The study.
        in_effect: Returns what the settings of a trial came to.

    Returns:
        One row per trial: number, state ("COMPLETE" or "FAIL"), one column per dimension and one
        per objective (missing where there is no value), seconds, reason, tracked_as.
    """
    import pandas as pd

    rows = []
    for trial in study.trials():
        if not trial.state.is_finished():
            continue
        notes = trial.user_attrs
        values = trial.values or [None] * len(study.objectives)
        settings = in_effect(trial.params) if study.space.keys() <= trial.params.keys() else {}
        rows.append(
            {
                "number": trial.number,
                "state": trial.state.name,
                **{name: settings.get(name) for name in study.space},
                **dict(zip(study.objectives, values, strict=True)),
                "seconds": notes.get(marks.SECONDS),
                "reason": notes.get(marks.REASON),
                "tracked_as": notes.get(marks.TRACKED_AS),
            }
        )
    names = ["number", "state", *study.space, *study.objectives, "seconds", "reason", "tracked_as"]
    table = pd.DataFrame(rows, columns=names)
    return table.astype(dict.fromkeys([*study.objectives, "seconds"], "float64"))


def best_trial(study: "Study") -> int:
    """Return the number of the best complete trial.

    With one objective, that with the highest value. With two, of the Pareto front that with the
    highest second one whose first is not below that of trial 0; if there is none, trial 0.

    Raises:
        UserError: If no trial is complete.
    """
    best = best_of(study.trials())
    if best is None:
        raise UserError(
            "No trial of the study is complete.",
            where=f"study {study.name!r} in {study.storage}",
            remedy="run the search again; the reasons stand in its table of trials",
        )
    return best


def baseline_trial(study: "Study") -> int | None:
    """Return the first complete trial with the settings of trial 0; None if there is none."""
    return _baseline(study.trials())


def trial_settings(study: "Study", number: int) -> Mapping[str, Any]:
    """Return the settings of a trial, in the order of the space."""
    params = study.trial(number).params
    return {name: params[name] for name in study.space if name in params}


def best_of(trials: "Sequence[FrozenTrial]") -> int | None:
    """Return the number of the best of a study's trials, as `best_trial` does, or None."""
    done = marks.complete(trials)
    if not done:
        return None
    if len(done[0].values) == 1:
        return max(done, key=lambda trial: (trial.values[0], -trial.number)).number
    start = _baseline(trials)
    floor = trials[start].values[0] if start is not None else float("-inf")
    good = [trial for trial in done if trial.values[0] >= floor]
    # the highest second value, then the highest first: that is on the front of all trials
    return max(good, key=lambda trial: (trial.values[1], trial.values[0], -trial.number)).number


def _baseline(trials: "Sequence[FrozenTrial]") -> int | None:
    if not trials:
        return None
    wanted = {**marks.given(trials[0]), **trials[0].params}
    same = (trial for trial in marks.complete(trials) if trial.params == wanted)
    return next((trial.number for trial in same), None)

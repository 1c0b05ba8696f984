"""A study in memory, made from a table of trials: Optuna draws studies."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import TrialState, create_trial

from erc_kedro.core.tuning import Dimension

if TYPE_CHECKING:
    import pandas as pd


def replayed(
    trials: "pd.DataFrame", space: Mapping[str, Dimension], objectives: Sequence[str]
) -> optuna.Study:
    """Return a study that went as the table of its finished trials says; numbers are kept.

    Args:
        trials: As `trial_table` returns it.
        space: What was searched, by name; it holds the settings in the table.
        objectives: What was maximised.
    """
    study = optuna.create_study(directions=["maximize"] * len(objectives))
    distributions = {name: _distribution(own) for name, own in space.items()}
    rows = {row["number"]: row for row in trials.to_dict("records")}
    for number in range(max(rows, default=-1) + 1):
        row = rows.get(number)
        if row is None or row["state"] != "COMPLETE":
            study.add_trial(create_trial(state=TrialState.FAIL))
            continue
        params = {name: _setting(own, row[name]) for name, own in space.items()}
        values = [float(row[name]) for name in objectives]
        trial = create_trial(params=params, distributions=distributions, values=values)
        study.add_trial(trial)
    return study


def _distribution(dimension: Dimension) -> BaseDistribution:
    if dimension.kind == "categorical":
        return CategoricalDistribution(dimension.choices or ())
    assert dimension.low is not None and dimension.high is not None
    if dimension.kind == "int":
        return IntDistribution(int(dimension.low), int(dimension.high), log=dimension.log)
    return FloatDistribution(dimension.low, dimension.high, log=dimension.log)


def _setting(dimension: Dimension, value: Any) -> Any:
    """Return a table's value as the search drew it: tables know no whole numbers beside gaps."""
    if dimension.kind == "categorical":
        choices = dimension.choices or ()
        return next((own for own in choices if own is not None and own == value), None)
    return int(value) if dimension.kind == "int" else float(value)

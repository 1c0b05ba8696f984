"""A study is opened, made if it is not there, and refused if it is about something else."""

import json
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import optuna
from optuna.exceptions import DuplicatedStudyError, ExperimentalWarning
from optuna.study import StudyDirection
from optuna.trial import TrialState

from erc_kedro.core.errors import UserError
from erc_kedro.core.tuning import Dimension, Settings
from erc_kedro.tuning import marks
from erc_kedro.tuning.patience import Patience
from erc_kedro.tuning.sampler import NumberedSampler
from erc_kedro.tuning.storage import StudyStorage
from erc_kedro.tuning.study import Study

_ABOUT, _MADE = "about", "made"
_SECONDS_TO_MAKE = 20.0
_MOST_SHOWN = 8


def open_study(
    storage: StudyStorage,
    name: str,
    space: Mapping[str, Dimension],
    objectives: Sequence[str],
    about: Mapping[str, Any],
    first: Sequence[Settings],
    seed: int,
) -> Study:
    """Return the study of that name, made if there is none.

    Args:
        storage: Where it is kept.
        name: What it is called there.
        space: What is searched, by name; every high filled in.
        objectives: What is maximised; the order of an outcome's values.
        about: Whatever else decides what a trial comes to, as plain values.
        first: Settings of the trials 0, 1, ...
        seed: Of the search.

    Raises:
        UserError: If settings of `first` lie outside the space, the storage cannot be reached,
            or the study there is about something else.
    """
    _check(space, first)
    here = {
        "space": {key: dimension.model_dump(exclude_none=True) for key, dimension in space.items()},
        "objectives": list(objectives),
        **about,
    }
    here = json.loads(json.dumps(here))
    opened, patient = storage.open(), storage.patient()
    place: dict[str, Any] = {
        "study_name": name,
        "storage": opened,
        "sampler": NumberedSampler(seed),
    }

    directions = [StudyDirection.MAXIMIZE] * len(objectives)

    def create() -> tuple[optuna.Study, bool]:
        try:
            return optuna.create_study(directions=directions, **place), True
        except DuplicatedStudyError:
            return optuna.load_study(**place), False

    study, new = patient(create)
    if new or not _is_made(study, patient):
        patient(lambda: _make(study, here, objectives, first))
    _compare(name, storage, patient(lambda: study.user_attrs[_ABOUT]), here)
    own = Study(study, storage, space, objectives)
    _let_wait(own, first)
    return own


def _check(space: Mapping[str, Dimension], first: Sequence[Settings]) -> None:
    for name, dimension in space.items():
        if dimension.kind != "categorical" and dimension.high is None:
            raise ValueError(f"the high of {name} is not filled in")
    for number, settings in enumerate(first):
        if set(settings) != set(space):
            raise ValueError(f"trial {number} sets {sorted(settings)}, not {sorted(space)}")
        for name, value in settings.items():
            if not space[name].holds(value):
                bounds = space[name].model_dump(exclude_unset=True)
                raise UserError(
                    f"Trial {number} of a study is fixed, and lies outside what is searched.",
                    where=name,
                    expected=", ".join(f"{key} {bound}" for key, bound in bounds.items()),
                    found=repr(value),
                    remedy="widen the space",
                )


def _is_made(study: optuna.Study, patient: Patience) -> bool:
    """Wait until whoever created the study has made it; say whether that is so."""
    deadline = time.monotonic() + _SECONDS_TO_MAKE
    while not patient(lambda: study.user_attrs.get(_MADE)):
        if time.monotonic() > deadline:  # its maker was killed
            return False
        time.sleep(0.1)
    return True


def _make(
    study: optuna.Study,
    about: Mapping[str, Any],
    objectives: Sequence[str],
    first: Sequence[Settings],
) -> None:
    """Make a new study, or go on making it; its first trials get the numbers 0, 1, ..."""
    if _ABOUT not in study.user_attrs:
        study.set_user_attr(_ABOUT, about)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        study.set_metric_names(list(objectives))
    for settings in first[len(study.get_trials(deepcopy=False)) :]:
        study.enqueue_trial(dict(settings))
    study.set_user_attr(_MADE, True)


def _let_wait(study: Study, first: Sequence[Settings]) -> None:
    """Let those of the first settings wait that a study was made without, or that failed in it."""
    have = [
        {**marks.given(trial), **trial.params}
        for trial in study.trials()
        if trial.state != TrialState.FAIL
    ]
    for settings in first:
        if dict(settings) not in have:
            study.patient(partial(study.optuna.enqueue_trial, dict(settings)))


def _compare(
    name: str, storage: StudyStorage, there: Mapping[str, Any], here: Mapping[str, Any]
) -> None:
    old, new = dict(_flat(there)), dict(_flat(here))
    differ = [key for key in {**old, **new} if old.get(key) != new.get(key)]
    if not differ:
        return
    lines = [f"{key}: {old.get(key, 'none')} there, {new.get(key, 'none')} here" for key in differ]
    more = [f"and {len(lines) - _MOST_SHOWN} more"] if len(lines) > _MOST_SHOWN else []
    raise UserError(
        f"The study {name!r} was made with something else; its trials cannot be compared.",
        where=str(storage),
        found="; ".join(lines[:_MOST_SHOWN] + more),
        remedy="go back to what it was made with, or begin another study, with a name of its own: "
        "tuning.study=NAME",
    )


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(inner, f"{name}.{key}" if name else str(key))
    else:
        yield name, value

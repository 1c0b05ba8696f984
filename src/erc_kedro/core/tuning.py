"""What a search over settings is made of: dimensions, outcomes, and who is told of trials."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from pydantic import StrictBool, StrictFloat, StrictInt, StrictStr, model_validator

from erc_kedro.core.parameters import ParameterGroup

Choice = StrictBool | StrictInt | StrictFloat | StrictStr | None
Settings = Mapping[str, Any]
"""A value for every dimension that is searched, by the dimension's name."""


@dataclass(frozen=True)
class Outcome:
    """What came of one trial.

    Attributes:
        values: One per objective, the higher the better.
        folds: One value per fold, by the metric's name.
    """

    values: tuple[float, ...]
    folds: Mapping[str, Sequence[float]] = field(default_factory=dict)


Objective = Callable[[Settings], Outcome]
"""Tries settings; raises if they cannot be tried."""


class Dimension(ParameterGroup):
    """One thing that is searched.

    Attributes:
        kind: A number, a whole number, or one of some choices.
        low: The smallest number.
        high: The largest number, itself included; null means the most that there is, and has to
            be filled in before the search.
        log: Whether a factor matters rather than a difference.
        choices: What a categorical one is chosen from.
    """

    kind: Literal["float", "int", "categorical"]
    low: float | None = None
    high: float | None = None
    log: bool = False
    choices: tuple[Choice, ...] | None = None

    @model_validator(mode="after")
    def _fits_kind(self) -> "Dimension":
        if self.kind == "categorical":
            self._check_choices()
        else:
            self._check_bounds()
        return self

    def _check_choices(self) -> None:
        if idle := sorted(self.model_fields_set & {"low", "high", "log"}):
            raise ValueError(f"{', '.join(idle)} without effect: the kind is categorical")
        if not self.choices:
            raise ValueError("a categorical dimension needs choices")
        if len(set(self.choices)) < len(self.choices):  # True and 1 are the same to Optuna
            raise ValueError(f"two equal choices in {list(self.choices)}")

    def _check_bounds(self) -> None:
        if "choices" in self.model_fields_set:
            raise ValueError(f"choices without effect: the kind is {self.kind}")
        if self.low is None:
            raise ValueError(f"a dimension of kind {self.kind} needs low")
        for bound in (self.low, self.high):
            if bound is not None and not math.isfinite(bound):
                raise ValueError(f"a bound must be a finite number, not {bound}")
            if bound is not None and self.kind == "int" and not bound.is_integer():
                raise ValueError(f"a bound of kind int must be a whole number, not {bound}")
        if self.high is not None and self.high < self.low:
            raise ValueError(f"high ({self.high}) is below low ({self.low})")
        if self.log and self.low <= 0:
            raise ValueError(f"log needs a low above 0, not {self.low}")

    def up_to(self, most: float) -> "Dimension":
        """Return this dimension with `most` as its high, if it has none."""
        if self.kind == "categorical" or self.high is not None:
            return self
        return Dimension(kind=self.kind, low=self.low, high=most, log=self.log)

    def holds(self, value: Any) -> bool:
        """Say whether a value lies in this dimension."""
        if self.kind == "categorical":
            return any(type(value) is type(c) and value == c for c in self.choices or ())
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        if self.kind == "int" and value != int(value):
            return False
        assert self.low is not None
        return self.low <= value and (self.high is None or value <= self.high)


class TrialListener(Protocol):
    """Tells the outside what happens to trials; what it raises does not stop the search."""

    def searching(self, study: str) -> None:
        """Note the name of the study that the trials to come belong to."""
        ...

    def started(self, number: int, settings: Settings) -> str | None:
        """Note that a trial began; return what the outside calls it."""
        ...

    def ended(
        self,
        number: int,
        state: str,
        outcome: Outcome | None,
        reason: str | None,
        seconds: float,
    ) -> None:
        """Note that a trial ended as COMPLETE, with its outcome, or as FAIL, with the reason."""
        ...


_listener: TrialListener | None = None


def listen_to_trials(listener: TrialListener | None) -> None:
    """Tell this listener of all trials from now on; None ends it."""
    global _listener  # noqa: PLW0603 - one run per process
    _listener = listener


def trial_listener() -> TrialListener | None:
    """Return who is to be told of trials."""
    return _listener

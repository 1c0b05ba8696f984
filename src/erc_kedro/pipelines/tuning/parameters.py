"""Parameters of tuning."""

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveInt,
    field_serializer,
    field_validator,
    model_validator,
)

from erc_kedro.core.metrics import HEADLINE
from erc_kedro.core.parameters import ParameterGroup
from erc_kedro.core.tuning import Dimension
from erc_kedro.modelling.recipe_space import check_space

_OF_DIMENSIONS = frozenset(Dimension.model_fields)


class CheckParameters(ParameterGroup):
    """The check on dev, of the best recipe against ratio 0.

    Attributes:
        n_seeds: Classifiers of each; their seeds are those after the search's.
    """

    n_seeds: Annotated[int, Field(ge=2)] = 5


class TuningParameters(ParameterGroup):
    """The search for a recipe, by cross-validation over real train.

    Attributes:
        objective: What is maximised; both looks for recipes of which none is better in one without
            being worse in the other.
        trials: How many complete trials the study shall have, counted over all runs and machines.
        folds: Of the cross-validation, by whole dialogues.
        n_seeds: Classifiers per fold.
        first_seed: Their seeds are first_seed, first_seed + 1, ...
        seed: Of the folds and of the search.
        workers: Processes that try recipes side by side; auto is one per usable core, or one per
            GPU; 0 tries them in the run's own process.
        study: Its name in the storage; null names it after corpus, space and objective.
        patience: Seconds to wait for a storage that is gone.
        check: On dev, at the end.
        space: What is searched: ratio, strategy, selection, loss_weight, emotion_ratios.<emotion>,
            min_confidence, weighting, adapted, schedule, first_share, and settings of training by
            their path; null takes a dimension out.
    """

    objective: Literal["weighted_f1", "macro_f1", "both"]
    trials: Annotated[int, Field(ge=2)]
    folds: Annotated[int, Field(ge=2)]
    n_seeds: PositiveInt
    first_seed: NonNegativeInt
    seed: NonNegativeInt
    workers: NonNegativeInt | Literal["auto"]
    study: str | None
    patience: NonNegativeFloat
    check: CheckParameters = CheckParameters()
    space: dict[str, Dimension | None]

    @field_validator("space", mode="before")
    @classmethod
    def _by_path(cls, space: Any) -> Any:
        """Let training.objective.<name> be written as nested groups too: overlays merge those."""
        return _flat(space) if isinstance(space, Mapping) else space

    @field_serializer("space")
    def _as_declared(self, space: dict[str, Dimension | None]) -> dict[str, Any]:
        return {n: own and own.model_dump(exclude_unset=True) for n, own in space.items()}

    @model_validator(mode="after")
    def _can_be_searched(self) -> "TuningParameters":
        check_space(self.dimensions)
        return self

    @property
    def dimensions(self) -> dict[str, Dimension]:
        """What is searched, by name, in the order of the names."""
        return {name: own for name, own in sorted(self.space.items()) if own is not None}

    @property
    def asks_adaptation(self) -> bool:
        """Whether recipes with an adapted encoder are searched."""
        return "adapted" in self.dimensions

    @property
    def objectives(self) -> tuple[str, ...]:
        """The metrics that are maximised."""
        return objectives_of(self.objective)

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of the search."""
        return tuple(range(self.first_seed, self.first_seed + self.n_seeds))

    @property
    def check_seeds(self) -> tuple[int, ...]:
        """The seeds of the check on dev: none that the search has seen."""
        after = self.first_seed + self.n_seeds
        return tuple(range(after, after + self.check.n_seeds))

    def study_name(self, corpus: str) -> str:
        """Return the study's name: one for each corpus, space and objective."""
        if self.study is not None:
            return self.study
        declared = {name: own.model_dump() for name, own in self.dimensions.items()}
        text = json.dumps([declared, self.objective], sort_keys=True)
        return f"{corpus}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def objectives_of(objective: str) -> tuple[str, ...]:
    """Return the metrics that are maximised."""
    return HEADLINE if objective == "both" else (objective,)


def _flat(space: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in space.items():
        if isinstance(value, Mapping) and value and not value.keys() & _OF_DIMENSIONS:
            found |= _flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found

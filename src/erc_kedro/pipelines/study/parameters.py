"""Parameters of the study."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    NonNegativeInt,
    PositiveInt,
    ValidationError,
    field_validator,
    model_validator,
)

from erc_kedro.core.parameters import ParameterGroup
from erc_kedro.core.tuning import Choice
from erc_kedro.modelling.searchable import OF_EMOTIONS, searchable

Fraction = Annotated[float, Field(gt=0, le=1)]
Fractions = Annotated[tuple[Fraction, ...], Field(min_length=1)]

AMOUNT = "amount"
"""Beside the names that can be searched: the share of the synthetic dialogues, for any ratio."""


def _flat(changes: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested changes by their path: overlays and --params merge nested groups."""
    found: dict[str, Any] = {}
    for key, value in changes.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def _checked(changes: Mapping[str, Any]) -> dict[str, Any]:
    known = searchable()
    if {AMOUNT, "ratio"} <= changes.keys():
        raise ValueError("amount and ratio both say how many: leave one out")
    for name, value in changes.items():
        if name == AMOUNT:
            if not isinstance(value, int | float) or not 0 < value <= 1:
                raise ValueError(f"amount must be above 0 and at most 1, not {value!r}")
        elif name.startswith(OF_EMOTIONS):
            if value is not None and (isinstance(value, str | bool) or value < 0):
                raise ValueError(f"{name} must be at least 0, or null, not {value!r}")
        elif name not in known:
            raise ValueError(f"no such thing can be changed: {name}; known: amount, {_list(known)}")
        else:
            try:
                known[name].validate_python(value, strict=True)
            except ValidationError as error:
                raise ValueError(f"{name}: {error.errors()[0]['msg']}, not {value!r}") from error
    return dict(changes)


def _list(names: Mapping[str, Any]) -> str:
    return ", ".join(names)


class TreatmentParameters(ParameterGroup):
    """A recipe, and what is changed of it.

    Attributes:
        recipe: The arm whose recipe it begins with.
        changes: Fields of the recipe, amount (share of the synthetic dialogues, instead of a
            ratio), and settings of training, by their path.
    """

    recipe: Literal["real_only", "oversampled", "augmented", "synthetic_only"] = "augmented"
    changes: dict[str, Choice] = {}

    @field_validator("changes", mode="before")
    @classmethod
    def _by_path(cls, changes: Any) -> Any:
        return _checked(_flat(changes)) if isinstance(changes, Mapping) else changes


class ConfirmatoryParameters(ParameterGroup):
    """What is tested, declared before the results are seen.

    Attributes:
        real_fractions: Parts of real train.
        n_seeds: Classifiers of each treatment and fraction.
        treatment: The treatment under test.
        baseline: What it is held against first.
        candidates: Baselines that need no language model. The best at each fraction and metric, as
            real train alone tells, is what it is held against second.
        folds: Where a fraction is all of train, the candidates are scored by cross-validation in so
            many folds; elsewhere by the same classifiers on the rest of train.
        fold_seeds: Classifiers per fold.
    """

    real_fractions: Fractions
    n_seeds: Annotated[int, Field(ge=2)]
    treatment: str
    baseline: str
    candidates: Annotated[tuple[str, ...], Field(min_length=1)]
    folds: Annotated[int, Field(ge=2)]
    fold_seeds: PositiveInt


class CurvesParameters(ParameterGroup):
    """Learning curves. Exploratory.

    Attributes:
        real_fractions: Parts of real train; none leaves the curves out.
        amounts: Shares of the accepted dialogues of its strategy, whatever its own ratio or amount,
            beside none.
        also: Other treatments, such as a recipe that tuning proposed.
        n_seeds: Classifiers of each.
    """

    real_fractions: tuple[Fraction, ...]
    amounts: Annotated[tuple[Fraction, ...], Field(min_length=1)]
    also: tuple[str, ...] = ()
    n_seeds: Annotated[int, Field(ge=2)]


class ImbalanceParameters(ParameterGroup):
    """Label imbalance made weaker and stronger, one rare emotion at a time. Exploratory.

    Attributes:
        n_emotions: How many of the rarest emotions of real train; 0 leaves this part out.
        emotions: These instead, if any are named.
        shares: Of the emotion's real utterances that are learnt.
        up_to: What is given back: as many as were removed (former), or as many as the synthetic
            dialogues hold (all).
        real_fraction: Part of real train.
        loss_weight: Of an added utterance.
        n_seeds: Classifiers of each.
    """

    n_emotions: NonNegativeInt
    emotions: tuple[str, ...] = ()
    shares: Annotated[tuple[Fraction, ...], Field(min_length=1)]
    up_to: tuple[Literal["former", "all"], ...]
    real_fraction: Fraction
    loss_weight: Annotated[float, Field(gt=0, le=1)]
    n_seeds: Annotated[int, Field(ge=2)]


class AblationParameters(ParameterGroup):
    """The treatment under test with one thing changed at a time. Exploratory.

    Attributes:
        real_fractions: Parts of real train; none leaves this part out.
        changes: What is changed, by the name that is shown, each as in treatments.
        n_seeds: Classifiers of each.
    """

    real_fractions: tuple[Fraction, ...]
    changes: dict[str, dict[str, Choice]]
    n_seeds: Annotated[int, Field(ge=2)]

    @field_validator("changes", mode="before")
    @classmethod
    def _by_path(cls, changes: Any) -> Any:
        if not isinstance(changes, Mapping):
            return changes
        return {
            name: _checked(_flat(own)) if isinstance(own, Mapping) else own
            for name, own in changes.items()
            if own is not None
        }


class TransferParameters(ParameterGroup):
    """Train on synthetic, test on real. Exploratory.

    Attributes:
        strategies: Which synthetic dialogues, each by themselves; none leaves this part out.
        n_seeds: Classifiers of each.
    """

    strategies: tuple[str, ...]
    n_seeds: Annotated[int, Field(ge=2)]


class StudyParameters(ParameterGroup):
    """The study: what is compared, and at which sizes.

    Attributes:
        first_seed: Seeds are first_seed, first_seed + 1, ... in every part.
        bootstrap_draws: Of the confirmatory part.
        exploratory_draws: Of the bootstrap of all other parts.
        treatments: By name; plain values of the recipe and of training.
        confirmatory: What is tested.
        curves: Learning curves.
        imbalance: Label imbalance.
        ablation: One thing changed at a time.
        transfer: Train on synthetic, test on real.
    """

    first_seed: NonNegativeInt
    bootstrap_draws: Annotated[int, Field(ge=100)]
    exploratory_draws: Annotated[int, Field(ge=100)]
    treatments: dict[str, TreatmentParameters]
    confirmatory: ConfirmatoryParameters
    curves: CurvesParameters
    imbalance: ImbalanceParameters
    ablation: AblationParameters
    transfer: TransferParameters

    @model_validator(mode="after")
    def _treatments_are_there(self) -> "StudyParameters":
        own = self.confirmatory
        named = [own.treatment, own.baseline, *own.candidates, *self.curves.also]
        if unknown := sorted(set(named) - set(self.treatments)):
            raise ValueError(f"no such treatment: {', '.join(unknown)}")
        if own.treatment in {own.baseline, *own.candidates}:
            raise ValueError(f"{own.treatment} cannot be held against itself")
        return self

    @property
    def asks_adaptation(self) -> bool:
        """Whether a treatment of its own may need an adapted encoder."""
        changed = [own.changes for own in self.treatments.values()]
        return any(own.get("adapted") for own in [*changed, *self.ablation.changes.values()])

    def seeds(self, n: int) -> tuple[int, ...]:
        """Return the first n seeds."""
        return tuple(range(self.first_seed, self.first_seed + n))

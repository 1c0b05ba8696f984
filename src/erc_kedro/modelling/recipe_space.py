"""What can be searched by its name: fields of a recipe, settings of a classifier. No torch here."""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from math import floor
from typing import Annotated, Any

import pandas as pd
from pydantic import Field, TypeAdapter, ValidationError

from erc_kedro.core.errors import UserError
from erc_kedro.core.labels import labelled
from erc_kedro.core.mixing import Recipe
from erc_kedro.core.parameters import ParameterGroup
from erc_kedro.core.tuning import Dimension, Settings
from erc_kedro.modelling.settings import ClassifierSettings

TRAINING = "training."
"""What the names of a classifier's settings begin with; the rest is their path."""

_DIGITS = 4
"""Significant digits of a number that is tried, so that it can be written down as it is."""

_STEP = 10_000
"""Ratios are multiples of 1 / this: less than an utterance."""


def searchable(classifier: str | None = None) -> dict[str, TypeAdapter[Any]]:
    """Return what checks a value, by every name that may be searched.

    Args:
        classifier: Leaves out the settings of the other kind, which would have no effect.
    """
    found = {
        "ratio": TypeAdapter(Annotated[float, Field(ge=0)]),
        "strategy": _adapter(Recipe, "strategy"),
        "loss_weight": _adapter(Recipe, "loss_weight"),
    }
    for group in ("objective", "contextual", "finetuned"):
        if classifier in (None, group) or group == "objective":
            kind = ClassifierSettings.model_fields[group].annotation
            assert isinstance(kind, type)
            for name in kind.model_fields:
                found[f"{TRAINING}{group}.{name}"] = _adapter(kind, name)
    return found


def _adapter(group: type[ParameterGroup], name: str) -> TypeAdapter[Any]:
    field = group.model_fields[name]
    kind: Any = field.annotation
    return TypeAdapter(Annotated[(kind, *field.metadata)] if field.metadata else kind)


def check_space(space: Mapping[str, Dimension], classifier: str | None = None) -> None:
    """Refuse what cannot be searched: unknown names, and values that their group would refuse.

    Args:
        space: The dimensions by name.
        classifier: The kind in use, if it is known.

    Raises:
        UserError: Naming the nearest right names, or what the group takes.
    """
    known = searchable(classifier)
    for name, dimension in space.items():
        if name not in known:
            near = get_close_matches(name, known, n=3, cutoff=0.4)
            idle = name in searchable()
            raise UserError(
                f"It has no effect: the classifier is {classifier!r}."
                if idle
                else "No such thing can be searched.",
                where=f"tuning.space.{name}",
                expected=", ".join(near or known),
                remedy="correct the name, or set it to null to leave it out",
            )
        for value in _values(name, dimension):
            try:
                known[name].validate_python(value, strict=True)
            except ValidationError as error:
                raise UserError(
                    "A value in the space is refused by the parameter that it is for.",
                    where=f"tuning.space.{name}",
                    found=repr(value),
                    expected=error.errors()[0]["msg"],
                    remedy="narrow the dimension, or make it categorical with choices",
                ) from error
    _check_ratio(space.get("ratio"))


def _check_ratio(ratio: Dimension | None) -> None:
    if ratio is None or not ratio.holds(0 if ratio.kind == "int" else 0.0):
        if ratio is not None and ratio.kind == "categorical" and 0 in (ratio.choices or ()):
            return
        raise UserError(
            "The space has no ratio of 0, which every recipe is held against.",
            where="tuning.space.ratio",
            expected="{kind: float, low: 0, high: null}, or bounds or choices that hold 0",
        )


def _values(name: str, dimension: Dimension) -> list[Any]:
    """Return values that stand for all of a dimension; of whole numbers all, if they are few."""
    if dimension.kind == "categorical":
        return list(dimension.choices or ())
    assert dimension.low is not None
    if dimension.high is None and name != "ratio":
        raise UserError(
            "Only of synthetic dialogues there is a most.",
            where=f"tuning.space.{name}.high",
            expected="a number",
            found="null",
        )
    high = dimension.low if dimension.high is None else dimension.high
    if dimension.kind == "int":
        few = high - dimension.low < 1000
        return (
            [*range(int(dimension.low), int(high) + 1)] if few else [int(dimension.low), int(high)]
        )
    return [dimension.low, high]


@dataclass(frozen=True)
class RecipeSpace:
    """Turns settings of a search into recipes and classifier settings.

    Attributes:
        dimensions: What is searched, by name; every bound is a number.
        reference: The default recipe: its values hold where nothing is searched.
        training: The classifier settings of which the same is true.
        most: By strategy the largest ratio that its accepted dialogues allow beside all of train.
    """

    dimensions: Mapping[str, Dimension]
    reference: Recipe
    training: ClassifierSettings
    most: Mapping[str, float]

    @classmethod
    def made_from(
        cls,
        space: Mapping[str, Dimension],
        reference: Recipe,
        training: ClassifierSettings,
        train: pd.DataFrame,
        synthetic: pd.DataFrame,
    ) -> "RecipeSpace":
        """Return the space beside these dialogues; the most that is there fills an open bound.

        Args:
            space: As declared.
            reference: The default recipe.
            training: The classifier settings.
            train: Real train.
            synthetic: The accepted synthetic dialogues, with a column `strategy`.

        Raises:
            UserError: If the space cannot be searched, a strategy has no dialogue, or the
                default recipe is not in the space.
        """
        check_space(space, training.classifier)
        sizes = synthetic["strategy"].value_counts().to_dict() | {"all": len(synthetic)}
        n_real = len(labelled(train))
        most = {str(s): floor(_STEP * n / n_real) / _STEP for s, n in sizes.items() if n}
        strategy = space.get("strategy")
        used = [reference.strategy, *(strategy.choices or () if strategy else ())]
        if missing := [str(name) for name in used if name not in most]:
            raise UserError(
                "No accepted synthetic dialogue of a strategy that is to be tried.",
                where="tuning.space.strategy",
                expected=", ".join(most) or "some accepted dialogue",
                found=", ".join(missing),
                remedy="generate some (generation.dialogues), or leave the strategy out",
            )
        reach = max(most[str(name)] for name in used)
        filled = {name: own.up_to(reach) for name, own in space.items()}
        plain = ClassifierSettings(**training.model_dump())
        found = cls(filled, reference, plain, {s: most[s] for s in sorted(most)})
        found._check_default()
        return found

    def first(self) -> list[dict[str, Any]]:
        """Return the settings of the trials that come first: ratio 0, and the default recipe."""
        default = {name: self._default(name) for name in self.dimensions}
        return [default | {"ratio": 0.0}, default]

    def in_effect(self, settings: Settings) -> dict[str, Any]:
        """Return what settings come to: numbers of few digits, a ratio that the strategy allows."""
        found = {name: self._rounded(name, value) for name, value in settings.items()}
        strategy = str(found.get("strategy", self.reference.strategy))
        found["ratio"] = min(float(found["ratio"]), self.most[strategy])
        return found

    def open(self, settings: Settings) -> tuple[Recipe, ClassifierSettings]:
        """Return the recipe and the classifier settings that settings stand for."""
        found = self.in_effect(settings)
        fields = ("strategy", "ratio", "loss_weight")
        of_recipe = {name: found.get(name, getattr(self.reference, name)) for name in fields}
        training = self.training.model_dump()
        for name, value in found.items():
            if name.startswith(TRAINING):
                group, field = name.removeprefix(TRAINING).split(".")
                training[group][field] = value
        return Recipe(extra="synthetic", **of_recipe), ClassifierSettings(**training)

    def _default(self, name: str) -> Any:
        if name.startswith(TRAINING):
            group, field = name.removeprefix(TRAINING).split(".")
            return getattr(getattr(self.training, group), field)
        value = getattr(self.reference, name)
        if name == "ratio":
            most = self.most[self.reference.strategy]
            value = most if value is None else min(value, most)
        return value

    def _rounded(self, name: str, value: Any) -> Any:
        dimension = self.dimensions[name]
        if dimension.kind != "float" or not value:
            return value
        assert dimension.low is not None and dimension.high is not None
        short = floor(_STEP * value + 0.5) / _STEP if name == "ratio" else _short(value)
        return min(max(short, float(dimension.low)), float(dimension.high))

    def _check_default(self) -> None:
        for name, dimension in self.dimensions.items():
            if not dimension.holds(value := self._default(name)):
                raise UserError(
                    "The default recipe is not in the space; it is always tried.",
                    where=f"tuning.space.{name}",
                    expected=f"a dimension that holds {value!r}",
                    found=str(dimension),
                    remedy="widen the dimension, or change the default",
                )


def _short(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")

"""A space of recipes and classifier settings, beside the dialogues at hand. No torch here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil, floor
from typing import Any

import pandas as pd

from erc_kedro.core.difficulty import shift_weights
from erc_kedro.core.errors import UserError
from erc_kedro.core.labels import LabelSet, labelled
from erc_kedro.core.recipe import Recipe
from erc_kedro.core.tuning import Dimension, Settings
from erc_kedro.core.weighing import NEEDS
from erc_kedro.modelling.searchable import (
    OF_EMOTIONS,
    OF_RECIPE,
    TRAINING,
    check_space,
    is_ratio,
    searchable,
)
from erc_kedro.modelling.settings import ClassifierSettings

__all__ = ["RecipeSpace", "check_space", "searchable"]

_DIGITS = 4
"""Significant digits of a number that is tried, so that it can be written down as it is."""

_STEP = 10_000
"""Ratios are multiples of 1 / this: less than an utterance."""


@dataclass(frozen=True)
class RecipeSpace:
    """Turns settings of a search into recipes and classifier settings.

    Attributes:
        dimensions: What is searched, by name; every bound is a number.
        reference: The default recipe: its values hold where nothing is searched.
        training: The classifier settings of which the same is true.
        most: By strategy the largest ratio that its accepted dialogues allow beside all of train.
        is_open: Whether the ratio has no bound of its own: then the whole of the dimension goes
            from none to all of what a strategy has, whichever it is.
        most_of: The same of each emotion whose ratio is searched: by strategy, then by name.
    """

    dimensions: Mapping[str, Dimension]
    reference: Recipe
    training: ClassifierSettings
    most: Mapping[str, float]
    most_of: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    is_open: bool = False

    @classmethod
    def made_from(
        cls,
        space: Mapping[str, Dimension],
        reference: Recipe,
        training: ClassifierSettings,
        train: pd.DataFrame,
        synthetic: pd.DataFrame,
        label_set: LabelSet,
    ) -> "RecipeSpace":
        """Return the space beside these dialogues; the most that is there fills an open bound.

        Args:
            space: As declared.
            reference: The default recipe.
            training: The classifier settings.
            train: Real train.
            synthetic: The accepted synthetic dialogues, with a column `strategy`.
            label_set: Of the corpus: the emotions whose ratio may be searched.

        Raises:
            UserError: If the space cannot be searched, a strategy has no dialogue, a schedule
                cannot be made, or the default recipe is not in the space.
        """
        check_space(space, training.classifier, label_set.emotions)
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
        most = {name: most[name] for name in sorted(most)}
        most_of = {s: _most_of_emotions(space, train, synthetic, s) for s in most}
        filled = {
            name: own.up_to(max((most_of[str(s)] | {"ratio": most[str(s)]})[name] for s in used))
            if is_ratio(name)
            else own
            for name, own in space.items()
        }
        plain = ClassifierSettings(**training.model_dump())
        ratio = space["ratio"]
        is_open = ratio.kind != "categorical" and ratio.high is None
        found = cls(filled, reference, plain, most, most_of, is_open)
        found._check_default()
        found._check_schedules(label_set)
        return found

    def first(self) -> list[dict[str, Any]]:
        """Return the settings of the trials that come first: ratio 0, and the default recipe."""
        default = {name: self._default(name) for name in self.dimensions}
        if self.is_open:
            share = default["ratio"] / self.most[self.reference.strategy]
            default["ratio"] = share * self._highest_ratio
        return [default | {"ratio": 0.0}, default]

    def in_effect(self, settings: Settings) -> dict[str, Any]:
        """Return what settings come to: numbers of few digits, a ratio that the strategy allows."""
        found = {name: self._rounded(name, value) for name, value in settings.items()}
        most = self.most[str(found.get("strategy", self.reference.strategy))]
        ratio = float(settings["ratio"])
        if self.is_open:
            ratio *= most / self._highest_ratio
        found["ratio"] = min(floor(_STEP * ratio + 0.5) / _STEP, most)
        return found

    def open(self, found: Settings) -> tuple[Recipe, ClassifierSettings]:
        """Return the recipe and the classifier settings of settings as they are in effect."""
        names = (*OF_RECIPE, "relabel")
        of_recipe = {name: found.get(name, getattr(self.reference, name)) for name in names}
        ratios = dict(self.reference.emotion_ratios)
        training = self.training.model_dump()
        for name, value in found.items():
            if name.startswith(TRAINING):
                group, setting = name.removeprefix(TRAINING).split(".")
                training[group][setting] = value
            elif name.startswith(OF_EMOTIONS):
                ratios[name.removeprefix(OF_EMOTIONS)] = value
        recipe = Recipe(extra="synthetic", **of_recipe, emotion_ratios=ratios)
        return recipe, ClassifierSettings(**training)

    @property
    def goes_by_need(self) -> bool:
        """Whether a recipe in it may need scores of `weighing.NEEDS`."""
        tried: set[str] = {self.reference.selection, self.reference.weighting}
        for name in ("selection", "weighting"):
            if name in self.dimensions:
                tried |= set(map(str, self.dimensions[name].choices or ()))
        return bool(tried & set(NEEDS))

    @property
    def _highest_ratio(self) -> float:
        highest = self.dimensions["ratio"].high
        assert highest is not None
        return highest

    def _default(self, name: str) -> Any:
        if name.startswith(TRAINING):
            group, setting = name.removeprefix(TRAINING).split(".")
            return getattr(getattr(self.training, group), setting)
        if name.startswith(OF_EMOTIONS):
            return self._default_of_emotion(name)
        value = getattr(self.reference, name)
        if name == "ratio":
            most = self.most[self.reference.strategy]
            share = floor(_STEP * most * self.reference.amount) / _STEP
            value = share if value is None else min(value, most)
        return value

    def _default_of_emotion(self, name: str) -> float | None:
        """Return the default recipe's ratio; where it has no limit, one that limits nothing."""
        value = self.reference.emotion_ratios.get(name.removeprefix(OF_EMOTIONS))
        if value is None and not self.dimensions[name].holds(None):
            return self.most_of[self.reference.strategy][name]
        return value

    def _rounded(self, name: str, value: Any) -> Any:
        dimension = self.dimensions[name]
        if dimension.kind != "float" or not value:
            return value
        assert dimension.low is not None and dimension.high is not None
        short = floor(_STEP * value + 0.5) / _STEP if is_ratio(name) else _short(value)
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

    def _check_schedules(self, label_set: LabelSet) -> None:
        searched = self.dimensions.get("schedule")
        tried = searched.choices or () if searched else (self.reference.schedule,)
        if "first_share" in self.dimensions and set(tried) <= {"together"}:
            raise UserError(
                "This dimension has no effect: all dialogues are seen together.",
                where="tuning.space.first_share",
                expected="schedule in the space too, with synthetic_first or easy_first",
                remedy="add it, or leave first_share out",
            )
        if "easy_first" in tried:
            shift_weights(label_set)


def _short(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")


def _most_of_emotions(
    space: Mapping[str, Dimension], train: pd.DataFrame, synthetic: pd.DataFrame, strategy: str
) -> dict[str, float]:
    """Return, by name in the space, the synthetic utterances of an emotion per real one."""
    own = synthetic if strategy == "all" else synthetic[synthetic["strategy"] == strategy]
    found = {}
    for name in (name for name in space if name.startswith(OF_EMOTIONS)):
        emotion = name.removeprefix(OF_EMOTIONS)
        n_real = max(int((train["emotion"] == emotion).sum()), 1)
        found[name] = ceil(_STEP * int((own["emotion"] == emotion).sum()) / n_real) / _STEP
    return found

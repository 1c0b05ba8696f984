"""The names that can be searched, and which values they take. No torch here."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from erc_kedro.core.errors import UserError
from erc_kedro.core.parameters import ParameterGroup
from erc_kedro.core.recipe import EMOTION_RATIOS, Ratio, Recipe, check_emotions
from erc_kedro.core.tuning import Dimension
from erc_kedro.modelling.settings import ClassifierSettings

TRAINING = "training."
"""What the names of a classifier's settings begin with; the rest is their path."""

OF_EMOTIONS = f"{EMOTION_RATIOS}."
"""What the names of ratios per emotion begin with; the rest is the emotion."""

OF_RECIPE = (
    "strategy", "ratio", "selection", "loss_weight", "min_confidence", "weighting",
    "adapted", "schedule", "first_share",
)  # fmt: skip
"""Fields of a recipe that can be searched by their names."""


def searchable(classifier: str | None = None) -> dict[str, TypeAdapter[Any]]:
    """Return what checks a value, by every name that may be searched.

    Ratios per emotion have a name for each: see `check_space`.

    Args:
        classifier: Leaves out the settings of the other kind, which would have no effect.
    """
    found = {name: _adapter(Recipe, name) for name in OF_RECIPE}
    found["ratio"] = TypeAdapter(Annotated[float, Field(ge=0)])
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


def check_space(
    space: Mapping[str, Dimension],
    classifier: str | None = None,
    emotions: Sequence[str] | None = None,
) -> None:
    """Refuse what cannot be searched: unknown names, and values that their group would refuse.

    Args:
        space: The dimensions by name.
        classifier: The kind in use, if it is known.
        emotions: The label set, if it is known: of each "emotion_ratios.<emotion>" can be searched.

    Raises:
        UserError: Naming the nearest right names, or what the group takes.
    """
    known = searchable(classifier)
    named = [name.removeprefix(OF_EMOTIONS) for name in space if name.startswith(OF_EMOTIONS)]
    if emotions is not None:
        check_emotions(named, emotions, f"tuning.space.{EMOTION_RATIOS}")
    known |= {f"{OF_EMOTIONS}{name}": TypeAdapter(Ratio | None) for name in named}
    for name, dimension in space.items():
        if name not in known:
            near = get_close_matches(name, known, n=3, cutoff=0.4)
            idle = name in searchable()
            raise UserError(
                f"This dimension has no effect: the classifier is {classifier!r}."
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
    if dimension.high is None and not (is_ratio(name) and dimension.kind == "float"):
        raise UserError(
            "This dimension needs an upper bound; only ratios of kind float may leave it open.",
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


def is_ratio(name: str) -> bool:
    """Say whether a name is that of a ratio, of which there is a most."""
    return name == "ratio" or name.startswith(OF_EMOTIONS)

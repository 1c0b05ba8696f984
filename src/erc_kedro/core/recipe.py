"""Recipes: how a training set is mixed."""

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from erc_kedro.core.errors import UserError
from erc_kedro.core.parameters import ParameterGroup

Ratio = Annotated[float, Field(ge=0)]

EMOTION_RATIOS = "emotion_ratios"
"""The field of ratios per emotion, and what their names in a search begin with."""

_ALWAYS = frozenset({"strategy", "ratio", "loss_weight"})
_ON_REQUEST = frozenset({"selection", EMOTION_RATIOS, "min_confidence", "weighting", "relabel"})


class Recipe(ParameterGroup):
    """How a training set is mixed.

    Attributes:
        real: Whether the real dialogues are in it.
        extra: What is added: nothing, accepted synthetic dialogues, or repeated real dialogues
            with rare emotions (as many utterances as the augmented arm adds).
        strategy: Which synthetic dialogues; "all" takes every strategy.
        ratio: Synthetic utterances per labelled real one; null takes every accepted dialogue.
        selection: Which dialogues, where the ratio asks for fewer than there are: by chance
            (random); those that cover what real ones of their emotions leave thin (coverage), that
            are near what a model of the real ones gets wrong (errors), or that look most like real
            ones (style). Label shares stay near those of all accepted ones.
        loss_weight: Weight of a synthetic utterance in the loss; a real one weighs 1.
        emotion_ratios: By emotion, synthetic utterances that are learnt per real one of it; the
            others stay as context. An emotion that is not named, or null, has no limit.
        min_confidence: A synthetic utterance whose planned label the verifier gives less than this
            stays as context; 0 asks no verifier.
        weighting: How the loss weight is spread over the synthetic utterances: evenly (none), by
            the verifier's confidence in the planned label, by its doubt (1 - confidence), by
            importance (confidence / what a model of the synthetic dialogues expects), or by how
            much an utterance looks like a real one (style).
        relabel: An utterance for which the verifier gives another label at least this probability
            takes that label; null never.
    """

    real: bool = True
    extra: Literal["none", "synthetic", "repeated"] = "none"
    strategy: str = "balanced"
    ratio: Ratio | None = None
    selection: Literal["random", "coverage", "errors", "style"] = "random"
    loss_weight: Annotated[float, Field(gt=0, le=1)] = 1.0
    emotion_ratios: dict[str, Ratio | None] = {}
    min_confidence: Annotated[float, Field(ge=0, le=1)] = 0.0
    weighting: Literal["none", "confidence", "doubt", "importance", "style"] = "none"
    relabel: Annotated[float, Field(gt=0, le=1)] | None = None

    @model_validator(mode="after")
    def _all_in_effect(self) -> "Recipe":
        idle = sorted(self.model_fields_set & self.idle)
        if idle:
            raise ValueError(f"{', '.join(idle)} without effect: extra is {self.extra!r}")
        return self

    @property
    def idle(self) -> frozenset[str]:
        """The fields that can have no effect."""
        return frozenset() if self.extra == "synthetic" else _ALWAYS | _ON_REQUEST

    @property
    def asks_verifier(self) -> bool:
        """Whether it needs the verifier's word on every synthetic utterance."""
        weighs = self.weighting not in ("none", "style")
        asks = self.min_confidence > 0 or weighs or self.relabel is not None
        return self.extra == "synthetic" and asks

    @property
    def asks_expectation(self) -> bool:
        """Whether it needs to know what a model of the synthetic dialogues expects."""
        return self.extra == "synthetic" and self.weighting == "importance"

    @property
    def needs(self) -> frozenset[str]:
        """The scores of `weighing.NEEDS` that it needs of every synthetic utterance.

        Without a ratio, or with ratio 0, there is nothing to select.
        """
        own = set[str]()
        if self.selection != "random" and self.ratio:
            own.add(self.selection)
        if self.weighting == "style":
            own.add(self.weighting)
        return frozenset(own if self.extra == "synthetic" else ())

    @property
    def asks(self) -> bool:
        """Whether it needs anything of the stage verification."""
        return self.asks_verifier or bool(self.needs)

    @property
    def limits(self) -> dict[str, float]:
        """The ratios of the emotions that have one."""
        return {name: own for name, own in self.emotion_ratios.items() if own is not None}

    def in_effect(self) -> dict[str, Any]:
        """Return the fields that say something about this recipe, as plain values.

        What is on request is left out while it is off.
        """
        off = {n for n in _ON_REQUEST if getattr(self, n) == type(self).model_fields[n].default}
        found = self.model_dump(exclude=set(self.idle | off))
        if EMOTION_RATIOS in found:
            found[EMOTION_RATIOS] = self.limits
        return found


def check_emotions(names: Sequence[str], emotions: Sequence[str], where: str) -> None:
    """Refuse names that are no emotions of the label set.

    Raises:
        UserError: Naming the nearest right ones.
    """
    for name in names:
        if name not in emotions:
            near = get_close_matches(name, emotions, n=3, cutoff=0.4)
            raise UserError(
                "No such emotion in the label set.",
                where=f"{where}.{name}",
                expected=", ".join(near or emotions),
                found=repr(name),
                remedy="correct the name, or leave it out",
            )

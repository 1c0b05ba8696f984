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
_ON_REQUEST = frozenset(
    {"amount", "selection", EMOTION_RATIOS, "min_confidence", "weighting", "relabel", "adapted"}
)


class Recipe(ParameterGroup):
    """How a training set is mixed.

    Attributes:
        real: Whether the real dialogues are in it.
        extra: What is added: nothing, accepted synthetic dialogues, or repeated real dialogues
            with rare emotions (as many utterances as the augmented arm adds).
        strategy: Which synthetic dialogues; "all" takes every strategy.
        ratio: Synthetic utterances per labelled real one; null leaves it to amount.
        amount: Share of the accepted dialogues, while ratio is null; 1 takes every one.
        selection: Which dialogues, where fewer are asked for than there are: by chance (random),
            those that cover what real ones of their emotions leave thin (coverage), that are near
            what a model of the real ones gets wrong (errors), or that look most like real ones
            (style). Label shares stay near those of all accepted ones.
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
        adapted: Whether the encoder is first fine-tuned on all accepted synthetic dialogues, of any
            strategy; what it then makes of a text stands beside what it made of it before.
        schedule: What training sees when: all at any time (together), the synthetic dialogues first
            and then the real ones alone (synthetic_first), or the easier half of all dialogues
            first and then all (easy_first, also without extra).
        first_share: Share of the optimiser steps in the first part of a schedule.
    """

    real: bool = True
    extra: Literal["none", "synthetic", "repeated"] = "none"
    strategy: str = "balanced"
    ratio: Ratio | None = None
    amount: Annotated[float, Field(gt=0, le=1)] = 1.0
    selection: Literal["random", "coverage", "errors", "style"] = "random"
    loss_weight: Annotated[float, Field(gt=0, le=1)] = 1.0
    emotion_ratios: dict[str, Ratio | None] = {}
    min_confidence: Annotated[float, Field(ge=0, le=1)] = 0.0
    weighting: Literal["none", "confidence", "doubt", "importance", "style"] = "none"
    relabel: Annotated[float, Field(gt=0, le=1)] | None = None
    adapted: bool = False
    schedule: Literal["together", "synthetic_first", "easy_first"] = "together"
    first_share: Annotated[float, Field(gt=0, lt=1)] = 0.3

    @model_validator(mode="after")
    def _all_in_effect(self) -> "Recipe":
        idle = sorted(self.model_fields_set & self.idle)
        if idle:
            raise ValueError(f"{', '.join(idle)} without effect: extra is {self.extra!r}")
        return self

    @model_validator(mode="after")
    def _has_both_parts(self) -> "Recipe":
        if self.schedule == "synthetic_first" and not (self.real and self.extra == "synthetic"):
            found = f"extra is {self.extra!r}, real is {str(self.real).lower()}"
            raise ValueError(
                f"schedule synthetic_first needs extra: synthetic, real: true; {found}"
            )
        return self

    @property
    def idle(self) -> frozenset[str]:
        """The fields that can have no effect."""
        return frozenset() if self.extra == "synthetic" else _ALWAYS | _ON_REQUEST

    @property
    def draws(self) -> bool:
        """Whether it may take fewer dialogues than there are, but some."""
        return self.amount < 1 if self.ratio is None else self.ratio > 0

    @property
    def asks_adaptation(self) -> bool:
        """Whether it is trained on an adapted encoder; with a ratio of 0 it is real data alone."""
        return self.may_be_adapted and self.ratio != 0

    @property
    def may_be_adapted(self) -> bool:
        """Whether it is trained on an adapted encoder, beside whatever ratio is tried."""
        return self.adapted and self.extra == "synthetic"

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

        Where every dialogue is taken, or none, there is nothing to select.
        """
        own = set[str]()
        if self.selection != "random" and self.draws:
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

        What is on request is left out while it is off, and an amount beside a ratio.
        """
        fields = _ON_REQUEST | {"schedule"}
        off = {n for n in fields if getattr(self, n) == type(self).model_fields[n].default}
        if self.ratio is not None:
            off.add("amount")
        if "schedule" in off:
            off.add("first_share")
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

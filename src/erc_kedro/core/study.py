"""What a study is made of: treatments, cells, and groups of cells that differ in the seed alone."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from erc_kedro.core.mixing import Recipe

PARTS = ("confirmatory", "choice", "curves", "imbalance", "ablation", "transfer")
"""The parts of a study, in the order of its table. "choice" picks the best baseline on train."""

How = Literal["none", "synthetic", "repeated", "weighted"]
"""How a rare emotion is given more weight: not at all, by synthetic utterances, by repeated real
ones, or by a larger weight in the loss."""


@dataclass(frozen=True)
class Imbalance:
    """One emotion made rarer, and given back.

    Attributes:
        emotion: The emotion.
        share: Of its real utterances that are learnt; the others become context alone.
        how: What gives it more weight.
        up_to: "former": as many as were removed; "all": as many as the synthetic dialogues hold.
        strategy: Which synthetic dialogues; "all" takes every strategy.
        loss_weight: Of an added utterance.
    """

    emotion: str
    share: float
    how: How = "none"
    up_to: Literal["former", "all"] = "former"
    strategy: str = "balanced"
    loss_weight: float = 1.0


@dataclass(frozen=True)
class Treatment:
    """What is done beside the draw of real dialogues.

    Attributes:
        recipe: Of the training sets.
        training: Settings of training that differ, by their path after "training.".
        imbalance: Takes the recipe's place.
    """

    recipe: Recipe
    training: Mapping[str, Any] = field(default_factory=dict)
    imbalance: Imbalance | None = None

    @property
    def asks_adaptation(self) -> bool:
        """Whether it is trained on an adapted encoder: never under an imbalance."""
        return self.imbalance is None and self.recipe.asks_adaptation

    def plain(self) -> dict[str, Any]:
        """Return all that is in effect as plain values: equal treatments give equal ones."""
        if self.imbalance is not None:
            return {"imbalance": asdict(self.imbalance), "training": dict(self.training)}
        return {"recipe": self.recipe.in_effect(), "training": dict(self.training)}


@dataclass(frozen=True)
class Cell:
    """One training: a treatment on one draw of real train.

    Attributes:
        treatment: What is done.
        fraction: Part of real train, by whole dialogues, drawn by the seed.
        seed: Of the draws and of the training.
        fold: The fold of real train that is held out; None trains for test.
        judged: Whether the rest of real train is predicted.
    """

    treatment: Treatment
    fraction: float
    seed: int
    fold: int | None = None
    judged: bool = False

    def plain(self) -> dict[str, Any]:
        """Return all that tells it from other cells as plain values."""
        own = {"fraction": self.fraction, "seed": self.seed, "fold": self.fold}
        return own | {"judged": self.judged} | self.treatment.plain()


@dataclass(frozen=True)
class CellGroup:
    """Cells of one part of the study that differ in the seed alone (and in the fold).

    Attributes:
        part: Of `PARTS`.
        name: What is shown of the treatment.
        fraction: Part of real train.
        treatment: What is done.
        seeds: In order.
        against: Names of the groups of the same part and fraction that it is compared with.
        folds: Folds of real train that are held out in turn; 0 trains for test.
        judged: Whether the rest of real train is predicted.
        emotion: The emotion that it is about, if it is about one.
    """

    part: str
    name: str
    fraction: float
    treatment: Treatment
    seeds: tuple[int, ...]
    against: tuple[str, ...] = ()
    folds: int = 0
    judged: bool = False
    emotion: str = ""

    @property
    def key(self) -> str:
        """A name that no other group of the study has."""
        parts = [self.part, f"{self.fraction:g}", self.emotion, self.name]
        return " ".join(part for part in parts if part)

    def cells(self) -> list[Cell]:
        """Return its cells, by seed, then by fold."""
        folds: Iterable[int | None] = range(self.folds) if self.folds else [None]
        judged = self.judged or bool(self.folds)
        return [
            Cell(self.treatment, self.fraction, seed, fold, judged)
            for seed in self.seeds
            for fold in folds
        ]


def shared(groups: Iterable[CellGroup]) -> list[CellGroup]:
    """Return the groups with what several parts need made alike, so that it is trained once.

    A group is judged if any with the same treatment and fraction is.
    """
    groups = list(groups)
    judged = {_identity(group) for group in groups if group.judged}
    return [replace(group, judged=_identity(group) in judged) for group in groups]


def _identity(group: CellGroup) -> str:
    return repr((group.fraction, bool(group.folds), group.treatment.plain()))

"""Dialogue specs: what each synthetic dialogue shall be, and how they are planned."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from erc_kedro.core.errors import UserError
from erc_kedro.core.labels import LabelSet
from erc_kedro.core.transitions import TransitionModel
from erc_kedro.core.turn_shapes import TurnShape, TurnShapes, shuffled_for_ever


@dataclass(frozen=True)
class DialogueSpec:
    """What a synthetic dialogue shall be.

    Attributes:
        id: Unique over all specs; also the dialogue's id.
        strategy: How the emotions were drawn ("balanced", "faithful" or a name of the user's).
        scenario: What happens.
        n_speakers: How many different people speak.
        emotions: The emotion of every turn.
        relation: Who the speakers are to each other, if stated.
        setting: Where it happens, if stated.
        speaker_order: Who speaks each turn, numbered by first appearance, if stated.
        narrative: A short story behind it, with its characters, if stated.
        shapes: How long every turn is and how it ends, if stated: wanted, and not insisted on.
    """

    id: str
    strategy: str
    scenario: str
    n_speakers: int
    emotions: tuple[str, ...]
    relation: str | None = None
    setting: str | None = None
    speaker_order: tuple[int, ...] | None = None
    narrative: str | None = None
    shapes: tuple[TurnShape, ...] | None = None

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "DialogueSpec":
        """Return the spec that `to_dict` wrote."""
        known = {name: values[name] for name in cls.__dataclass_fields__ if name in values}
        known["emotions"] = tuple(known["emotions"])
        if known.get("speaker_order") is not None:
            known["speaker_order"] = tuple(known["speaker_order"])
        if known.get("shapes") is not None:
            known["shapes"] = tuple(map(TurnShape.from_plain, known["shapes"]))
            if len(known["shapes"]) != len(known["emotions"]):
                raise ValueError("as many shapes as emotions are wanted")
        return cls(**known)

    def to_dict(self) -> dict[str, Any]:
        """Return the spec as plain values, for JSON."""
        values = asdict(self)
        values["emotions"] = list(self.emotions)
        if self.speaker_order is not None:
            values["speaker_order"] = list(self.speaker_order)
        if self.shapes is not None:
            values["shapes"] = [list(shape) for shape in self.shapes]
        return values


def target_shares(
    strategy: str,
    label_set: LabelSet,
    train_shares: np.ndarray,
    given: Mapping[str, float] | None,
    stored: Sequence[DialogueSpec] = (),
) -> np.ndarray:
    """Return the label shares a strategy aims at, shape (labels,).

    Args:
        strategy: "balanced" (uniform), "faithful" (train's own), or any name with given shares.
        label_set: The corpus's label set.
        train_shares: Label shares of real train.
        given: Shares per emotion for a strategy of the user's own; normalised to sum 1.
        stored: The strategy's stored specs; without given shares, one of the user's own has theirs.

    Raises:
        UserError: If the strategy is unknown and no shares are given, or they are no shares.
    """
    if given is not None:
        codes = label_set.codes(given, where=f"target shares of strategy {strategy!r}")
        target = np.zeros(len(label_set))
        target[codes] = list(given.values())
        if not np.isfinite(target).all() or (target < 0).any() or target.sum() <= 0:
            raise UserError(
                "Target shares are no shares.",
                where=f"strategy {strategy!r}",
                expected="numbers from 0 up, at least one above 0",
                found=str(dict(given)),
            )
        return target / target.sum()
    if strategy == "balanced":
        return np.full(len(label_set), 1 / len(label_set))
    if strategy == "faithful":
        return train_shares
    if stored:
        return label_set.shares(emotion for spec in stored for emotion in spec.emotions)
    raise UserError(
        "Unknown strategy.",
        expected="balanced, faithful, or a strategy with target shares",
        found=repr(strategy),
        remedy="give its shares under generation.target_shares",
    )


def label_quotas(target: np.ndarray, n_turns: int) -> np.ndarray:
    """Return how many turns each label gets, shape (labels,), int64: shares by largest remainder.

    >>> label_quotas(np.array([0.5, 0.25, 0.25]), 7)
    array([3, 2, 2])
    """
    quotas = np.floor(target * n_turns).astype(np.int64)
    remainders = target * n_turns - quotas
    quotas[np.argsort(-remainders, kind="stable")[: n_turns - quotas.sum()]] += 1
    return quotas


def draw_attributes(
    tables: Mapping[str, Sequence[str]], n: int, rng: np.random.Generator
) -> list[dict[str, str]]:
    """Draw attribute combinations without replacement: values evenly, no combination twice.

    Every table is gone through in a fresh random order before a value of it comes again.

    Raises:
        UserError: If there are fewer combinations than dialogues.
    """
    tables = {name: list(dict.fromkeys(values)) for name, values in tables.items() if values}
    available = int(np.prod([len(values) for values in tables.values()]))
    if n > available:
        raise UserError(
            "Too few attribute combinations.",
            expected=f"at least {n}, one per dialogue",
            found=f"{available} ({' x '.join(f'{len(v)} {k}' for k, v in tables.items())})",
            remedy="add rows to the attribute tables of the generation parameters",
        )
    taken: set[tuple[str, ...]] = set()
    streams = {name: shuffled_for_ever(values, rng) for name, values in tables.items()}
    drawn: list[dict[str, str]] = []
    while len(drawn) < n:
        values = tuple(next(stream) for stream in streams.values())
        if values not in taken:
            taken.add(values)
            drawn.append(dict(zip(tables, values, strict=True)))
    return drawn


def plan_specs(
    model: TransitionModel,
    orders: Sequence[tuple[int, ...]],
    attributes: Mapping[str, Sequence[str]],
    *,
    n: int,
    strategy: str,
    target: np.ndarray,
    seed: int,
    prefix: str,
    shapes: TurnShapes | None = None,
) -> list[DialogueSpec]:
    """Plan dialogue specs whose turns together have exactly the target's label quotas.

    Args:
        model: Transitions fitted to real train.
        orders: Real train's speaker orders; one is drawn per dialogue.
        attributes: Tables "scenario", "relation", "setting", and "narrative" if there is one.
        n: How many specs.
        strategy: The strategy's name.
        target: Shape (labels,): the label shares, met to less than one turn.
        seed: Same seed, same specs.
        prefix: Start of every id, such as the corpus's name.
        shapes: Of real train's utterances, to plan every turn's by; None leaves them open.

    Returns:
        n specs, ids "<prefix>-<strategy>-s<seed>-<number>".
    """
    if n == 0:
        return []
    rng = np.random.default_rng([seed, *strategy.encode()])
    tilt = model.fit_tilt(target, orders)
    drawn = [orders[i] for i in rng.integers(len(orders), size=n)]
    emotions = model.sample(drawn, tilt, rng.random((n, max(map(len, drawn)))))
    quotas = label_quotas(target, sum(map(len, drawn)))
    emotions = model.fill_quotas(drawn, tilt, emotions, quotas, seed)
    names = model.label_set.emotions
    planned = [
        tuple(names[code] for code in row[: len(order)])
        for order, row in zip(drawn, emotions, strict=True)
    ]
    return [
        DialogueSpec(
            id=f"{prefix}-{strategy}-s{seed}-{number:05d}",
            strategy=strategy,
            n_speakers=max(order) + 1,
            emotions=own,
            speaker_order=order,
            scenario=values["scenario"],
            relation=values["relation"] if max(order) > 0 else None,
            setting=values["setting"],
            narrative=values.get("narrative"),
            shapes=None if shapes is None else shapes.of(own),
        )
        for number, (order, own, values) in enumerate(
            zip(drawn, planned, draw_attributes(attributes, n, rng), strict=True)
        )
    ]


def select_specs(
    stored: Sequence[DialogueSpec], n: int, target: np.ndarray, label_set: LabelSet, seed: int
) -> list[DialogueSpec]:
    """Select stored specs whose label shares together come close to a target.

    A random subset is improved by the best single exchange until none helps.

    Args:
        stored: The specs to choose from.
        n: How many; at most `len(stored)`.
        target: Shape (labels,): wanted label shares.
        label_set: The corpus's label set.
        seed: Same seed, same selection.

    Returns:
        n specs in their stored order.
    """
    counts = np.array(
        [
            np.bincount(label_set.codes(s.emotions, where=s.id), minlength=len(label_set))
            for s in stored
        ]
    ).reshape(len(stored), len(label_set))
    order = np.random.default_rng(seed).permutation(len(stored))
    inside, outside = order[:n].copy(), order[n:].copy()

    def distance(total: np.ndarray) -> np.ndarray:
        return ((total / total.sum(-1, keepdims=True) - target) ** 2).sum(-1)

    while n and len(outside):
        total = counts[inside].sum(0)
        exchanged = distance(total - counts[inside][:, None] + counts[outside][None, :])
        leave, enter = np.unravel_index(exchanged.argmin(), exchanged.shape)
        if exchanged[leave, enter] >= distance(total) - 1e-12:
            break
        inside[leave], outside[enter] = outside[enter], inside[leave]
    return [stored[i] for i in sorted(inside)]

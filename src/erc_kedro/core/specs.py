"""Dialogue specs: what each synthetic dialogue shall be, and how they are planned."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from erc_kedro.core.errors import UserError
from erc_kedro.core.labels import LabelSet

FITTED_DIALOGUES = 4000
"""Dialogues simulated to fit a tilt: label shares are then exact to about 0.1 point."""


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
    """

    id: str
    strategy: str
    scenario: str
    n_speakers: int
    emotions: tuple[str, ...]
    relation: str | None = None
    setting: str | None = None
    speaker_order: tuple[int, ...] | None = None

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "DialogueSpec":
        """Return the spec that `to_dict` wrote."""
        known = {name: values[name] for name in cls.__dataclass_fields__ if name in values}
        known["emotions"] = tuple(known["emotions"])
        if known.get("speaker_order") is not None:
            known["speaker_order"] = tuple(known["speaker_order"])
        return cls(**known)

    def to_dict(self) -> dict[str, Any]:
        """Return the spec as plain values, for JSON."""
        values = asdict(self)
        values["emotions"] = list(self.emotions)
        if self.speaker_order is not None:
            values["speaker_order"] = list(self.speaker_order)
        return values


def speaker_orders(table: pd.DataFrame, min_turns: int, max_turns: int) -> list[tuple[int, ...]]:
    """Return who speaks each turn, numbered by first appearance, for the dialogues in range.

    Raises:
        UserError: If no dialogue has a number of turns in the range.
    """
    orders = []
    for _, speakers in table.groupby("dialogue_id", sort=False)["speaker"]:
        if min_turns <= len(speakers) <= max_turns:
            orders.append(tuple(int(code) for code in pd.factorize(speakers)[0]))
    if not orders:
        raise UserError(
            "No dialogue of train has a length that specs may have.",
            expected=f"dialogues of {min_turns} to {max_turns} turns",
            found=f"{table['dialogue_id'].nunique()} dialogues, none in the range",
            remedy="widen min_turns and max_turns of the generation parameters",
        )
    return orders


class TransitionModel:
    """How the emotion of a turn follows from what came before.

    P(emotion | own, other): `own` is the same speaker's previous emotion, `other` that of the
    last turn by anybody else; each may be absent. Counts back off to the mean of the two
    one-sided distributions, those to the overall shares.

    Attributes:
        probabilities: Shape (labels + 1, labels + 1, labels); index `labels` means "absent".
    """

    def __init__(self, probabilities: np.ndarray, label_set: LabelSet) -> None:
        self.probabilities = probabilities
        self.label_set = label_set

    @classmethod
    def fit(
        cls, table: pd.DataFrame, label_set: LabelSet, backoff: float = 5.0
    ) -> "TransitionModel":
        """Fit to a dialogue table; `backoff` is the weight of the back-off, in observations."""
        n = len(label_set)
        counts = np.zeros((n + 1, n + 1, n))
        coded = table.assign(code=label_set.codes(table["emotion"], where="train"))
        for _, rows in coded.groupby("dialogue_id", sort=False):
            last: dict[str, int] = {}
            order: list[str] = []
            for speaker, code in zip(rows["speaker"], rows["code"], strict=True):
                others = [name for name in reversed(order) if name != speaker]
                counts[last.get(speaker, n), last[others[0]] if others else n, code] += 1
                last[speaker] = code
                order.append(speaker)
        overall = counts.sum((0, 1)) + 1.0
        overall /= overall.sum()

        def one_sided(sums: np.ndarray) -> np.ndarray:
            return (sums + backoff * overall) / (sums.sum(-1, keepdims=True) + backoff)

        lower = (one_sided(counts.sum(1))[:, None] + one_sided(counts.sum(0))[None, :]) / 2
        return cls((counts + backoff * lower) / (counts.sum(-1, keepdims=True) + backoff), label_set)

    def sample(
        self, orders: Sequence[tuple[int, ...]], tilt: np.ndarray, uniforms: np.ndarray
    ) -> np.ndarray:
        """Draw the emotion of every turn of dialogues with given speaker orders.

        Args:
            orders: Who speaks each turn, per dialogue.
            tilt: Shape (labels,): factors that the probabilities are multiplied by.
            uniforms: Shape (dialogues, longest), uniform in [0, 1): the randomness.

        Returns:
            int64 array of shape (dialogues, longest); -1 beyond a dialogue's end.
        """
        n, longest = len(self.label_set), max(map(len, orders))
        tilted = self.probabilities * tilt
        cumulative = np.cumsum(tilted / tilted.sum(-1, keepdims=True), axis=-1)
        speakers = np.full((len(orders), longest), -1)
        for row, order in enumerate(orders):
            speakers[row, : len(order)] = order
        last = np.full((len(orders), speakers.max() + 1), n)
        emotions = np.full((len(orders), longest), -1)
        rows = np.arange(len(orders))
        other = np.full((len(orders), speakers.max() + 1), n)  # last emotion by anybody else
        for turn in range(longest):
            live = speakers[:, turn] >= 0
            who = np.where(live, speakers[:, turn], 0)
            thresholds = cumulative[last[rows, who], other[rows, who]]
            drawn = np.minimum((uniforms[:, turn, None] >= thresholds).sum(-1), n - 1)
            emotions[live, turn] = drawn[live]
            for speaker in range(last.shape[1]):
                heard = live & (who != speaker)
                other[heard, speaker] = drawn[heard]
            last[rows[live], who[live]] = drawn[live]
        return emotions

    def fit_tilt(
        self, target: np.ndarray, orders: Sequence[tuple[int, ...]], seed: int = 0
    ) -> np.ndarray:
        """Return the factors that make the expected label shares equal a target.

        Each step's distribution is tilted exponentially, the smallest change in relative entropy
        that moves its mean (I-projection; Csiszar, 1975). The factors are found by matching the
        shares of simulated dialogues with common random numbers.

        Args:
            target: Shape (labels,): wanted shares, summing to 1; a zero forbids the label.
            orders: Speaker orders that dialogues are drawn from.
            seed: Of the simulation.

        Returns:
            float64 array of shape (labels,), with geometric mean 1 over the wanted labels.
        """
        rng = np.random.default_rng(seed)
        drawn = [orders[i] for i in rng.integers(len(orders), size=FITTED_DIALOGUES)]
        uniforms = rng.random((FITTED_DIALOGUES, max(map(len, drawn))))
        wanted = target > 0
        tilt = wanted.astype(float)
        for _ in range(100):
            emotions = self.sample(drawn, tilt, uniforms)
            shares = np.bincount(emotions[emotions >= 0], minlength=len(target)) / (emotions >= 0).sum()
            if np.abs(shares - target).max() < 5e-4:
                break
            step = np.log(target[wanted] / np.maximum(shares[wanted], 1e-6))
            tilt[wanted] *= np.exp(0.8 * step)
            tilt[wanted] /= np.exp(np.log(tilt[wanted]).mean())
        return tilt


def target_shares(
    strategy: str, label_set: LabelSet, train_shares: np.ndarray, given: Mapping[str, float] | None
) -> np.ndarray:
    """Return the label shares a strategy aims at, shape (labels,).

    Args:
        strategy: "balanced" (uniform), "faithful" (train's own), or any name with given shares.
        label_set: The corpus's label set.
        train_shares: Label shares of real train.
        given: Shares per emotion for a strategy of the user's own; normalised to sum 1.

    Raises:
        UserError: If the strategy is unknown and no shares are given, or they are no shares.
    """
    if given is not None:
        codes = label_set.codes(given, where=f"target shares of strategy {strategy!r}")
        target = np.zeros(len(label_set))
        target[codes] = list(given.values())
        if (target < 0).any() or target.sum() <= 0:
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
    raise UserError(
        "Unknown strategy.",
        expected="balanced, faithful, or a strategy with target shares",
        found=repr(strategy),
        remedy="give its shares under generation.target_shares",
    )


def draw_attributes(
    tables: Mapping[str, Sequence[str]], n: int, rng: np.random.Generator
) -> list[dict[str, str]]:
    """Draw attribute combinations without replacement: values evenly, no combination twice.

    Every table is gone through in a fresh random order before a value of it comes again.

    Raises:
        UserError: If there are fewer combinations than dialogues.
    """
    available = int(np.prod([len(values) for values in tables.values()]))
    if n > available:
        raise UserError(
            "Too few attribute combinations.",
            expected=f"at least {n}, one per dialogue",
            found=f"{available} ({' x '.join(f'{len(v)} {k}' for k, v in tables.items())})",
            remedy="add rows to the attribute tables of the generation parameters",
        )
    taken: set[tuple[str, ...]] = set()
    streams = {name: _shuffled_for_ever(values, rng) for name, values in tables.items()}
    drawn = []
    while len(drawn) < n:
        values = tuple(next(stream) for stream in streams.values())
        if values not in taken:
            taken.add(values)
            drawn.append(dict(zip(tables, values, strict=True)))
    return drawn


def _shuffled_for_ever(values: Sequence[str], rng: np.random.Generator) -> "itertools.chain[str]":
    return itertools.chain.from_iterable(
        (values[i] for i in rng.permutation(len(values))) for _ in itertools.count()
    )


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
) -> list[DialogueSpec]:
    """Plan dialogue specs.

    Args:
        model: Transitions fitted to real train.
        orders: Real train's speaker orders; one is drawn per dialogue.
        attributes: Tables "scenario", "relation" and "setting".
        n: How many specs.
        strategy: The strategy's name.
        target: Shape (labels,): the label shares to expect.
        seed: Same seed, same specs.
        prefix: Start of every id, such as the corpus's name.

    Returns:
        n specs, ids "<prefix>-<strategy>-s<seed>-<number>".
    """
    rng = np.random.default_rng([seed, *strategy.encode()])
    tilt = model.fit_tilt(target, orders)
    drawn = [orders[i] for i in rng.integers(len(orders), size=n)]
    emotions = model.sample(drawn, tilt, rng.random((n, max(map(len, drawn), default=0))))
    names = model.label_set.emotions
    return [
        DialogueSpec(
            id=f"{prefix}-{strategy}-s{seed}-{number:05d}",
            strategy=strategy,
            n_speakers=max(order) + 1,
            emotions=tuple(names[code] for code in row[: len(order)]),
            speaker_order=order,
            scenario=values["scenario"],
            relation=values["relation"] if max(order) > 0 else None,
            setting=values["setting"],
        )
        for number, (order, row, values) in enumerate(
            zip(drawn, emotions, draw_attributes(attributes, n, rng), strict=True)
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
        [np.bincount(label_set.codes(s.emotions, where=s.id), minlength=len(label_set)) for s in stored]
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

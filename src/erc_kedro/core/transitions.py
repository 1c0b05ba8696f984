"""How emotions follow each other in a corpus, and how that is tilted to other label shares."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from erc_kedro.core.errors import UserError
from erc_kedro.core.labels import LabelSet

FITTED_DIALOGUES = 4000
"""Dialogues simulated to fit a tilt: label shares are then exact to about 0.1 point."""


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
        return cls(
            (counts + backoff * lower) / (counts.sum(-1, keepdims=True) + backoff), label_set
        )

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
        cumulative = np.cumsum(tilted, axis=-1)
        cumulative /= cumulative[..., -1:]  # exactly 1 from the last wanted label on
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
            shares = (
                np.bincount(emotions[emotions >= 0], minlength=len(target)) / (emotions >= 0).sum()
            )
            if np.abs(shares - target).max() < 5e-4:
                break
            step = np.log(target[wanted] / np.maximum(shares[wanted], 1e-6))
            tilt[wanted] *= np.exp(0.8 * step)
            tilt[wanted] /= np.exp(np.log(tilt[wanted]).mean())
        return tilt

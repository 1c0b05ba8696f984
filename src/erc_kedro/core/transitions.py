"""How emotions follow each other in a corpus, and how that is tilted to other label shares."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from erc_kedro.core.errors import UserError
from erc_kedro.core.labels import LabelSet

EmotionOf = Callable[[int, np.ndarray, np.ndarray], np.ndarray]

_CANDIDATES = 100

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
        """Fit to a dialogue table; `backoff` is the weight of the back-off, in observations.

        A turn of `labels.OTHER` is not counted, and for those after it that emotion is absent.
        """
        n = len(label_set)
        counts = np.zeros((n + 1, n + 1, n))
        coded = table.assign(code=label_set.codes(table["emotion"], where="train", other=n))
        for _, rows in coded.groupby("dialogue_id", sort=False):
            last: dict[str, int] = {}
            order: list[str] = []
            for speaker, code in zip(rows["speaker"], rows["code"], strict=True):
                others = [name for name in reversed(order) if name != speaker]
                if code < n:
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
        cumulative = np.cumsum(self.probabilities * tilt, axis=-1)
        cumulative /= cumulative[..., -1:]  # exactly 1 from the last wanted label on
        highest = len(self.label_set) - 1

        def draw(turn: int, own: np.ndarray, other: np.ndarray) -> np.ndarray:
            passed = uniforms[:, turn, None] >= cumulative[own, other]
            return np.minimum(passed.sum(-1), highest)

        return self._walk(orders, draw)

    def _walk(self, orders: Sequence[tuple[int, ...]], emotion_of: EmotionOf) -> np.ndarray:
        """Go through dialogues turn by turn, all at once.

        Args:
            orders: Who speaks each turn, per dialogue.
            emotion_of: Takes a turn's number, and the speaker's own last emotion and that of
                anybody else, each of shape (dialogues,), `labels` where absent; returns the
                turn's emotions. What it returns for a dialogue that has ended is passed over.

        Returns:
            int64 array of shape (dialogues, longest); -1 beyond a dialogue's end.
        """
        n, longest = len(self.label_set), max(map(len, orders))
        speakers = np.full((len(orders), longest), -1)
        for row, order in enumerate(orders):
            speakers[row, : len(order)] = order
        last = np.full((len(orders), speakers.max() + 1), n)
        other = last.copy()  # last emotion by anybody else
        emotions = np.full((len(orders), longest), -1)
        rows = np.arange(len(orders))
        for turn in range(longest):
            live = speakers[:, turn] >= 0
            who = np.where(live, speakers[:, turn], 0)
            said = emotion_of(turn, last[rows, who], other[rows, who])
            emotions[live, turn] = said[live]
            for speaker in range(last.shape[1]):
                heard = live & (who != speaker)
                other[heard, speaker] = said[heard]
            last[rows[live], who[live]] = said[live]
        return emotions

    def log_likelihood(
        self, orders: Sequence[tuple[int, ...]], tilt: np.ndarray, emotions: np.ndarray
    ) -> np.ndarray:
        """Return the log probability of dialogues' emotions under the tilted model.

        Args:
            orders: Who speaks each turn, per dialogue.
            tilt: Shape (labels,): factors that the probabilities are multiplied by.
            emotions: Shape (dialogues, longest), as `sample` returns them.

        Returns:
            float64 array of shape (dialogues,), in nats.
        """
        tilted = self.probabilities * tilt
        logs = np.log(np.maximum(tilted / tilted.sum(-1, keepdims=True), 1e-300))
        total = np.zeros(len(orders))

        def given(turn: int, own: np.ndarray, other: np.ndarray) -> np.ndarray:
            said, live = emotions[:, turn], emotions[:, turn] >= 0
            total[live] += logs[own, other, said][live]
            return said

        self._walk(orders, given)
        return total

    def fill_quotas(
        self,
        orders: Sequence[tuple[int, ...]],
        tilt: np.ndarray,
        emotions: np.ndarray,
        quotas: np.ndarray,
        seed: int = 0,
    ) -> np.ndarray:
        """Return the emotions with as few turns relabelled as bring every label to its quota.

        Step by step, one turn of the label most in excess gets the label that lacks most: of some
        candidates at random, the one that makes its dialogue least improbable.

        Args:
            orders: Who speaks each turn, per dialogue.
            tilt: Shape (labels,): factors that the probabilities are multiplied by.
            emotions: Shape (dialogues, longest), as `sample` returns them.
            quotas: Shape (labels,), int: how many turns of each label; as many as there are turns.
            seed: Of the candidates.
        """
        rng, emotions = np.random.default_rng(seed), emotions.copy()
        while True:
            excess = np.bincount(emotions[emotions >= 0], minlength=len(quotas)) - quotas
            if not excess.any():
                return emotions
            places = np.argwhere(emotions == excess.argmax())
            rows, turns = places[rng.permutation(len(places))[:_CANDIDATES]].T
            own = [orders[row] for row in rows]
            longest = max(map(len, own))
            before = emotions[rows, :longest]
            after = before.copy()
            after[np.arange(len(rows)), turns] = excess.argmin()
            gain = self.log_likelihood(own, tilt, after) - self.log_likelihood(own, tilt, before)
            best = gain.argmax()
            emotions[rows[best], turns[best]] = excess.argmin()

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

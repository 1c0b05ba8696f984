"""Label sets: a corpus's emotions in a fixed order."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from erc_kedro.core.errors import UserError

OTHER = "other"
"""Stands in a dialogue table for the emotion of a real utterance whose label, if it has one, is
outside the label set. Classifiers see such an utterance as context; it counts nowhere else: not in
loss, class weights, priors, optimiser steps, label shares, transitions, mixing or scores."""


@dataclass(frozen=True)
class LabelSet:
    """The emotions of a corpus in a fixed order; the order is that of every array and matrix."""

    name: str
    emotions: tuple[str, ...]
    neutral: str = "neutral"

    def __len__(self) -> int:
        return len(self.emotions)

    def __post_init__(self) -> None:
        if OTHER in self.emotions:
            raise UserError(
                f"An emotion is called {OTHER!r}.",
                where=f"label set {self.name!r}",
                expected="another name: this one means that an utterance counts as context alone",
                remedy="rename it where the corpus is read, or leave it out of the label set",
            )

    def codes(
        self, emotions: Iterable[str], *, where: str = "emotion", other: int | None = None
    ) -> np.ndarray:
        """Return each emotion's position in the label set.

        Args:
            emotions: Emotion names.
            where: What the names belong to, for the error message.
            other: Position to give to `OTHER`; None refuses it like any unknown name.

        Returns:
            int64 array, one position per name.

        Raises:
            UserError: If a name is not in the label set.
        """
        names = list(emotions)
        known = self.emotions if other is None else (*self.emotions, OTHER)
        codes = pd.Index(known).get_indexer(pd.Index(names, dtype="object"))
        if (codes < 0).any():
            unknown = sorted({str(names[i]) for i in np.flatnonzero(codes < 0)})
            raise UserError(
                "Unknown emotion.",
                where=where,
                expected=f"one of {', '.join(self.emotions)} (label set {self.name!r})",
                found=", ".join(map(repr, unknown[:5])),
                remedy="correct the label, or map it before it enters the pipeline",
            )
        if other is not None:
            codes[codes == len(self)] = other
        return codes.astype(np.int64)

    def shares(self, emotions: Iterable[str]) -> np.ndarray:
        """Return the share of each emotion among the given ones; `OTHER` is passed over.

        Returns:
            float64 array of shape (labels,), summing to 1 (all zero for no emotions).
        """
        counts = self.counts(emotions).astype(float)
        return counts / max(counts.sum(), 1.0)

    def counts(self, emotions: Iterable[str]) -> np.ndarray:
        """Return how often each emotion is among the given ones, int64 of shape (labels,).

        `OTHER` is passed over.
        """
        codes = self.codes(emotions, other=len(self))
        return np.bincount(codes, minlength=len(self))[: len(self)]


VOTES = "vote_"
"""A column "vote_<emotion>" of a dialogue table holds that emotion's share of the annotators' votes
within the label set; all of an utterance's are NaN if nobody voted for any of them."""


def vote_columns(table: pd.DataFrame) -> list[str]:
    """Return the columns of a dialogue table that hold annotators' votes; empty if it has none."""
    return [name for name in table.columns if name.startswith(VOTES)]


def label_distributions(table: pd.DataFrame, label_set: LabelSet) -> np.ndarray:
    """Return each utterance's soft label: the annotators' votes, or its emotion where none stand.

    Returns:
        float64 array of shape (rows, labels); a row sums to 1, or to 0 if its emotion is `OTHER`.
    """
    n = len(label_set)
    codes = label_set.codes(table["emotion"], other=n)
    hard = np.eye(n + 1)[codes][:, :n]
    if not vote_columns(table):
        return hard
    votes = table[[f"{VOTES}{emotion}" for emotion in label_set.emotions]].to_numpy(dtype=float)
    voted = (np.nan_to_num(votes).sum(1) > 0) & (codes < n)
    return np.where(voted[:, None], np.nan_to_num(votes), hard)


def labelled(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of a dialogue table that count: those whose emotion is not `OTHER`."""
    return table[table["emotion"] != OTHER]

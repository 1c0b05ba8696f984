"""Overlap between texts: copies, shared five-grams, near-duplicates.

Overlap counts from four words up, or from three shared five-grams in a dialogue: shorter
coincidences ("Oh my God!") are the language's, not a leak.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable

import pandas as pd

from erc_kedro.core.dialogue import words

MIN_COPY_WORDS = 4
MIN_SHARED_FIVEGRAMS = 3
NEAR_DUPLICATE = 0.5

Gram = tuple[str, ...]


def ngrams(tokens: list[str], size: int) -> set[Gram]:
    """Return the distinct n-grams of a token list."""
    return {tuple(tokens[i : i + size]) for i in range(len(tokens) - size + 1)}


def copy_key(text: str) -> str | None:
    """Return the form under which a text counts as a copy, or None if it is too short to."""
    tokens = words(text)
    return " ".join(tokens) if len(tokens) >= MIN_COPY_WORDS else None


class TextIndex:
    """The utterances and five-grams of a set of texts, to look overlaps up in."""

    def __init__(self, texts: Iterable[str]) -> None:
        self.copies: set[str] = set()
        self.fivegrams: set[Gram] = set()
        for text in texts:
            if key := copy_key(text):
                self.copies.add(key)
            self.fivegrams |= ngrams(words(text), 5)

    def copied(self, texts: Iterable[str]) -> list[str]:
        """Return those texts of four or more words that stand in the index verbatim."""
        return [text for text in texts if copy_key(text) in self.copies]

    def shared_fivegrams(self, texts: Iterable[str]) -> list[str]:
        """Return the distinct five-grams that the texts share with the index."""
        grams: set[Gram] = set().union(*(ngrams(words(text), 5) for text in texts))
        return sorted(" ".join(gram) for gram in grams & self.fivegrams)

    def overlaps(self, texts: list[str]) -> bool:
        """Say whether a dialogue overlaps: one copied utterance, or three shared five-grams."""
        return bool(self.copied(texts)) or len(self.shared_fivegrams(texts)) >= MIN_SHARED_FIVEGRAMS


def text_indices(table: pd.DataFrame, column: str) -> dict[str, TextIndex]:
    """Return an index of the texts of each value that a column has."""
    return {str(name): TextIndex(own["text"]) for name, own in table.groupby(column, sort=True)}


class NearDuplicates:
    """Finds dialogues whose word trigrams largely stand in an earlier dialogue.

    Similarity is the Jaccard index of the two sets of word trigrams (Broder, 1997).
    """

    def __init__(self, threshold: float = NEAR_DUPLICATE) -> None:
        self.threshold = threshold
        self._sizes: dict[str, int] = {}
        self._holders: defaultdict[Gram, list[str]] = defaultdict(list)

    @staticmethod
    def _trigrams(texts: Iterable[str]) -> set[Gram]:
        return set().union(*(ngrams(words(text), 3) for text in texts))

    def add(self, dialogue_id: str, texts: list[str]) -> None:
        """Remember a dialogue."""
        grams = self._trigrams(texts)
        self._sizes[dialogue_id] = len(grams)
        for gram in grams:
            self._holders[gram].append(dialogue_id)

    def nearest(self, texts: list[str]) -> tuple[str, float] | None:
        """Return the most similar remembered dialogue and the similarity, if over the threshold."""
        grams = self._trigrams(texts)
        shared = Counter(holder for gram in grams for holder in self._holders.get(gram, ()))
        scored = [
            (count / (len(grams) + self._sizes[holder] - count), holder)
            for holder, count in shared.items()
        ]
        similarity, holder = max(scored, default=(0.0, ""))
        return (holder, similarity) if similarity >= self.threshold else None

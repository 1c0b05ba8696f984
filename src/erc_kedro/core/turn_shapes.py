"""The shape of an utterance: what a request can ask of its style, as measured on real train."""

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pandas as pd

from erc_kedro.core.dialogue import words
from erc_kedro.core.labels import labelled

T = TypeVar("T")

ENDINGS = ("...", "?", "!", "-", ".")
"""How an utterance can end; what ends in none of the others ends in a full stop."""

_SENTENCE_END = re.compile(r"(?<!\.)[.!?]+(?=[\s\"']|$)")


class TurnShape(NamedTuple):
    """Length and ending of one utterance.

    Attributes:
        words: How many words.
        sentences: How many sentences, at least 1.
        ending: Of `ENDINGS`.
    """

    words: int
    sentences: int
    ending: str

    @classmethod
    def from_plain(cls, values: Sequence[Any]) -> "TurnShape":
        """Return the shape that JSON made a list of.

        Raises:
            ValueError: If it is none.
        """
        match values:
            case [int(words), int(sentences), str(ending)] if ending in ENDINGS:
                return cls(words, sentences, ending)
        raise ValueError(f"no shape of a turn [words, sentences, ending]: {values!r}")

    @classmethod
    def of(cls, text: str) -> "TurnShape":
        """Return the shape of a text.

        >>> TurnShape.of("No. You did what?!")
        TurnShape(words=4, sentences=2, ending='?')
        """
        last = text.rstrip(" \"'")
        tail = last[len(last.rstrip("?!")) :]
        ends = {
            "?": "?" in tail,
            "!": "!" in tail,
            "...": last.endswith(".."),
            "-": last[-1:] == "-",
        }
        ending = next((name for name in ENDINGS if ends.get(name)), ".")
        whole = [own for own in _SENTENCE_END.findall(text) if own != "..."]
        return cls(len(words(text)), max(1, len(whole)), ending)


class TurnShapes:
    """The shapes of real utterances, by emotion, to plan synthetic ones by.

    Args:
        train: Real train.
        most_words: Longer utterances are no model.
        rng: Of the order in which shapes are drawn.
    """

    def __init__(self, train: pd.DataFrame, most_words: int, rng: np.random.Generator) -> None:
        rows = labelled(train)
        shapes = [TurnShape.of(text) for text in rows["text"]]
        found: dict[str, list[TurnShape]] = {}
        for emotion, shape in zip(rows["emotion"], shapes, strict=True):
            if 0 < shape.words <= most_words:
                found.setdefault(emotion, []).append(shape)
        self._streams = {emotion: shuffled_for_ever(own, rng) for emotion, own in found.items()}
        every = [shape for own in found.values() for shape in own]
        self._any = shuffled_for_ever(every or [TurnShape(8, 1, ".")], rng)

    def of(self, emotions: Sequence[str]) -> tuple[TurnShape, ...]:
        """Return a shape for every turn: that of a real utterance with the turn's emotion.

        Those of an emotion are gone through in random order before any comes again, so over many
        dialogues lengths and endings are spread as in real train. An emotion without real
        utterances takes the shapes of all.
        """
        return tuple(next(self._streams.get(emotion, self._any)) for emotion in emotions)


def shuffled_for_ever(values: Sequence[T], rng: np.random.Generator) -> Iterator[T]:
    """Yield values in random order, all of them before any comes again."""
    while True:
        for number in rng.permutation(len(values)):
            yield values[number]

"""Dialogues, their table (one row per utterance), and text normalisation."""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pandas as pd

COLUMNS = ("dialogue_id", "turn", "speaker", "text", "emotion", "source")
"""Columns every dialogue table has; readers and stages may add more."""


@dataclass(frozen=True)
class Turn:
    """One utterance by one speaker."""

    speaker: str
    text: str
    emotion: str


@dataclass(frozen=True)
class Dialogue:
    """A dialogue: an id and its turns in order; `numbers` if they are not 0, 1, 2, ..."""

    id: str
    turns: tuple[Turn, ...]
    numbers: tuple[int, ...] | None = None

    @property
    def speakers(self) -> tuple[str, ...]:
        """The speakers in order of first appearance."""
        return tuple(dict.fromkeys(turn.speaker for turn in self.turns))


def dialogue_table(dialogues: Iterable[Dialogue], source: str) -> pd.DataFrame:
    """Return dialogues as a table, one row per utterance, with the columns of `COLUMNS`."""
    rows = [
        (dialogue.id, number, turn.speaker, turn.text, turn.emotion, source)
        for dialogue in dialogues
        for number, turn in zip(
            dialogue.numbers or range(len(dialogue.turns)), dialogue.turns, strict=True
        )
    ]
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    return frame.astype({name: "str" for name in COLUMNS if name != "turn"} | {"turn": "int64"})


def dialogues_of(table: pd.DataFrame) -> Iterator[Dialogue]:
    """Yield the dialogues of a table in its order."""
    for dialogue_id, rows in table.groupby("dialogue_id", sort=False):
        turns = zip(rows["speaker"], rows["text"], rows["emotion"], strict=True)
        yield Dialogue(
            str(dialogue_id),
            tuple(Turn(*map(str, turn)) for turn in turns),
            tuple(int(number) for number in rows["turn"]),
        )


_PUNCTUATION = str.maketrans(
    {
        "\u2018": "'", "\u2019": "'", "\u201a": "'", "\u201b": "'",
        "\u201c": '"', "\u201d": '"', "\u201e": '"',
        "\u2013": "-", "\u2014": " - ", "\u2026": "...", "\u00a0": " ",
    }
)  # fmt: skip


def normalise_text(text: str) -> str:
    r"""Return a text as the models see it.

    C1 control characters left over from Windows-1252 (such as \x92) become the characters they
    stood for; typographic quotes, dashes and ellipses become plain ones; white space is folded.

    >>> normalise_text("It\x92s  you\u2026")
    "It's you..."
    """
    if any("\x80" <= character <= "\x9f" for character in text):
        text = "".join(
            character.encode("latin-1").decode("cp1252", errors="replace")
            if "\x80" <= character <= "\x9f"
            else character
            for character in text
        )
    text = unicodedata.normalize("NFC", text).translate(_PUNCTUATION)
    return " ".join(text.split())


_WORD = re.compile(r"[a-z0-9]+(?:'[a-z0-9]+)*")


def words(text: str) -> list[str]:
    r"""Return the lower-cased words of a text, without punctuation.

    >>> words("Oh, it\u2019s YOU!")
    ['oh', "it's", 'you']
    """
    return _WORD.findall(normalise_text(text).lower())

"""Importing: rows that people have become dialogues; what does not fit is kept aside."""

import math
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

from erc_kedro.core.dialogue import Dialogue, Turn, words
from erc_kedro.core.import_mapping import ImportColumns, ImportMapping, fold_label
from erc_kedro.core.labels import LabelSet
from erc_kedro.core.overlap import copy_key

REASONS: Mapping[str, str] = {
    "broken line": "mend the line; each must be one JSON object, or have a field per column",
    "text is no string": "give every row a text",
    "empty text": "none needed: a turn without a word cannot be used",
    "label is no string": "give every row a label",
    "unknown label": "map it in the mapping file, as in labels: {happy: joy}; or to null",
    "label left out": "none needed: the mapping says null",
    "no dialogue id": "give the row the id of its dialogue",
    "no speaker": "give the row a speaker; or, for all rows, leave the column out of the mapping",
    "no turn number": "give the row a number",
    "turn number twice": "number the rows of a dialogue apart",
    "repeated text": "none needed: the first row that says it is there",
    "too short a rest": "none needed: one row is no dialogue",
    "overlaps dev or test": "none needed: it would leak into the test of a corpus at hand",
    "overlaps train": "none needed: train holds it already",
    "refused by a rule": "none needed: docs/method.md says what the rules refuse",
    "incomplete dialogue": "mend the row that its detail names; its dialogue would have a hole",
}
"""Why a row is kept aside, and what to do about it."""


@dataclass(frozen=True)
class Row:
    """A row as read.

    Attributes:
        number: Its place among the rows, from 1.
        values: Column to value; of a row that is none, what stands there.
        line: The line of the file on which it begins, if it has lines.
        problem: Why it is no row, if it is none.
    """

    number: int
    values: Any
    line: int | None = None
    problem: str = ""


@dataclass(frozen=True)
class Aside:
    """A row kept aside: why (a name of `REASONS`), and what exactly."""

    row: Row
    reason: str
    detail: str


class _MisfitError(ValueError):
    def __init__(self, reason: str, detail: str) -> None:
        self.reason, self.detail = reason, detail[:120]


@dataclass(frozen=True)
class _Utterance:
    row: Row
    text: str
    emotion: str
    speaker: str | None = None
    dialogue_id: str | None = None
    turn: float = 0


def import_rows(
    rows: Sequence[Row],
    columns: ImportColumns,
    mapping: ImportMapping,
    label_set: LabelSet,
    prefix: str,
) -> tuple[list[Dialogue], list[Aside]]:
    """Make dialogues of rows. Every row is in one, or kept aside.

    A flat list is cut into dialogues of `turns_per_dialogue` rows; rows that repeat an utterance
    of four or more words, for which the rules would refuse a whole dialogue, are kept aside. With
    dialogue ids, a dialogue of which a row is kept aside is so as a whole.

    Args:
        rows: In file order.
        columns: What their columns are called.
        mapping: How they are read.
        label_set: The corpus's label set.
        prefix: Start of every dialogue's id.

    Returns:
        The dialogues in the order of their first rows, text and speakers as given; and what is
        kept aside, in file order.

    Raises:
        UserError: If the mapping names an emotion that the corpus does not have.
    """
    read = _Reader(columns, mapping.emotions(label_set))
    fitting: list[_Utterance] = []
    aside: list[Aside] = []
    for row in rows:
        try:
            fitting.append(read(row))
        except _MisfitError as misfit:
            aside.append(Aside(row, misfit.reason, misfit.detail))
    if columns.dialogue_id is None:
        groups, rest = _cut(fitting, mapping.turns_per_dialogue)
    else:
        groups, rest = _gather(fitting, _places(rows, columns.dialogue_id), aside)
    letters = string.ascii_uppercase[: mapping.speakers]
    dialogues = [
        Dialogue(
            f"{prefix}-{name}",
            tuple(
                Turn(own.speaker or letters[i % len(letters)], own.text, own.emotion)
                for i, own in enumerate(group)
            ),
        )
        for name, group in groups
    ]
    return dialogues, sorted(aside + rest, key=lambda kept: kept.row.number)


class _Reader:
    """Reads one row after another."""

    def __init__(self, columns: ImportColumns, emotions: Mapping[str, str | None]) -> None:
        self._columns, self._emotions = columns, emotions
        self._said: dict[str, int] = {}
        self._turns: set[tuple[str, float]] = set()

    def __call__(self, row: Row) -> _Utterance:
        """Return the utterance.

        Raises:
            _MisfitError: If the row does not fit.
        """
        if row.problem:
            raise _MisfitError("broken line", row.problem)
        given = {name: row.values.get(column) for name, column in self._columns.named.items()}
        text = given["text"]
        if not isinstance(text, str) or not _is_unicode(text):
            raise _MisfitError("text is no string", repr(text))
        if not words(text):
            raise _MisfitError("empty text", repr(text))
        names = {name: _name(given[name]) for name in ("dialogue_id", "speaker") if name in given}
        for meaning, name in names.items():
            if name is None:
                raise _MisfitError(f"no {meaning.replace('_', ' ')}", repr(given[meaning]))
        emotion = self._emotion(given["emotion"])
        utterance = _Utterance(row, text, emotion, names.get("speaker"), names.get("dialogue_id"))
        if "turn" in given:
            return replace(utterance, turn=self._turn(utterance, given["turn"]))
        if "dialogue_id" not in given and (key := copy_key(text)):
            first = self._said.setdefault(key, row.number)
            if first != row.number:
                raise _MisfitError("repeated text", f"as row {first}")
        return utterance

    def _emotion(self, label: Any) -> str:
        name = _name(label)
        if name is None:
            raise _MisfitError("label is no string", repr(label))
        if fold_label(name) not in self._emotions:
            raise _MisfitError("unknown label", repr(name))
        emotion = self._emotions[fold_label(name)]
        if emotion is None:
            raise _MisfitError("label left out", repr(name))
        return emotion

    def _turn(self, utterance: _Utterance, given: Any) -> float:
        turn = _number(given)
        if turn is None:
            raise _MisfitError("no turn number", repr(given))
        place = str(utterance.dialogue_id), turn
        if place in self._turns:
            raise _MisfitError("turn number twice", f"{given} again")
        self._turns.add(place)
        return turn


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _name(value: Any) -> str | None:
    """Return a name that may be given as a whole number; pandas makes floats of those."""
    value = int(value) if isinstance(value, float) and value.is_integer() else value
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    name = str(value).strip()
    return name if name and _is_unicode(name) else None


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    for kind in (int, float):  # an int first: a float would not tell large ones apart
        try:
            number = kind(value) if isinstance(value, str) else value
        except ValueError:
            continue
        return number if isinstance(number, int) or math.isfinite(number) else None
    return None


_Groups = list[tuple[str, list[_Utterance]]]


def _cut(fitting: Sequence[_Utterance], length: int) -> tuple[_Groups, list[Aside]]:
    """Cut a flat list into dialogues; a last row alone is kept aside."""
    parts = [list(fitting[at : at + length]) for at in range(0, len(fitting), length)]
    alone = [own.row for own in parts.pop()] if parts and len(parts[-1]) == 1 else []
    rest = [Aside(row, "too short a rest", "it would stand alone") for row in alone]
    return [(f"{number:05d}", part) for number, part in enumerate(parts)], rest


def _gather(
    fitting: Sequence[_Utterance], places: Sequence[str | None], aside: Sequence[Aside]
) -> tuple[_Groups, list[Aside]]:
    """Gather rows by dialogue; those of a dialogue without some of its rows are kept aside."""
    missing = {places[kept.row.number - 1]: kept.row.number for kept in reversed(aside)}
    groups: dict[str, list[_Utterance]] = {}
    rest = []
    for own in fitting:
        name = str(own.dialogue_id)
        if name in missing:
            detail = f"row {missing[name]} of dialogue {name!r} is kept aside"
            rest.append(Aside(own.row, "incomplete dialogue", detail))
        else:
            groups.setdefault(name, []).append(own)
    return [(name, sorted(group, key=lambda own: own.turn)) for name, group in groups.items()], rest


def _places(rows: Sequence[Row], column: str) -> list[str | None]:
    """Return for every row the dialogue in which it stands.

    A row that does not say so stands in the dialogue of the rows about it, if it is the same.
    """
    said = [None if row.problem else _name(row.values.get(column)) for row in rows]
    last = lambda before, own: own or before  # noqa: E731
    before = list(accumulate(said, last))
    after = list(accumulate(reversed(said), last))[::-1]
    return [a if a == b else None for a, b in zip(before, after, strict=True)]

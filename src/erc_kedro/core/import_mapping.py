"""How a table that people have is read: what its columns and labels mean."""

import codecs
import string
from collections.abc import Mapping, Sequence
from typing import Annotated

from pydantic import Field, StrictInt, field_validator, model_validator

from erc_kedro.core.errors import UserError
from erc_kedro.core.labels import LabelSet
from erc_kedro.core.parameters import ParameterGroup


class ImportColumns(ParameterGroup):
    """What the columns of a table are called.

    Attributes:
        text: What is said.
        emotion: Its label.
        dialogue_id: Which dialogue it belongs to; without it the table is a flat list.
        turn: A number that orders a dialogue's rows; without it they stand in order.
        speaker: Who says it.
    """

    text: str
    emotion: str
    dialogue_id: str | None = None
    turn: str | None = None
    speaker: str | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "ImportColumns":
        if self.turn is not None and self.dialogue_id is None:
            raise ValueError("turn needs dialogue_id: a flat list is taken in file order")
        return self

    @property
    def named(self) -> dict[str, str]:
        """The columns that there are, by what they mean."""
        return {name: column for name, column in self.model_dump().items() if column is not None}


class ImportMapping(ParameterGroup):
    """How a table is read.

    Attributes:
        columns: What its columns are called; null guesses by common names.
        labels: The table's labels in the corpus's words; null keeps the label's rows aside. Labels
            that are the corpus's own need not be named. Case and outer white space do not matter.
        strategy: The name under which the dialogues are planned with; also the bank's file name.
        turns_per_dialogue: Rows of a flat list that make a dialogue, in file order.
        speakers: How many speak in turn, if there is no column for it.
        encoding: Of a text file.
    """

    columns: ImportColumns | None = None
    labels: dict[str | StrictInt, str | None] = {}
    strategy: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")] = "imported"
    turns_per_dialogue: Annotated[int, Field(ge=2)] = 8
    speakers: Annotated[int, Field(ge=1, le=len(string.ascii_uppercase))] = 2
    encoding: str = "utf-8"

    @field_validator("encoding")
    @classmethod
    def _known(cls, encoding: str) -> str:
        try:
            return codecs.lookup(encoding).name
        except LookupError as error:
            raise ValueError(str(error)) from error

    @field_validator("strategy")
    @classmethod
    def _own(cls, strategy: str) -> str:
        if strategy == "all":
            raise ValueError("a recipe's 'all' means every strategy; choose another name")
        return strategy

    def emotions(self, label_set: LabelSet) -> dict[str, str | None]:
        """Return the emotion of every known label; None keeps its rows aside.

        Raises:
            UserError: If an emotion is none of the corpus's, or a label has two.
        """
        own = {fold_label(emotion): emotion for emotion in label_set.emotions}
        given: dict[str, str | None] = {}
        for label, emotion in self.labels.items():
            where, key = f"mapping, labels, {label!r}", fold_label(str(label))
            if emotion is not None:
                label_set.codes([fold_label(emotion)], where=where)
            target = None if emotion is None else own[fold_label(emotion)]
            if given.setdefault(key, target) != target:
                raise UserError(
                    "A label has two emotions.",
                    where=where,
                    expected="one per label; case and outer white space do not matter",
                    found=f"{given[key]} and {target}",
                )
        return {**own, **given}


_COMMON: Mapping[str, Sequence[str]] = {
    "text": ("text", "utterance", "sentence", "content", "message"),
    "emotion": ("emotion", "label", "emotion_label", "feeling", "class"),
    "dialogue_id": ("dialogue_id", "dialog_id", "conversation_id", "conv_id", "dialogue", "dialog",
                    "conversation"),
    "turn": ("turn", "turn_id", "turn_number", "utterance_id", "utterance_idx"),
    "speaker": ("speaker", "speaker_name", "character", "role"),
}  # fmt: skip


def guess_columns(names: Sequence[str], where: str) -> ImportColumns:
    """Return which of a table's columns are meant, by common names.

    Raises:
        UserError: If there is none for text or emotion.
    """
    known = {name.strip().lower().replace(" ", "_").replace("-", "_"): name for name in names}
    guessed = {
        meaning: next((known[name] for name in common if name in known), None)
        for meaning, common in _COMMON.items()
    }
    if guessed["dialogue_id"] is None:
        guessed["turn"] = None
    for meaning in ("text", "emotion"):
        if guessed[meaning] is None:
            raise UserError(
                f"No column is known to hold the {meaning}.",
                where=where,
                expected=f"one called {', '.join(_COMMON[meaning])}",
                found=", ".join(names),
                remedy="name it in a mapping file, columns: {text: ..., emotion: ...}, and give "
                "it: MAPPING=mapping.yml",
            )
    return ImportColumns.model_validate(guessed)


def fold_label(label: str) -> str:
    """Return the form in which labels are compared.

    >>> fold_label(" Joy ")
    'joy'
    """
    return label.strip().casefold()

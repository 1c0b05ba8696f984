"""What a served classifier is asked, and the dialogue table that becomes of it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from erc_kedro.core.dialogue import normalise_text
from erc_kedro.core.errors import UserError

COLUMNS = {"dialogue_id": "string", "turn": "long", "speaker": "string", "text": "string"}
"""The columns of a request, with their MLflow types."""


def ordered_dialogues(request: pd.DataFrame) -> pd.DataFrame:
    """Return a request as a dialogue table: whole dialogues, their turns in order.

    Args:
        request: The columns of `COLUMNS`, one row per utterance, in any order.

    Returns:
        The same columns, texts and speakers normalised as corpus readers do; the index is each
        row's position in the request.

    Raises:
        UserError: If there is no row, a value that is no text, a blank text, or a turn twice.
    """
    table = request[list(COLUMNS)].reset_index(drop=True)
    if table.empty:
        raise UserError(
            "The request is empty.",
            expected=f"one row per utterance: {', '.join(COLUMNS)}",
            found="no rows",
            remedy="send at least one utterance",
        )
    for column in ("dialogue_id", "speaker", "text"):
        _refuse_unless(table, column, _is_text, "text in valid Unicode")
    for column in ("speaker", "text"):
        table[column] = table[column].map(normalise_text)
    _refuse_unless(table, "text", bool, "a text that is not blank")
    twice = table.duplicated(["dialogue_id", "turn"], keep=False)
    if twice.any():
        rows = np.flatnonzero(twice)
        own = table.loc[rows[0], ["dialogue_id", "turn"]]
        raise UserError(
            "A turn stands twice in one dialogue.",
            where=_place(table, int(rows[0])),
            expected="every turn of a dialogue once",
            found=f"{int((table[own.index] == own).all(axis=1).sum())} rows with it",
            remedy="number the turns of a dialogue 0, 1, 2, ...",
        )
    dialogue, _ = pd.factorize(table["dialogue_id"])
    return table.iloc[np.lexsort((table["turn"], dialogue))]


def _refuse_unless(
    table: pd.DataFrame, column: str, is_right: Callable[[Any], bool], expected: str
) -> None:
    wrong = np.flatnonzero(~table[column].map(is_right).astype(bool))
    if len(wrong):
        row = int(wrong[0])
        raise UserError(
            f"A {column} is missing or cannot be read.",
            where=_place(table, row),
            expected=expected,
            found=f"{table.loc[row, column]!r}" + f" ({len(wrong)} such rows)" * (len(wrong) > 1),
            remedy="mend the row, or leave it out",
        )


def _is_text(value: Any) -> bool:
    """Return whether a value is a string that can be encoded: JSON may hold half characters."""
    try:
        return isinstance(value, str) and bool(value.encode() or True)
    except UnicodeEncodeError:
        return False


def _place(table: pd.DataFrame, row: int) -> str:
    dialogue, turn = table.loc[row, ["dialogue_id", "turn"]]
    return f"row {row} (dialogue {dialogue!r}, turn {turn})"

"""What is told of a released data set."""

from typing import Any

import pandas as pd
import pytest

from erc_kedro.core.dialogue import dialogue_table
from erc_kedro.core.errors import UserError
from erc_kedro.core.overlap import TextIndex
from erc_kedro.core.release import (
    COLUMNS,
    check_held_out,
    copying,
    lengths,
    release_tables,
    repetition,
)
from tests.builders import make_dialogue, make_spec

LINE = "the train has left without us again"
FIRST = make_dialogue("d0", ("Ann", "Oh no!", "fear"), ("Bob", LINE, "anger"))
SECOND = make_dialogue("d1", ("Eve", "Who ate my sandwich in here?", "anger"))


def table(*dialogues: Any, **columns: Any) -> pd.DataFrame:
    return dialogue_table(dialogues or (FIRST, SECOND), "synthetic").assign(**columns)


def candidate(dialogue: Any, **changes: Any) -> dict[str, Any]:
    return {"spec": make_spec(dialogue, **changes).to_dict()}


def test_released_tables_hold_what_was_said_and_what_was_asked_for() -> None:
    accepted = table(strategy=["balanced", "balanced", "faithful"], model="m", repaired=False)
    asked = [candidate(FIRST, relation="friends"), candidate(SECOND, scenario="a picnic")]
    found = release_tables(accepted, asked)
    assert list(found) == ["balanced", "faithful"]
    assert all(tuple(own.columns) == COLUMNS for own in found.values())
    assert found["balanced"]["text"].tolist() == ["Oh no!", LINE]
    assert found["balanced"]["relation"].tolist() == ["friends"] * 2
    assert found["faithful"]["scenario"].tolist() == ["a picnic"]
    assert found["faithful"]["relation"].isna().all()


def test_nothing_is_released_of_nothing() -> None:
    with pytest.raises(UserError, match="nothing to release"):
        release_tables(table().iloc[:0].assign(strategy=""), [])


def test_lengths_are_in_words_turns_and_speakers() -> None:
    found = {name: values.tolist() for name, values in lengths(table()).items()}
    assert found == {
        "words per turn": [2, 7, 6],
        "turns per dialogue": [2, 1],
        "speakers per dialogue": [2, 1],
    }


def test_repetition_is_counted_in_dialogues_and_utterances() -> None:
    assert repetition(table()) == {"near_duplicates": 0, "repeated_utterances": 0}
    again = make_dialogue("d2", ("Kim", LINE.upper() + "!", "joy"), ("Lee", "Oh no!", "joy"))
    found = repetition(table(FIRST, SECOND, again))
    assert found["near_duplicates"] == pytest.approx(1 / 3)
    assert found["repeated_utterances"] == pytest.approx(1 / 3)  # "Oh no!" is too short to count


def test_copying_is_told_in_utterances_fivegrams_and_dialogues() -> None:
    found = copying(table(), TextIndex([LINE.title(), "Oh no!"]))
    assert found["copied_utterances"] == pytest.approx(1 / 2)
    assert found["fivegrams"] == pytest.approx(3 / 5)
    assert found["dialogues"] == 1
    assert set(copying(table(), TextIndex(["Oh no!"])).values()) == {0}


def indices(text: str) -> dict[str, TextIndex]:
    return {"one": TextIndex(["Oh no!"]), "another": TextIndex(["Oh no!", text])}


@pytest.mark.parametrize("held_out", [f"{LINE.upper()}!", f"well {LINE}, you said"])
def test_overlap_with_held_out_texts_is_an_error_that_quotes_none(held_out: str) -> None:
    with pytest.raises(UserError, match="d0") as error:
        check_held_out(table(), indices(held_out))
    assert "train has" not in str(error.value)
    check_held_out(table(), indices("the train has left without me"))

"""Rows become dialogues, or are kept aside: none is lost, none is made up."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from erc_kedro.core.dialogue import Dialogue
from erc_kedro.core.errors import UserError
from erc_kedro.core.import_mapping import ImportColumns, ImportMapping, guess_columns
from erc_kedro.core.importing import REASONS, Aside, Row, import_rows
from tests.builders import EMOTIONS, LABELS

FLAT = ImportColumns(text="text", emotion="label")
BY_ID = ImportColumns(text="text", emotion="label", dialogue_id="id")
ALL = ImportColumns(text="text", emotion="label", dialogue_id="id", turn="turn", speaker="who")


def run(
    rows: Sequence[Mapping[str, Any]], columns: ImportColumns = FLAT, **mapping: Any
) -> tuple[list[Dialogue], list[Aside]]:
    numbered = [Row(number, dict(row)) for number, row in enumerate(rows, start=1)]
    return import_rows(numbered, columns, ImportMapping(**mapping), LABELS, "toy-imported")


def said(text: Any, label: Any = "joy", **others: Any) -> dict[str, Any]:
    return {"text": text, "label": label, **others}


def texts(dialogues: Sequence[Dialogue]) -> list[list[str]]:
    return [[turn.text for turn in dialogue.turns] for dialogue in dialogues]


def reasons(aside: Sequence[Aside]) -> dict[int, str]:
    return {own.row.number: own.reason for own in aside}


ODD = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.just("\ud800"))
ROWS = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "text": st.one_of(st.sampled_from(["Oh!", "a b c d", "a b c e", "?"]), ODD),
            "label": st.one_of(st.sampled_from([*EMOTIONS, " JOY ", "happy", "dull", "odd"]), ODD),
            "id": st.one_of(st.sampled_from(["1", 1, "x ", "y"]), ODD),
            "turn": st.one_of(st.integers(0, 5), ODD),
            "who": st.one_of(st.sampled_from(["Ann", "Bo"]), ODD),
        },
    ),
    max_size=40,
)


@given(ROWS, st.integers(2, 9), st.sampled_from([FLAT, BY_ID, ALL]))
def test_no_row_is_lost_or_made_up(
    rows: list[dict[str, Any]], length: int, columns: ImportColumns
) -> None:
    dialogues, aside = run(
        rows, columns, turns_per_dialogue=length, labels={"happy": "joy", "dull": None}
    )
    kept_aside = {own.row.number for own in aside}
    assert len(kept_aside) == len(aside)
    fitting = [row for i, row in enumerate(rows, start=1) if i not in kept_aside]
    turns = [turn for dialogue in dialogues for turn in dialogue.turns]
    assert len(turns) + len(aside) == len(rows)
    assert sorted(turn.text for turn in turns) == sorted(row["text"] for row in fitting)
    if columns == FLAT:
        assert [turn.text for turn in turns] == [row["text"] for row in fitting]
        assert all(len(dialogue.turns) == length for dialogue in dialogues[:-1])
        assert all(2 <= len(dialogue.turns) <= length for dialogue in dialogues)
    assert {turn.emotion for turn in turns} <= set(EMOTIONS)
    assert len({dialogue.id for dialogue in dialogues}) == len(dialogues)
    assert {own.reason for own in aside} <= REASONS.keys()


def test_labels_are_mapped_whatever_their_case_and_outer_white_space() -> None:
    rows = [
        said("one", " Joy"), said("two", "HAPPY "), said("three", "mad"), said("four", 3),
    ]  # fmt: skip
    [dialogue], aside = run(rows, labels={"Happy": "joy", " MAD": "Anger", 3: "fear"})
    assert [turn.emotion for turn in dialogue.turns] == ["joy", "joy", "anger", "fear"]
    assert aside == []


def test_a_label_that_maps_to_null_is_left_out_and_an_unknown_one_says_which() -> None:
    labels = ["joy", "boring", "zesty", "fear", "joy"]
    rows = [said(f"number {number}", label) for number, label in enumerate(labels)]
    [dialogue], aside = run(rows, labels={"boring": None, "fear": None, "joy": "anger"})
    assert [turn.emotion for turn in dialogue.turns] == ["anger", "anger"]
    assert reasons(aside) == {2: "label left out", 3: "unknown label", 4: "label left out"}
    assert aside[1].detail == "'zesty'"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (said(""), "empty text"),
        (said(" \n"), "empty text"),
        (said("?!"), "empty text"),
        (said(None), "text is no string"),
        (said(3), "text is no string"),
        (said("half a character \ud83d"), "text is no string"),
        ({"label": "joy"}, "text is no string"),
        (said("x", None), "label is no string"),
        (said("x", ["joy"]), "label is no string"),
        (said("x", True), "label is no string"),
        (said("x", "zesty"), "unknown label"),
        (said("x", id=None), "no dialogue id"),
        (said("x", id="  "), "no dialogue id"),
        (said("x", id=1.5), "no dialogue id"),
        (said("x", id=float("nan")), "no dialogue id"),
        (said("x", who=None), "no speaker"),
        (said("x", turn="first"), "no turn number"),
        (said("x", turn=float("nan")), "no turn number"),
        (said("x", turn=True), "no turn number"),
        (said("x", turn="0"), "turn number twice"),
    ],
)
def test_a_row_that_does_not_fit_is_kept_aside_with_its_reason(
    row: dict[str, Any], reason: str
) -> None:
    whole = [said("hi", id="a", turn=0, who="Ann"), said("ho", id="a", turn=1, who="Bo")]
    full = {"id": "b", "turn": 1, "who": "Ann"} | row
    before, after = (said("well", id="b", turn=turn, who="Bo") for turn in (0, 2))
    [dialogue], aside = run([*whole, before, full, after], ALL)
    assert dialogue.id == "toy-imported-a"
    assert reasons(aside) == {3: "incomplete dialogue", 4: reason, 5: "incomplete dialogue"}


def test_ids_that_pandas_made_floats_are_the_numbers_that_they_were() -> None:
    columns = ImportColumns(text="text", emotion="label", dialogue_id="id", speaker="who")
    rows = [said("hi", id=7.0, who=1.0), said("ho", id=7.0, who=2.0), said("x", id=8.0, who=1.0)]
    dialogues, aside = run(rows, columns)
    assert texts(dialogues) == [["hi", "ho"], ["x"]]
    assert not aside


def test_a_flat_list_loses_the_row_alone_and_a_dialogue_is_kept_aside_as_a_whole() -> None:
    rows = [
        said(text, label, id=name)
        for name, text, label in (
            ("a", "one", "joy"), ("a", "two", "zesty"), ("a", "three", "joy"),
            ("b", "four", "joy"), ("b", "five", "joy"),
        )
    ]  # fmt: skip
    dialogues, aside = run(rows)
    assert texts(dialogues) == [["one", "three", "four", "five"]]
    assert reasons(aside) == {2: "unknown label"}
    dialogues, aside = run(rows, BY_ID)
    assert texts(dialogues) == [["four", "five"]]
    assert reasons(aside) == {
        1: "incomplete dialogue", 2: "unknown label", 3: "incomplete dialogue"
    }  # fmt: skip
    assert aside[0].detail == "row 2 of dialogue 'a' is kept aside"


def test_a_row_without_id_inside_a_dialogue_leaves_a_hole_in_it_and_between_two_none() -> None:
    ids = ["a", None, None, "a", "b", "b", None, "c", None]
    rows = [said(f"number {number}", id=name) for number, name in enumerate(ids, start=1)]
    dialogues, aside = run(rows, BY_ID)
    assert texts(dialogues) == [["number 5", "number 6"], ["number 8"]]
    assert {row for row, why in reasons(aside).items() if why == "no dialogue id"} == {2, 3, 7, 9}
    lost = [(own.row.number, own.detail) for own in aside if own.reason == "incomplete dialogue"]
    assert lost == [(row, "row 2 of dialogue 'a' is kept aside") for row in (1, 4)]


def test_rows_of_a_dialogue_are_gathered_and_ordered_by_their_numbers() -> None:
    order = [("b", 10), ("a", "2"), ("b", 9), ("a", "1"), ("b", f"{2**60 + 1}"), ("b", 2**60)]
    rows = [said(f"{name} {turn}", id=name, turn=turn, who=name) for name, turn in order]
    dialogues, aside = run(rows, ALL)
    assert texts(dialogues) == [["b 9", "b 10", f"b {2**60}", f"b {2**60 + 1}"], ["a 1", "a 2"]]
    assert aside == []


def test_speakers_take_turns_if_there_is_no_column_for_them() -> None:
    rows = [said(f"number {i}") for i in range(9)]
    dialogues, aside = run(rows, speakers=3, turns_per_dialogue=4)
    assert [[t.speaker for t in d.turns] for d in dialogues] == [list("ABCA"), list("ABCA")]
    assert reasons(aside) == {9: "too short a rest"}


def test_a_repeated_text_of_four_words_is_kept_aside_in_a_flat_list_alone() -> None:
    rows = [said("We are late again!"), said("Oh."), said("oh"), said("we are LATE again")]
    rows = [row | {"id": number // 2} for number, row in enumerate(rows)]
    dialogues, aside = run(rows)
    assert texts(dialogues) == [["We are late again!", "Oh.", "oh"]]
    assert [(own.reason, own.detail) for own in aside] == [("repeated text", "as row 1")]
    assert len(run(rows, BY_ID)[0]) == 2


def test_common_column_names_are_guessed() -> None:
    found = guess_columns(["Sr No.", "Utterance", "Speaker", "Emotion", "Dialogue_ID"], "a file")
    assert found.named == {
        "text": "Utterance", "emotion": "Emotion", "dialogue_id": "Dialogue_ID",
        "speaker": "Speaker",
    }  # fmt: skip
    assert guess_columns(["turn", "sentence", "label"], "a file").named == {
        "text": "sentence", "emotion": "label"
    }  # fmt: skip
    with pytest.raises(UserError, match="No column is known to hold the emotion") as caught:
        guess_columns(["sentence", "valence"], "a file")
    assert "sentence, valence" in str(caught.value)
    assert "MAPPING" in str(caught.value)


@pytest.mark.parametrize(
    "values",
    [
        {"colums": {}},
        {"columns": {"text": "a"}},
        {"columns": {"text": "a", "emotion": "b", "id": "c"}},
        {"columns": {"text": "a", "emotion": "b", "turn": "c"}},
        {"labels": {True: "joy"}},
        {"strategy": "all"},
        {"strategy": "../up"},
        {"turns_per_dialogue": 1},
        {"speakers": 0},
        {"encoding": "utf-9"},
    ],
)
def test_a_mapping_of_unknown_names_or_values_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ImportMapping(**values)


def test_a_mapping_to_an_emotion_that_is_none_or_to_two_is_refused() -> None:
    with pytest.raises(UserError, match="Unknown emotion") as caught:
        run([said("x")], labels={"happy": "bliss"})
    assert "'happy'" in str(caught.value)
    with pytest.raises(UserError, match="two emotions"):
        run([said("x")], labels={"Happy": "joy", "happy ": "surprise"})

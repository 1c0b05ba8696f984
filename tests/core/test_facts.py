import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from erc_kedro.core.dialogue import Dialogue, Turn, dialogue_table
from erc_kedro.core.facts import plan_facts, strategy_facts, structure_facts
from tests.builders import LABELS, make_dialogue, make_spec, make_table, table_of_lengths

LONG = "I will not do that again"


def facts_of(dialogue):
    [facts] = structure_facts(dialogue_table([dialogue], "real")).to_dict("records")
    return facts


def numbered(*numbers):
    turns = tuple(Turn("A", f"turn {number} of it", "joy") for number in numbers)
    return Dialogue("d", turns, numbers=numbers)


def test_a_sound_dialogue_has_no_gaps_and_no_repeats():
    talk = make_dialogue("d", ("B", LONG, "joy"), ("A", "No.", "fear"), ("B", "No.", "joy"))
    assert facts_of(talk) == {
        "dialogue_id": "d",
        "n_turns": 3,
        "first_turn": 0,
        "turn_gaps": 0,
        "n_speakers": 2,
        "repeated_utterances": 0,
    }


@pytest.mark.parametrize(
    ("numbers", "first", "gaps"),
    [((0, 1, 2), 0, 0), ((1, 2, 3), 1, 0), ((0, 2, 3), 0, 1), ((0, 2, 4), 0, 2),
     ((0, 0, 1), 0, 1), ((0, 2, 1), 0, 2), ((5,), 5, 0)],
)  # fmt: skip
def test_missing_and_disordered_turn_numbers_are_counted(numbers, first, gaps):
    facts = facts_of(numbered(*numbers))
    assert (facts["first_turn"], facts["turn_gaps"]) == (first, gaps)


def test_repeats_count_from_four_words_and_within_a_dialogue_only():
    talk = [
        make_dialogue("a", *(("A", text, "joy") for text in (LONG, "Oh my God!", LONG.upper() + "!",
                                                             "Oh my God!", LONG))),
        make_dialogue("b", ("A", LONG, "joy")),
    ]  # fmt: skip
    facts = structure_facts(dialogue_table(talk, "real")).set_index("dialogue_id")
    assert facts["repeated_utterances"].to_dict() == {"a": 2, "b": 0}


@given(st.lists(st.integers(1, 6), min_size=1, max_size=8))
def test_there_is_one_row_per_dialogue_in_the_tables_order(lengths):
    table = table_of_lengths("d", lengths)
    order = table["dialogue_id"].drop_duplicates().tolist()[::-1]
    parts = [table[table["dialogue_id"] == name] for name in order]
    facts = structure_facts(pd.concat(parts, ignore_index=True))
    assert facts["dialogue_id"].tolist() == order
    assert facts["n_turns"].tolist() == lengths[::-1]
    assert facts["n_speakers"].tolist() == [min(n, 2) for n in lengths[::-1]]
    assert not facts[["first_turn", "turn_gaps", "repeated_utterances"]].any().any()


def test_a_dialogue_as_planned_is_nowhere_off_plan():
    talk = make_dialogue("a", ("A", "x", "joy"), ("B", "y", "fear"))
    [facts] = plan_facts(dialogue_table([talk], "synthetic"), {"a": make_spec(talk)}).to_dict(
        "records"
    )
    assert facts["turns_off_plan"] == facts["speakers_off_plan"] == facts["emotions_off_plan"] == 0
    assert facts["n_turns"] == 2


def test_what_is_off_plan_is_counted_for_its_own_dialogue():
    first = make_dialogue("b", ("A", "x", "joy"), ("B", "y", "fear"), ("C", "z", "joy"))
    second = make_dialogue("a", ("A", "x", "joy"))
    specs = {
        "a": make_spec(second, emotions=("joy", "joy", "fear"), n_speakers=2),
        "b": make_spec(first, emotions=("fear", "fear"), n_speakers=2),
        "c": make_spec(first, id="c"),
    }
    facts = plan_facts(dialogue_table([first, second], "synthetic"), specs).set_index("dialogue_id")
    assert facts["turns_off_plan"].to_dict() == {"b": 1, "a": -2}
    assert facts["speakers_off_plan"].to_dict() == {"b": 1, "a": -1}
    assert facts["emotions_off_plan"].to_dict() == {"b": 1, "a": 0}


def test_what_became_of_a_strategys_plan():
    planned = {"a": ["joy", "joy"], "b": ["fear", "joy"], "c": ["fear"], "d": ["anger"]}
    talks = {
        name: make_dialogue(name, *(("A", f"{name}{i}", e) for i, e in enumerate(emotions)))
        for name, emotions in planned.items()
    }
    specs = [
        make_spec(talk, strategy="faithful" if name == "d" else "balanced")
        for name, talk in talks.items()
    ]
    accepted = make_table({"a": planned["a"], "b": planned["b"]}, strategy="balanced")
    counts, shares = strategy_facts(accepted, specs, LABELS)
    assert counts.to_dict("records") == [
        {"strategy": "balanced", "planned": 3, "accepted": 2, "accepted_share": 2 / 3},
        {"strategy": "faithful", "planned": 1, "accepted": 0, "accepted_share": 0.0},
    ]
    assert len(shares) == 2 * len(LABELS)
    rows = shares.set_index(["strategy", "emotion"])
    assert rows.loc[("balanced", "joy")].tolist() == pytest.approx([0.75, 0.6, 0.15])
    assert rows.loc[("balanced", "fear")].tolist() == pytest.approx([0.25, 0.4, 0.15])
    assert rows.loc[("balanced", "anger")].tolist() == [0, 0, 0]
    assert rows.loc[("faithful", "anger")].tolist() == [0, 1, 1]

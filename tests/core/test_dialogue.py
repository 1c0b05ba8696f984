import pytest
from hypothesis import given
from hypothesis import strategies as st

from erc_kedro.core.dialogue import (
    COLUMNS,
    Dialogue,
    Turn,
    dialogue_table,
    dialogues_of,
    normalise_text,
    words,
)
from tests.builders import EMOTIONS, make_dialogue

TURNS = st.builds(Turn, st.text(min_size=1), st.text(), st.sampled_from(EMOTIONS))
DIALOGUES = st.lists(st.lists(TURNS, min_size=1, max_size=5), min_size=1, max_size=5).map(
    lambda all_turns: [Dialogue(f"d{i}", tuple(t)) for i, t in enumerate(all_turns)]
)


def test_speakers_stand_in_order_of_first_appearance():
    talk = make_dialogue("a", ("Zoe", "x", "joy"), ("Al", "y", "joy"), ("Zoe", "z", "joy"))
    assert talk.speakers == ("Zoe", "Al")


@given(DIALOGUES)
def test_a_table_gives_back_the_dialogues_it_was_made_of(dialogues):
    table = dialogue_table(dialogues, "real")
    again = list(dialogues_of(table))
    assert [(d.id, d.turns) for d in again] == [(d.id, d.turns) for d in dialogues]
    assert [d.numbers for d in again] == [tuple(range(len(d.turns))) for d in dialogues]


def test_a_table_has_one_row_per_utterance_numbered_from_0_with_its_source():
    table = dialogue_table(
        [
            make_dialogue("b", ("A", "hi", "joy"), ("B", "no", "fear")),
            make_dialogue("a", ("A", "x", "joy")),
        ],
        "synthetic",
    )
    assert tuple(table.columns) == COLUMNS
    assert table["dialogue_id"].tolist() == ["b", "b", "a"]
    assert table["turn"].tolist() == [0, 1, 0]
    assert set(table["source"]) == {"synthetic"}
    assert table["turn"].dtype == "int64"


def test_a_table_without_dialogues_keeps_columns_and_types():
    table = dialogue_table([], "real")
    assert tuple(table.columns) == COLUMNS
    assert table["turn"].dtype == "int64"
    assert table["text"].dtype == "str"
    assert list(dialogues_of(table)) == []


def test_turn_numbers_of_their_own_survive_the_table():
    turns = (Turn("A", "x", "joy"), Turn("B", "y", "joy"))
    [again] = dialogues_of(dialogue_table([Dialogue("a", turns, numbers=(1, 3))], "real"))
    assert again.numbers == (1, 3)


def test_as_many_turn_numbers_as_turns_are_demanded():
    with pytest.raises(ValueError, match="zip"):
        dialogue_table([Dialogue("a", (Turn("A", "x", "joy"),), numbers=(0, 1))], "real")


@pytest.mark.parametrize(
    ("raw", "plain"),
    [
        ("It\x92s", "It's"),
        ("\x93Wow\x94 \x96 no\x85", '"Wow" - no...'),
        ("caf\xe9 na\xefve", "café naïve"),
        ("cafe\u0301", "caf\xe9"),
        ("it\u2019s \u2018ok\u2019", "it's 'ok'"),
        ("\u201eso\u201c \u201cso\u201d", '"so" "so"'),
        ("a\u2014b 1\u20132 \u2026", "a - b 1-2 ..."),
        ("  a\u00a0 b\r\n\tc ", "a b c"),
        ("", ""),
    ],
)
def test_text_is_normalised(raw, plain):
    assert normalise_text(raw) == plain


@given(st.text(alphabet="It\x92\x81\x85\x8d\x97s\u2019\u2026\u2014\u0301\u0338e =<"))
def test_cp1252_remains_never_survive(text):
    assert not any("\x80" <= character <= "\x9f" for character in normalise_text(text))


@given(st.text() | st.text(alphabet="a\x91\x92\x93\x97\x81\u2014\u2026\u0301\u0338\u00a0 =-'\n"))
def test_normalising_twice_is_normalising_once(text):
    once = normalise_text(text)
    assert normalise_text(once) == once


@given(st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126)))
def test_plain_ascii_words_stay_as_they_are(text):
    assert normalise_text(text) == text


def test_words_are_lower_case_without_punctuation_but_with_inner_apostrophes():
    assert words("'Don\u2019t' go -- Joey's 2 dogs!") == ["don't", "go", "joey's", "2", "dogs"]
    assert words("?!...") == []


@given(st.text())
def test_words_do_not_depend_on_case_of_ascii_or_on_normalising(text):
    assert words(normalise_text(text)) == words(text)

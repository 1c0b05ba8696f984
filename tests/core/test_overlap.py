import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from erc_kedro.core.dialogue import words
from erc_kedro.core.overlap import NearDuplicates, TextIndex, copy_key, ngrams
from erc_kedro.corpora import CORPORA
from erc_kedro.corpora.folder import read_raw

SENTENCE = "one two three four five six seven eight nine ten"


def test_ngrams_are_the_distinct_runs_of_a_size():
    assert ngrams(["a", "b", "a", "b", "c"], 2) == {("a", "b"), ("b", "a"), ("b", "c")}
    assert ngrams(["a", "b"], 2) == {("a", "b")}
    assert ngrams(["a"], 2) == set()


def test_a_text_counts_as_a_copy_from_four_words_up():
    assert copy_key("Oh my God!") is None
    assert copy_key("Oh, my good GOD!") == "oh my good god"


def test_copies_are_found_whatever_their_case_punctuation_and_quotes():
    index = TextIndex(["I don\u2019t want it!", "Oh my God!"])
    copies = ["i don't want it", "I don\x92t, want: IT..."]
    assert index.copied([*copies, "I don't want it now", "Oh my God!", "want"]) == copies


def test_a_short_coincidence_is_no_overlap():
    index = TextIndex(["Oh my God!", "No.", ""])
    assert not index.overlaps(["Oh my God!", "No.", ""])
    assert not index.overlaps([])


def test_one_copied_utterance_of_four_words_overlaps():
    index = TextIndex(["I love you too", SENTENCE])
    assert index.overlaps(["something new", "I love you too!"])


@pytest.mark.parametrize(("shared_words", "fivegrams"), [(4, 0), (5, 1), (6, 2), (7, 3), (8, 4)])
def test_three_shared_fivegrams_overlap_two_do_not(shared_words, fivegrams):
    index = TextIndex([SENTENCE])
    text = "well " + " ".join(SENTENCE.split()[:shared_words]) + " anyway"
    assert len(index.shared_fivegrams([text])) == fivegrams
    assert index.overlaps([text]) == (fivegrams >= 3)


def test_fivegrams_add_up_over_a_dialogue_and_count_once_each():
    index = TextIndex([SENTENCE])
    two, another = "well one two three four five six", "well five six seven eight nine"
    assert index.shared_fivegrams([two, two, another]) == [
        "five six seven eight nine",
        "one two three four five",
        "two three four five six",
    ]
    assert not index.overlaps([two, two])
    assert index.overlaps([two, another])


def test_fivegrams_do_not_run_from_one_utterance_into_the_next():
    assert TextIndex([SENTENCE]).shared_fivegrams(["one two three", "four five six seven"]) == []
    split = TextIndex(["one two three", "four five six seven"])
    assert split.shared_fivegrams([SENTENCE]) == []


@given(st.lists(st.text(alphabet="ab cd'"), max_size=6), st.text(alphabet="ab cd'"))
def test_a_text_of_the_index_is_a_copy_exactly_from_four_words_up(texts, extra):
    index = TextIndex([*texts, extra])
    assert bool(index.copied([extra])) == (len(words(extra)) >= 4)


def test_similarity_is_the_jaccard_index_of_trigrams():
    near = NearDuplicates(threshold=0.5)
    near.add("a", ["one two three four", "five six seven"])  # trigrams: 123 234 567
    assert near.nearest(["one two three four five"]) == ("a", 0.5)  # 123 234 345: 2 of 4
    assert near.nearest(["one two three", "x y z"]) is None  # 1 of 4
    assert near.nearest(["Five, six; SEVEN!", "one two three four"]) == ("a", 1.0)


def test_the_most_similar_dialogue_is_named():
    near = NearDuplicates(threshold=0.1)
    near.add("far", ["one two three nine nine nine"])
    near.add("close", ["one two three four five six"])
    near.add("other", ["something else entirely here"])
    match = near.nearest(["one two three four five seven"])
    assert match is not None and match[0] == "close"


def test_nothing_remembered_or_nothing_to_compare_is_no_near_duplicate():
    near = NearDuplicates()
    assert near.nearest([SENTENCE]) is None
    near.add("a", ["hi there"])
    assert near.nearest(["hi there"]) is None
    assert near.nearest([]) is None


def _real_data() -> Path:
    folder = Path(os.environ.get("ERC_REAL_DATA", "nowhere"))
    if not (folder / "emorynlp").is_dir() or not (folder / "meld").is_dir():
        pytest.skip("the real files are not here (ERC_REAL_DATA)")
    return folder


@pytest.fixture(scope="module")
def emorynlp_overlaps() -> list[bool]:
    folder = _real_data()
    meld, emorynlp = (
        read_raw(CORPORA[name], folder / name).splits for name in ("meld", "emorynlp")
    )
    held_out = TextIndex(text for split in ("dev", "test") for text in meld[split]["text"])
    scenes = emorynlp["train"].groupby("dialogue_id", sort=False)["text"]
    return [held_out.overlaps(list(texts)) for _, texts in scenes]


def test_123_of_659_emorynlp_dialogues_overlap_with_meld(emorynlp_overlaps):
    assert len(emorynlp_overlaps) == 659
    assert sum(emorynlp_overlaps) == 123

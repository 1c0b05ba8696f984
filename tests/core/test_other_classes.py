"""Utterances of other classes are context: they count nowhere in labels, transitions and mixing."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from erc_kedro.core.errors import UserError
from erc_kedro.core.labels import OTHER, LabelSet, labelled
from erc_kedro.core.mixing import Recipe, mix, repeat_rare
from erc_kedro.core.transitions import TransitionModel
from tests.builders import EMOTIONS, LABELS, make_table, table_of_lengths

NAMES = st.lists(st.sampled_from([*EMOTIONS, OTHER]), max_size=30)
TABLES = st.dictionaries(
    st.sampled_from([f"d{i}" for i in range(9)]),
    st.lists(st.sampled_from([*EMOTIONS, OTHER]), min_size=1, max_size=9),
    min_size=1,
).map(make_table)


@given(NAMES)
def test_shares_and_counts_pass_it_over(names: list[str]) -> None:
    known = [name for name in names if name != OTHER]
    np.testing.assert_array_equal(LABELS.shares(names), LABELS.shares(known))
    assert LABELS.counts(names).tolist() == [known.count(name) for name in EMOTIONS]
    assert LABELS.counts(names).shape == (len(EMOTIONS),)


@given(NAMES)
def test_it_has_a_code_only_if_one_is_given(names: list[str]) -> None:
    codes = LABELS.codes(names, other=-1)
    assert codes.dtype == np.int64
    assert [EMOTIONS[code] if code >= 0 else OTHER for code in codes] == names
    if OTHER in names:
        with pytest.raises(UserError, match="Unknown emotion"):
            LABELS.codes(names)


def test_another_unknown_name_is_refused_even_then() -> None:
    with pytest.raises(UserError, match="'boredom'"):
        LABELS.codes(["joy", OTHER, "boredom"], other=-1)


def test_no_label_set_may_hold_it() -> None:
    with pytest.raises(UserError, match="context alone"):
        LabelSet("toy", ("neutral", OTHER))


def test_labelled_keeps_the_other_rows_as_they_are() -> None:
    table = make_table({"a": ["joy", OTHER, "fear"], "b": [OTHER]})
    assert labelled(table)["text"].tolist() == ["words of a 0", "words of a 2"]
    whole = table_of_lengths("a", [3, 4])
    pd.testing.assert_frame_equal(labelled(whole), whole)


class TestTransitions:
    def probabilities(self, **dialogues: list[str]) -> np.ndarray:
        return TransitionModel.fit(make_table(dialogues), LABELS).probabilities

    def test_it_is_no_emotion_that_follows(self) -> None:
        one = self.probabilities(a=["joy", "anger"])
        np.testing.assert_array_equal(self.probabilities(a=["joy", "anger", OTHER]), one)
        np.testing.assert_array_equal(self.probabilities(a=["joy", "anger"], b=[OTHER] * 4), one)

    def test_after_it_the_emotion_before_is_absent(self) -> None:
        after = self.probabilities(a=[OTHER, OTHER, "joy"])
        np.testing.assert_array_equal(after, self.probabilities(a=["joy"]))

    def test_it_does_not_uncover_an_older_emotion(self) -> None:
        model = make_table({"a": ["joy", "fear", OTHER, OTHER, "anger"]})
        n, codes = len(LABELS), LABELS.codes(["joy", "fear", "anger"])
        fitted = TransitionModel.fit(model, LABELS, backoff=1e-9).probabilities
        assert fitted[n, n, codes[2]] == pytest.approx(0.5, abs=1e-6)  # with joy at the start
        assert fitted[codes[0], codes[1], codes[2]] < 0.5

    @given(TABLES)
    def test_probabilities_stay_probabilities(self, table: pd.DataFrame) -> None:
        fitted = TransitionModel.fit(table, LABELS).probabilities
        np.testing.assert_allclose(fitted.sum(-1), 1)
        assert (fitted > 0).all()


class TestMixing:
    REAL = make_table(
        {f"real-{i}": [*own, *[OTHER] * (i % 5)] for i, own in enumerate([["joy", "fear"]] * 40)}
    )
    SYNTHETIC = table_of_lengths("syn", [4] * 40, source="synthetic", strategy="balanced")
    HALF = Recipe(extra="synthetic", ratio=0.5)

    def mixed(self, recipe: Recipe, real: pd.DataFrame | None = None) -> pd.DataFrame:
        real = self.REAL if real is None else real
        return mix(real, self.SYNTHETIC, recipe, self.HALF, LABELS, seed=0)

    def test_a_ratio_is_of_labelled_utterances(self) -> None:
        mixed = self.mixed(self.HALF)
        n = (mixed["source"] == "synthetic").sum()
        assert n == len(labelled(self.REAL)) / 2
        assert (mixed["source"] == "real").sum() == len(self.REAL)

    def test_repeated_dialogues_keep_it_but_it_counts_not(self) -> None:
        mixed = self.mixed(Recipe(extra="repeated"))
        copies = mixed[mixed["source"] == "repeated"]
        assert len(labelled(copies)) == len(labelled(self.REAL)) / 2
        originals = self.REAL.groupby("dialogue_id")["emotion"].agg(list)
        for name, own in copies.groupby("dialogue_id")["emotion"]:
            assert own.tolist() == originals[str(name).split("#")[0]]

    def test_it_does_not_change_which_dialogues_are_repeated(self) -> None:
        without = labelled(self.REAL).reset_index(drop=True)
        drawn = [repeat_rare(real, 60, LABELS, seed=5) for real in (self.REAL, without)]
        pd.testing.assert_frame_equal(labelled(drawn[0]).reset_index(drop=True), drawn[1])

    def test_a_dialogue_of_nothing_else_is_never_repeated(self) -> None:
        real = pd.concat([make_table({"empty": [OTHER] * 3}), self.REAL], ignore_index=True)
        drawn = [repeat_rare(table, 60, LABELS, seed=5) for table in (real, self.REAL)]
        pd.testing.assert_frame_equal(*drawn)

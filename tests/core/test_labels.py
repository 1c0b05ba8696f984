import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from erc_kedro.core.errors import UserError
from tests.builders import EMOTIONS, LABELS


def test_codes_are_positions_in_the_label_set():
    assert LABELS.codes(["fear", "neutral", "joy", "fear"]).tolist() == [6, 0, 1, 6]
    assert LABELS.codes(iter(["joy"])).dtype == np.int64


def test_no_emotions_have_no_codes_and_zero_shares():
    assert LABELS.codes([]).shape == (0,)
    assert LABELS.shares([]).tolist() == [0.0] * len(EMOTIONS)


@given(st.lists(st.sampled_from(EMOTIONS), min_size=1, max_size=40))
def test_shares_are_relative_counts_in_label_order(emotions):
    expected = [emotions.count(name) / len(emotions) for name in EMOTIONS]
    np.testing.assert_allclose(LABELS.shares(emotions), expected)


def test_unknown_emotions_are_named_with_their_place_and_what_was_expected():
    with pytest.raises(UserError) as caught:
        LABELS.codes(["joy", "bliss", "Joy"], where="train, row 3")
    message = str(caught.value)
    assert "'bliss'" in message and "'Joy'" in message
    assert "train, row 3" in message
    assert all(emotion in message for emotion in EMOTIONS)


def test_user_error_shows_only_the_parts_it_was_given():
    assert str(UserError("Broken.", found="x")) == "Broken.\n  found: x"
    full = str(UserError("Broken.", where="a", expected="b", found="c", remedy="d"))
    assert full == "Broken.\n  where: a\n  expected: b\n  found: c\n  what to do: d"

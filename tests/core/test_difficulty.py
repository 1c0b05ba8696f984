"""The difficulty of dialogues by weighted emotional shifts, after PRC-Emo."""

import math
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from erc_kedro.core.dialogue import dialogue_table
from erc_kedro.core.difficulty import ANGLES, difficulties, easier_half, shift_weights
from erc_kedro.core.errors import UserError
from erc_kedro.core.labels import OTHER, LabelSet
from erc_kedro.corpora import CORPORA
from tests.builders import EMOTIONS, LABELS, make_dialogue, table_of_lengths

TURNS = st.lists(
    st.tuples(st.sampled_from("ABC"), st.sampled_from([*EMOTIONS, OTHER])), min_size=1, max_size=12
)
DIALOGUES = st.lists(TURNS, min_size=1, max_size=8)


def table(*dialogues: list[tuple[str, str]]) -> pd.DataFrame:
    """Return dialogues d0, d1, ... from (speaker, emotion) pairs."""
    return dialogue_table(
        [
            make_dialogue(f"d{i}", *((who, "words", emotion) for who, emotion in own))
            for i, own in enumerate(dialogues)
        ],
        "real",
    )


def shift(one: str, two: str) -> float:
    """Return what a shift adds, written out anew."""
    if one == two or OTHER in (one, two):
        return 0.0
    if "neutral" in (one, two):
        return 1 / len(EMOTIONS) + 0.4
    a, b = (math.radians(ANGLES[name]) for name in (one, two))
    agree = math.cos(a) * math.cos(b) > 0
    return 0.4 + (max(math.cos(a - b), 0) if agree else 0)


def by_hand(turns: list[tuple[str, str]]) -> float:
    """Return a dialogue's difficulty, written out anew, speaker by speaker."""
    counted = [turn for turn in turns if turn[1] != OTHER]
    if not counted:
        return math.inf
    same = 0.0
    for who in {who for who, _ in counted}:
        own = [emotion for speaker, emotion in counted if speaker == who]
        same += sum(shift(*pair) for pair in pairwise(own))
    different = sum(shift(a[1], b[1]) for a, b in pairwise(turns) if a[0] != b[0])
    speakers = len({who for who, _ in counted})
    return (same + different + speakers) / (len(counted) + speakers)


def test_an_example() -> None:
    # A: neutral, anger; B: joy, joy. One shift of A; between speakers: neutral-joy, joy-anger,
    # anger-joy. Joy (27 degrees) and anger (99) disagree in valence: their shift adds 0.4.
    own = table([("A", "neutral"), ("B", "joy"), ("A", "anger"), ("B", "joy")])
    with_neutral = 1 / 7 + 0.4
    wanted = (with_neutral + with_neutral + 0.4 + 0.4 + 2) / (4 + 2)
    assert difficulties(own, LABELS).tolist() == [pytest.approx(wanted)]


@given(DIALOGUES)
def test_it_is_that_of_the_formula(dialogues: list[list[tuple[str, str]]]) -> None:
    found = difficulties(table(*dialogues), LABELS)
    assert found.index.tolist() == [f"d{i}" for i in range(len(dialogues))]
    assert found.to_numpy() == pytest.approx([by_hand(own) for own in dialogues])


def test_alike_emotions_shift_harder_than_unlike_ones() -> None:
    weights = pd.DataFrame(shift_weights(LABELS), EMOTIONS, EMOTIONS)
    assert weights.loc["disgust", "fear"] == pytest.approx(0.4 + math.cos(math.radians(18)))
    assert weights.loc["anger", "disgust"] == pytest.approx(0.4 + math.cos(math.radians(54)))
    assert weights.loc["joy", "surprise"] == pytest.approx(0.4 + math.cos(math.radians(54)))
    assert weights.loc["surprise", "anger"] == 0.4  # near on the circle, but valences disagree
    assert weights.loc["anger", "sadness"] == 0.4  # valences agree, but the cosine is below 0
    assert weights.loc["neutral", "fear"] == pytest.approx(0.4 + 1 / 7)
    assert (weights == weights.T).all(axis=None)
    assert (np.diag(weights) == 0).all()


def test_an_utterance_of_another_class_counts_nowhere() -> None:
    plain = table([("A", "joy"), ("A", "fear"), ("B", "fear")])
    # a speaker's next utterance follows the last that counts; neighbours of it are no pair
    between = table([("A", "joy"), ("A", OTHER), ("C", OTHER), ("A", "fear"), ("B", "fear")])
    assert difficulties(between, LABELS).tolist() == difficulties(plain, LABELS).tolist()
    apart = table([("A", "joy"), ("A", OTHER), ("B", "fear")])
    assert difficulties(apart, LABELS).tolist() == [2 / 4]
    assert difficulties(table([("A", OTHER)]), LABELS).tolist() == [math.inf]


@pytest.mark.parametrize("corpus", CORPORA.values(), ids=list(CORPORA))
def test_every_corpus_of_ours_can_be_measured(corpus) -> None:
    weights = shift_weights(corpus.label_set)
    assert weights.shape == (len(corpus.label_set),) * 2
    assert weights[~np.eye(len(weights), dtype=bool)].min() >= 0.4
    assert weights.max() <= 1.4


def test_an_emotion_without_an_angle_is_refused_by_name() -> None:
    labels = LabelSet("toy", ("neutral", "joy", "ennui"))
    with pytest.raises(UserError, match=r"(?s)circle.*easy_first.*ennui"):
        shift_weights(labels)
    assert shift_weights(LabelSet("toy", ("calm", "joy"), neutral="calm"))[0, 1] == 0.9


class TestEasierHalf:
    @given(DIALOGUES, st.integers(0, 99))
    def test_is_half_of_what_can_be_learnt_and_no_other_is_easier(self, dialogues, seed) -> None:
        own = table(*dialogues)
        found = difficulties(own, LABELS)
        half = easier_half(own, LABELS, seed)
        counted = found[np.isfinite(found)]
        assert half <= set(counted.index)
        assert len(half) == math.ceil(len(counted) / 2)
        rest = counted[~counted.index.isin(half)]
        if len(rest):
            assert counted[list(half)].max() <= rest.min() + 1e-9

    def test_chance_decides_among_the_equally_easy(self) -> None:
        alike = table_of_lengths("d", [1] * 40)
        halves = [easier_half(alike, LABELS, seed) for seed in (0, 0, 1)]
        assert halves[0] == halves[1] != halves[2]
        assert halves[0] != set(alike["dialogue_id"].unique()[:20])

"""Demonstrations come from train, fit the plan, and are the same for a seed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from erc_kedro.core.demonstrations import SHORTLIST, Demonstrations, cut_excerpts, excerpt_table
from erc_kedro.core.specs import DialogueSpec
from tests.builders import EMOTIONS, LABELS, make_table, sticky_table

TRAIN = sticky_table(40)
SCENARIOS = ("a lost hat", "a found hat")


def spec(*emotions, scenario="a lost hat", spec_id="s0"):
    return DialogueSpec(spec_id, "balanced", scenario, 1, emotions)


def demonstrations(excerpts, similarity=None, n=3, seed=0):
    if similarity is None:
        similarity = np.zeros((len(excerpts), 2))
    table = excerpt_table(excerpts, np.asarray(similarity, dtype=float))
    return Demonstrations(table, SCENARIOS, LABELS, n=n, seed=seed)


@given(st.integers(2, 6))
def test_excerpts_are_successive_turns_of_one_dialogue_each_turn_once(n_turns):
    seen = []
    for excerpt in cut_excerpts(TRAIN, n_turns):
        assert 2 <= len(excerpt.turns) <= n_turns
        dialogue_id, start = excerpt.id.rsplit(":", maxsplit=1)
        rows = TRAIN[TRAIN["dialogue_id"] == dialogue_id].iloc[int(start) :]
        assert excerpt.text.split("\n") == rows["text"].tolist()[: len(excerpt.turns)]
        assert [t.emotion for t in excerpt.turns] == rows["emotion"].tolist()[: len(excerpt.turns)]
        seen += [turn.text for turn in excerpt.turns]
    assert len(set(seen)) == len(seen)
    left_out = len(TRAIN) - len(seen)
    assert left_out <= TRAIN["dialogue_id"].nunique()  # a rest of one turn


@given(
    st.lists(st.sampled_from(EMOTIONS), min_size=1, max_size=6),
    st.integers(0, 4),
    st.integers(0, 50),
)
def test_each_shares_an_emotion_that_tells_and_none_comes_twice(emotions, n, seed):
    excerpts = cut_excerpts(TRAIN, 4)
    chosen = demonstrations(excerpts, n=n, seed=seed).of(spec(*emotions))
    assert len({excerpt.id for excerpt in chosen}) == len(chosen) == n
    assert demonstrations(excerpts, n=n, seed=seed).of(spec(*emotions)) == chosen
    telling = set(emotions) - {"neutral"}
    for excerpt in chosen:
        assert not telling or telling & {turn.emotion for turn in excerpt.turns}


def test_only_the_nearest_to_the_scenario_come_into_question():
    table = make_table({f"d{i}": ["joy", "joy"] for i in range(40)})
    excerpts = cut_excerpts(table, 2)
    similarity = np.zeros((40, 2))
    similarity[:SHORTLIST, 0] = similarity[-SHORTLIST:, 1] = 1
    near = demonstrations(excerpts, similarity)
    for name, nearest in zip(SCENARIOS, (excerpts[:SHORTLIST], excerpts[-SHORTLIST:]), strict=True):
        chosen = {
            e.id for i in range(30) for e in near.of(spec("joy", scenario=name, spec_id=f"{i}"))
        }
        assert chosen == {excerpt.id for excerpt in nearest}
    anywhere = {e.id for i in range(60) for e in near.of(spec("joy", scenario="x", spec_id=f"{i}"))}
    assert len(anywhere) > 2 * SHORTLIST


def test_together_they_show_as_many_of_the_planned_emotions_as_they_can():
    rows = {
        "a": ["joy", "joy"],
        "b": ["fear", "joy"],
        "c": ["anger", "disgust"],
        "d": ["joy", "joy"],
    }
    excerpts = cut_excerpts(make_table(rows), 2)
    for i in range(10):
        wanted = spec("joy", "fear", "anger", "disgust", spec_id=f"s{i}")
        chosen = demonstrations(excerpts, n=2, seed=i).of(wanted)
        assert {excerpt.id for excerpt in chosen} == {"b:0", "c:0"}


@pytest.mark.parametrize("n", [0, 3])
def test_without_excerpts_none_is_shown(n):
    assert demonstrations([], n=n).of(spec("joy")) == []


def test_if_no_excerpt_shares_an_emotion_any_may_be_shown():
    excerpts = cut_excerpts(make_table({"a": ["joy", "joy"], "b": ["neutral", "joy"]}), 2)
    assert len(demonstrations(excerpts, n=3).of(spec("fear"))) == 2

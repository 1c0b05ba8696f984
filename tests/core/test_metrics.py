import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score

from erc_kedro.core.metrics import HEADLINE, dialogue_counts, headline_scores, scores


@st.composite
def labelled(draw):
    n_labels = draw(st.integers(2, 7))
    size = draw(st.integers(1, 40))
    codes = st.lists(st.integers(0, n_labels - 1), min_size=size, max_size=size)
    truth = np.array(draw(codes))
    predicted = np.array([draw(codes) for _ in range(draw(st.integers(1, 3)))])
    dialogue = np.sort(np.array(draw(st.lists(st.integers(0, 6), min_size=size, max_size=size))))
    return truth, predicted, np.unique(dialogue, return_inverse=True)[1], n_labels


@given(labelled())
def test_every_metric_equals_scikit_learn_over_the_whole_label_set(case):
    truth, predicted, dialogue, n_labels = case
    counts = dialogue_counts(truth, predicted, dialogue, n_labels)
    emotions = [f"e{i}" for i in range(n_labels)]
    options = {"labels": range(n_labels), "zero_division": 0}
    for seed, row in enumerate(predicted):
        ours = scores(counts[seed].sum(0), emotions)
        per_label = f1_score(truth, row, average=None, **options)
        expected = {
            "weighted_f1": f1_score(truth, row, average="weighted", **options),
            "macro_f1": f1_score(truth, row, average="macro", **options),
            "accuracy": accuracy_score(truth, row),
        } | {f"f1_e{i}": per_label[i] for i in range(n_labels)}
        assert ours == pytest.approx(expected)
        assert all(type(value) is float for value in ours.values())


@given(labelled())
def test_counts_of_a_dialogue_are_those_of_its_utterances_alone(case):
    truth, predicted, dialogue, n_labels = case
    counts = dialogue_counts(truth, predicted, dialogue, n_labels)
    assert counts.shape == (len(predicted), dialogue.max() + 1, 3, n_labels)
    for number in range(dialogue.max() + 1):
        own = dialogue == number
        for seed, row in enumerate(predicted):
            hits, said, true = counts[seed, number]
            assert true.tolist() == np.bincount(truth[own], minlength=n_labels).tolist()
            assert said.tolist() == np.bincount(row[own], minlength=n_labels).tolist()
            right = own & (row == truth)
            assert hits.tolist() == np.bincount(truth[right], minlength=n_labels).tolist()


def test_an_absent_emotion_counts_in_macro_f1_and_not_in_weighted():
    truth = np.array([0, 0, 1])
    counts = dialogue_counts(truth, truth[None], np.zeros(3, dtype=int), 4)[0, 0]
    assert scores(counts, "abcd")["macro_f1"] == pytest.approx(0.5)
    assert scores(counts, "abcd")["weighted_f1"] == pytest.approx(1.0)


def test_no_utterance_at_all_scores_0():
    assert set(scores(np.zeros((3, 2)), "ab").values()) == {0.0}


@given(labelled())
def test_headline_scores_take_any_leading_axes(case):
    truth, predicted, dialogue, n_labels = case
    counts = dialogue_counts(truth, predicted, dialogue, n_labels)
    together = headline_scores(counts)
    assert together.shape == (*counts.shape[:2], len(HEADLINE))
    np.testing.assert_allclose(together[0, 0], headline_scores(counts[0, 0]))
    single = scores(counts[0, 0], [str(i) for i in range(n_labels)])
    np.testing.assert_allclose(together[0, 0], [single[name] for name in HEADLINE])

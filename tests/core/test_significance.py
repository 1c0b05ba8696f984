import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from erc_kedro.core.metrics import HEADLINE, dialogue_counts, headline_scores
from erc_kedro.core.significance import Difference, compare, holm


def made_arm(rng, truth, dialogue, skill, n_seeds=4, n_labels=4):
    """Return counts of classifiers that are right with a probability per seed and utterance."""
    right = rng.random((n_seeds, len(truth))) < skill
    guesses = rng.integers(n_labels, size=right.shape)
    return dialogue_counts(truth, np.where(right, truth, guesses), dialogue, n_labels)


def made_test_set(rng, n_dialogues=50, n_labels=4):
    dialogue = np.repeat(np.arange(n_dialogues), rng.integers(2, 9, size=n_dialogues))
    truth = rng.choice(n_labels, size=len(dialogue), p=[0.55, 0.25, 0.15, 0.05])
    return truth, dialogue


@pytest.fixture(scope="module")
def arms():
    """Return two arms that differ a little, over seeds and dialogues that differ a lot."""
    rng = np.random.default_rng(0)
    truth, dialogue = made_test_set(rng)
    hard = rng.normal(0, 0.2, size=dialogue.max() + 1)[dialogue]
    luck = np.array([-0.2, 0.2, 0.0, -0.1])[:, None]
    base = np.clip(0.5 + hard + luck, 0, 1)
    return tuple(made_arm(rng, truth, dialogue, np.clip(base + more, 0, 1)) for more in (0.06, 0))


def slow_bootstrap(arm, baseline, draws, seed):
    rng = np.random.default_rng(seed)
    n_seeds, n_dialogues = arm.shape[:2]
    drawn = []
    for _ in range(draws):
        dialogues = rng.integers(n_dialogues, size=n_dialogues)
        seeds = rng.integers(n_seeds, size=n_seeds)
        difference = [
            headline_scores(arm[s][dialogues].sum(0))
            - headline_scores(baseline[s][dialogues].sum(0))
            for s in seeds
        ]
        drawn.append(np.mean(difference, axis=0))
    return np.array(drawn)


def test_the_result_is_that_of_a_plain_loop_over_resamplings(arms):
    arm, baseline = arms
    drawn = slow_bootstrap(arm, baseline, 3000, seed=1)
    observed = np.mean(
        [headline_scores(a.sum(0)) - headline_scores(b.sum(0)) for a, b in zip(*arms, strict=True)],
        axis=0,
    )
    for i, result in enumerate(compare(arm, baseline, draws=6000, seed=2)):
        assert result.metric == HEADLINE[i]
        assert result.difference == pytest.approx(observed[i])
        error = drawn[:, i].std(ddof=1)
        assert result.standard_error == pytest.approx(error, rel=0.07)
        low, high = np.percentile(drawn[:, i], [2.5, 97.5])
        assert result.interval == pytest.approx((low, high), abs=0.2 * error)
        p_value = (np.abs(drawn[:, i] - observed[i]) >= abs(observed[i])).mean()
        assert result.p_value == pytest.approx(p_value, abs=0.04)
        assert 0.005 < result.p_value < 0.9  # or the comparison above says little


def test_seeds_are_resampled_too_and_together_for_both_arms():
    rng = np.random.default_rng(0)
    truth, dialogue = made_test_set(rng)
    luck = np.array([0.2, 0.8, 0.3, 0.9])[:, None]
    shared = [made_arm(rng, truth, dialogue, luck) for _ in range(2)]
    paired = compare(*shared, draws=1000)[0].standard_error
    crossed = compare(shared[0], shared[1][::-1].copy(), draws=1000)[0].standard_error
    assert crossed > 3 * paired


def test_dialogues_are_resampled_together_for_both_arms(arms):
    arm, _ = arms
    nearly = arm.copy()
    nearly[:, 0] = 0
    error = compare(arm, nearly, draws=1000)[0].standard_error
    single = compare(arm, np.zeros_like(arm), draws=1000)[0].standard_error
    assert error < single / 3


def test_the_error_of_one_seed_with_one_utterance_a_dialogue_is_the_binomial():
    # Two labels, all true 0: weighted F1 = 2 r / (1 + r) at recall r, the baseline's is 0.
    n, right = 400, 300
    truth, dialogue = np.zeros(n, dtype=int), np.arange(n)
    predicted = (np.arange(n) >= right).astype(int)
    arm = dialogue_counts(truth, predicted[None], dialogue, 2)
    baseline = dialogue_counts(truth, np.ones((1, n), dtype=int), dialogue, 2)
    recall = right / n
    slope = 2 / (1 + recall) ** 2
    result = compare(arm, baseline, draws=5000)[0]
    assert result.difference == pytest.approx(2 * recall / (1 + recall))
    expected = slope * np.sqrt(recall * (1 - recall) / n)
    assert result.standard_error == pytest.approx(expected, rel=0.05)
    low, high = result.interval
    assert high - low == pytest.approx(2 * 1.96 * expected, rel=0.07)


def test_identical_arms_do_not_differ(arms):
    for result in compare(arms[0], arms[0], draws=200):
        assert result.difference == 0
        assert result.p_value == 1
        assert result.interval == (0, 0)
        assert result.standard_error == 0


def test_a_clear_difference_has_the_smallest_p_there_is():
    rng = np.random.default_rng(0)
    truth, dialogue = made_test_set(rng)
    good, bad = (made_arm(rng, truth, dialogue, skill) for skill in (0.9, 0.4))
    for result in compare(good, bad, draws=1500):
        assert result.p_value == pytest.approx(1 / 1501)
        assert 0 < result.interval[0] < result.difference < result.interval[1]
    for result in compare(bad, good, draws=1500):
        assert result.p_value == pytest.approx(1 / 1501)
        assert result.interval[1] < 0


def test_swapping_the_arms_changes_the_sign_and_nothing_else(arms):
    there, back = compare(*arms, draws=700), compare(*arms[::-1], draws=700)
    for a, b in zip(there, back, strict=True):
        assert a.difference == pytest.approx(-b.difference)
        assert a.interval == pytest.approx((-b.interval[1], -b.interval[0]))
        assert a.p_value == b.p_value
        assert a.standard_error == pytest.approx(b.standard_error)


def test_the_resampling_is_fixed_by_its_seed(arms):
    assert compare(*arms, draws=300, seed=4) == compare(*arms, draws=300, seed=4)
    assert compare(*arms, draws=300, seed=4) != compare(*arms, draws=300, seed=5)


def test_every_draw_counts_whatever_their_number(arms):
    errors = [compare(*arms, draws=draws)[0].standard_error for draws in (999, 1001, 2500)]
    assert errors == pytest.approx([errors[0]] * 3, rel=0.1)
    n = compare(*arms, draws=1001)[0].p_value * 1002
    assert n == pytest.approx(round(n))


def test_the_observed_difference_does_not_depend_on_the_order_of_dialogues_or_seeds(arms):
    rng = np.random.default_rng(0)
    dialogues, seeds = rng.permutation(arms[0].shape[1]), rng.permutation(arms[0].shape[0])
    shuffled = [arm[seeds][:, dialogues] for arm in arms]
    for a, b in zip(compare(*arms, draws=3000), compare(*shuffled, draws=3000), strict=True):
        assert a.difference == pytest.approx(b.difference)
        assert a.standard_error == pytest.approx(b.standard_error, rel=0.1)


@pytest.mark.parametrize("shape", [(3, 50, 3, 4), (4, 49, 3, 4), (4, 50, 3, 5)])
def test_arms_of_different_shape_are_not_compared(arms, shape):
    with pytest.raises(ValueError, match="differ in shape"):
        compare(arms[0], np.zeros(shape), draws=100)


def test_under_the_null_p_is_seldom_small():
    rng = np.random.default_rng(0)
    p_values = []
    for _ in range(150):
        truth, dialogue = made_test_set(rng, n_dialogues=30)
        pair = [made_arm(rng, truth, dialogue, 0.5, n_seeds=3) for _ in range(2)]
        p_values.append([result.p_value for result in compare(*pair, draws=300)])
    p = np.array(p_values)
    assert ((p > 0) & (p <= 1)).all()
    assert (p < 0.05).mean(0).max() < 0.1
    assert (p < 0.01).mean(0).max() < 0.04
    assert p.mean() > 0.4


def test_the_smallest_detectable_difference_is_2_8_standard_errors():
    result = Difference("macro_f1", 0.01, (0.0, 0.02), 0.05, standard_error=0.01)
    assert result.smallest_detectable == pytest.approx(0.02802, abs=1e-5)


# Holm


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.02, 0.02]) == pytest.approx([0.04, 0.04])
    assert holm([0.3, 0.9]) == pytest.approx([0.6, 0.9])
    assert holm([0.6, 0.9, 0.7]) == [1, 1, 1]
    assert holm([0.04]) == [0.04]
    assert holm([]) == []


P_VALUES = st.lists(st.floats(1e-6, 1), min_size=1, max_size=12)


@given(P_VALUES)
def test_holm_keeps_order_raises_and_stays_within_bonferroni(raw):
    adjusted = holm(raw)
    for p, q in zip(raw, adjusted, strict=True):
        assert p <= q <= min(1, len(raw) * p) + 1e-12
    by_raw = [q for _, q in sorted(zip(raw, adjusted, strict=True))]
    assert by_raw == sorted(adjusted)
    assert min(adjusted) == pytest.approx(min(1, len(raw) * min(raw)))


@given(P_VALUES, st.randoms(use_true_random=False))
def test_holm_does_not_depend_on_the_order_of_the_tests(raw, random):
    order = list(range(len(raw)))
    random.shuffle(order)
    assert holm([raw[i] for i in order]) == pytest.approx([holm(raw)[i] for i in order])

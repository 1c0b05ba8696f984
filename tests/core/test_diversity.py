"""Measures of diversity: known values, and what must hold of any text."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from erc_kedro.core.diversity import (
    MEASURES,
    distinct,
    diversity,
    draw_equally,
    mean_cosine_distance,
    moving_type_token_ratio,
    vendi_score,
)

TOKENS = st.lists(st.sampled_from("abcde"), max_size=40)


def vectors(n_most: int = 12, width: int = 5) -> st.SearchStrategy[np.ndarray]:
    return st.tuples(st.integers(1, n_most), st.integers(0, 10**6)).map(
        lambda drawn: np.random.default_rng(drawn[1]).normal(size=(drawn[0], width))
    )


def test_distinct_ngrams_are_counted_within_utterances() -> None:
    assert distinct([["a", "b"], ["a", "b"]], 2) == 0.5
    assert distinct([["a", "b", "a"], ["b"]], 2) == 1.0  # no "a b" over the border
    assert distinct([["a"], []], 2) == 0


@given(TOKENS, st.integers(1, 12))
def test_the_moving_ratio_is_the_mean_over_all_windows(tokens: list[str], window: int) -> None:
    windows = [tokens[i : i + window] for i in range(max(1, len(tokens) - window + 1))]
    wanted = np.mean([len(set(own)) / max(len(own), 1) for own in windows])
    assert moving_type_token_ratio(tokens, window) == pytest.approx(wanted)


def test_the_moving_ratio_does_not_depend_on_length() -> None:
    text = list("abcdefgabcdefg")
    assert moving_type_token_ratio(text * 50, 7) == moving_type_token_ratio(text, 7) == 1
    assert len(set(text * 50)) / len(text * 50) < 0.05 < len(set(text)) / len(text)


@given(vectors())
def test_cosine_distance_is_the_mean_over_all_pairs(given: np.ndarray) -> None:
    unit = given / np.linalg.norm(given, axis=1, keepdims=True)
    pairs = [1 - a @ b for a, b in itertools.combinations(unit, 2)]
    assert mean_cosine_distance(given) == pytest.approx(np.mean(pairs) if pairs else 0)


@given(vectors(n_most=12, width=5))
def test_the_vendi_score_is_that_of_the_whole_similarity_matrix(given: np.ndarray) -> None:
    unit = given / np.linalg.norm(given, axis=1, keepdims=True)
    shares = np.linalg.eigvalsh(unit @ unit.T / len(unit))
    shares = shares[shares > 1e-12]
    assert vendi_score(given) == pytest.approx(np.exp(-(shares * np.log(shares)).sum()))
    assert 1 - 1e-9 <= vendi_score(given) <= len(given) + 1e-9


@pytest.mark.parametrize("copies", [1, 4])
def test_the_vendi_score_counts_what_is_different(copies: int) -> None:
    assert vendi_score(np.repeat(np.eye(6), copies, axis=0)) == pytest.approx(6)
    assert vendi_score(np.ones((7, 3))) == pytest.approx(1)
    assert vendi_score(np.empty((0, 3))) == 0


@given(
    st.dictionaries(
        st.sampled_from("xyz"), st.lists(st.text("ab ", max_size=5), min_size=1, max_size=9),
        min_size=1,
    ),
    st.integers(0, 5),
)  # fmt: skip
def test_draws_are_of_equal_size_and_follow_the_seed(sets: dict[str, list[str]], seed: int) -> None:
    drawn = draw_equally(sets, draws=3, seed=seed)
    smallest = min(map(len, sets.values()))
    for name, own in drawn.items():
        assert [len(texts) for texts in own] == [smallest] * 3
        for texts in own:
            left = list(sets[name])
            for text in texts:
                left.remove(text)  # fails if one is drawn more often than it stands there
    assert draw_equally(sets, draws=2, seed=seed + 1) == {n: own[1:] for n, own in drawn.items()}


def test_diversity_is_the_mean_over_draws_and_falls_with_repetition() -> None:
    def vectors_of(texts: object) -> np.ndarray:
        return np.array([[1.0, len(str(text))] for text in texts])  # type: ignore[attr-defined]

    varied = [["one two three", "four five"], ["six", "seven eight nine ten"]]
    same = [["oh no", "oh no"]] * 2
    high, low = diversity(varied, vectors_of), diversity(same, vectors_of)
    assert tuple(high) == tuple(low) == MEASURES
    assert low["vendi"] == pytest.approx(1)
    assert low["cosine_distance"] == pytest.approx(0)
    assert all(high[name] > low[name] for name in MEASURES)
    single = [diversity([texts], vectors_of) for texts in varied]
    for name in MEASURES:
        assert high[name] == pytest.approx(np.mean([own[name] for own in single]))

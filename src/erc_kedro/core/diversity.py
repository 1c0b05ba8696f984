"""How diverse texts are, in words and in meaning, compared at equal size.

Every measure depends on how much text it sees, so sets are compared on draws of the same number of
utterances. Distinct n-grams still fall with the length of utterances; the moving-average
type-token ratio does not.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from erc_kedro.core.dialogue import words

Floats = npt.NDArray[np.floating]

MEASURES = ("distinct_1", "distinct_2", "distinct_3", "mattr", "cosine_distance", "vendi")
"""In the order in which they are shown."""

WINDOW = 50
"""Words of the moving window, as Covington and McFall (2010) suggest for short texts."""


def distinct(utterances: Sequence[Sequence[str]], size: int) -> float:
    """Return distinct n-grams per n-gram, in (0, 1]; 0 without any (Li et al., 2016).

    >>> distinct([["oh", "no"], ["oh", "yes"]], 1)
    0.75
    """
    grams = Counter(
        tuple(own[i : i + size]) for own in utterances for i in range(len(own) - size + 1)
    )
    return len(grams) / max(grams.total(), 1)


def moving_type_token_ratio(tokens: Sequence[str], window: int = WINDOW) -> float:
    """Return the mean share of distinct words over all windows of a text, in (0, 1].

    It does not depend on the text's length (Covington and McFall, 2010). A text shorter than the
    window is one window; an empty one has 0.

    >>> moving_type_token_ratio(["a", "b", "a", "a"], window=2)
    0.8333333333333334
    """
    counts = Counter(tokens[:window])
    total, n_windows = len(counts), 1
    for left, entered in zip(tokens, tokens[window:], strict=False):
        counts[entered] += 1
        counts[left] -= 1
        if not counts[left]:
            del counts[left]
        total, n_windows = total + len(counts), n_windows + 1
    return total / n_windows / max(min(window, len(tokens)), 1)


def mean_cosine_distance(vectors: Floats) -> float:
    """Return the mean cosine distance over all pairs of vectors, in [0, 2]; 0 for fewer than two.

    Args:
        vectors: Shape (texts, width), none of them zero.
    """
    n = len(vectors)
    if n < 2:
        return 0.0
    total = _unit(vectors).sum(0)
    return float(1 - (total @ total - n) / (n * (n - 1)))


def vendi_score(vectors: Floats) -> float:
    """Return the effective number of different texts, from 1 to their number; 0 for none.

    The exponential of the entropy of the eigenvalues of the texts' similarities (cosine), divided
    by their number (Friedman and Dieng, 2023).

    Args:
        vectors: Shape (texts, width), none of them zero.
    """
    if not len(vectors):
        return 0.0
    unit = _unit(vectors)
    small = unit.T @ unit if len(unit) > unit.shape[1] else unit @ unit.T  # same eigenvalues
    shares = np.linalg.eigvalsh(small / len(unit))
    shares = shares[shares > 1e-12]
    return float(np.exp(-(shares * np.log(shares)).sum()))


def _unit(vectors: Floats) -> npt.NDArray[np.float64]:
    wide = np.asarray(vectors, dtype=np.float64)
    return wide / np.linalg.norm(wide, axis=1, keepdims=True)


def draw_equally(
    sets: Mapping[str, Sequence[str]], *, draws: int, seed: int
) -> dict[str, list[list[str]]]:
    """Draw as many utterances of every set as the smallest one has.

    Args:
        sets: Utterances by name of the set.
        draws: How many draws.
        seed: Of the first draw; the next have seed + 1, ...

    Returns:
        By name, a list of utterances for every draw: without replacement, in random order.
    """
    n = min(map(len, sets.values()))
    return {
        name: [
            [texts[i] for i in np.random.default_rng(seed + draw).permutation(len(texts))[:n]]
            for draw in range(draws)
        ]
        for name, texts in sets.items()
    }


def diversity(
    draws: Sequence[Sequence[str]], vectors_of: Callable[[Sequence[str]], Floats]
) -> dict[str, float]:
    """Return every one of `MEASURES`, mean over draws of utterances.

    Args:
        draws: Of one set.
        vectors_of: Gives utterances' meanings, shape (utterances, width).
    """
    rows = []
    for texts in draws:
        tokens = [words(text) for text in texts]
        row = [distinct(tokens, size) for size in (1, 2, 3)]
        row.append(moving_type_token_ratio([word for own in tokens for word in own]))
        vectors = vectors_of(texts)
        rows.append([*row, mean_cosine_distance(vectors), vendi_score(vectors)])
    return dict(zip(MEASURES, np.mean(rows, axis=0).tolist(), strict=True))

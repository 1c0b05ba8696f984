"""Whether two arms differ: crossed paired bootstrap, Holm's correction, smallest difference."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from erc_kedro.core.metrics import HEADLINE, Floats, headline_scores
from erc_kedro.core.progress import counting

DRAWS = 10_000
_CHUNK = 1000


@dataclass(frozen=True)
class Difference:
    """An arm's score minus its baseline's, on one metric, in fractions of 1.

    Attributes:
        metric: The metric's name.
        difference: Mean over seeds.
        interval: 95 % percentile interval.
        p_value: Two-sided, (k + 1) / (draws + 1).
        standard_error: Standard deviation over the draws.
    """

    metric: str
    difference: float
    interval: tuple[float, float]
    p_value: float
    standard_error: float

    @property
    def smallest_detectable(self) -> float:
        """The true difference that a two-sided test at 5 % finds with 80 % power."""
        return float((norm.ppf(0.975) + norm.ppf(0.8)) * self.standard_error)


def compare(
    arm: Floats,
    baseline: Floats,
    *,
    draws: int = DRAWS,
    seed: int = 0,
    metrics: Sequence[str] = HEADLINE,
    score: Callable[[Floats], Floats] = headline_scores,
) -> list[Difference]:
    """Compare two arms by a crossed paired bootstrap.

    Every draw resamples test dialogues once, for all seeds and both arms, and seeds once, for
    both arms (crossed random effects, as in Owen and Eckles, 2012, "Bootstrapping data arrays of
    arbitrary order"). p counts the draws whose distance from the observed difference is at least
    the observed difference (shift method; Efron and Tibshirani, 1993, ch. 16).

    Args:
        arm: Shape (seeds, dialogues, 3, labels): counts as `metrics.dialogue_counts` returns.
        baseline: Same shape, same seeds and dialogues.
        draws: Number of bootstrap draws.
        seed: Of the resampling.
        metrics: Names of what `score` returns.
        score: Counts of shape (..., 3, labels) to scores of shape (..., metrics).

    Returns:
        One difference per metric.

    Raises:
        ValueError: If the shapes differ.
    """
    if arm.shape != baseline.shape:
        raise ValueError(f"arm and baseline differ in shape: {arm.shape}, {baseline.shape}")
    n_seeds, n_dialogues = arm.shape[:2]
    observed = (score(arm.sum(1)) - score(baseline.sum(1))).mean(0)
    rng = np.random.default_rng(seed)
    flat = np.stack([arm, baseline]).transpose(2, 0, 1, 3, 4).reshape(n_dialogues, -1)
    drawn = np.empty((draws, len(metrics)))
    with counting("bootstrap", draws, "draws") as advance:
        for start in range(0, draws, _CHUNK):
            size = min(_CHUNK, draws - start)
            dialogues = rng.multinomial(
                n_dialogues, np.full(n_dialogues, 1 / n_dialogues), size=size
            )
            seeds = rng.multinomial(n_seeds, np.full(n_seeds, 1 / n_seeds), size=size) / n_seeds
            resampled = (dialogues.astype(float) @ flat).reshape(size, 2, n_seeds, 3, -1)
            difference = np.diff(score(resampled), axis=1)[:, 0] * -1
            drawn[start : start + size] = np.einsum("bs,bsm->bm", seeds, difference)
            advance(size)
    extreme = (np.abs(drawn - observed) >= np.abs(observed) - 1e-12).sum(0)
    low, high = np.percentile(drawn, [2.5, 97.5], axis=0)
    return [
        Difference(
            metric=metric,
            difference=float(observed[i]),
            interval=(float(low[i]), float(high[i])),
            p_value=float((extreme[i] + 1) / (draws + 1)),
            standard_error=float(drawn[:, i].std(ddof=1)),
        )
        for i, metric in enumerate(metrics)
    ]


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for a family of tests (Holm, 1979), in the given order."""
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(p_values), 0, -1)
    adjusted = np.empty(len(p_values))
    raised = np.maximum.accumulate(np.asarray(p_values)[order] * factors)
    adjusted[order] = np.minimum(raised, 1.0)
    return adjusted.tolist()

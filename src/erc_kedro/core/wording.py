"""Names and numbers as a reader writes them: on the screen, in MLflow and in the report."""

import math
from collections.abc import Mapping
from typing import Any

SIGNIFICANT = 0.05
"""A difference counts as shown below this p-value, adjusted for the whole result table."""


def plain(name: str) -> str:
    """Return an arm's or a metric's name as a reader writes it.

    >>> plain("weighted_f1"), plain("real_only")
    ('weighted F1', 'real only')
    """
    return name.replace("_f1", " F1").replace("_", " ")


def points(difference: float) -> str:
    """Return a difference, given as a fraction of 1, in signed points.

    >>> points(-0.0026), points(0.0004), points(0.0)
    ('−0.3', '+0.04', '0.0')
    """
    value = 100 * difference
    digits = 1 if abs(value) >= 0.05 else 2
    text = f"{value:+.{digits}f}".replace("-", "−")
    return text if text.strip("+−0.") else "0.0"


def interval(bounds: tuple[float, float] | list[float]) -> str:
    """Return an interval, given in fractions of 1, in signed points.

    >>> interval((-0.0104, 0.0053))
    '[−1.0, +0.5]'
    """
    return f"[{points(bounds[0])}, {points(bounds[1])}]"


def p_text(p_value: float | None) -> str:
    """Return a p-value with three digits, on its true side of .05; "not tested" without one.

    >>> p_text(0.012), p_text(0.00002), p_text(0.04999), p_text(1.0), p_text(None)
    ('.012', '< .001', '< .05', '1.000', 'not tested')
    """
    if p_value is None or math.isnan(p_value):
        return "not tested"
    if p_value < 0.0005:
        return "< .001"
    text = f"{p_value:.3f}"
    if p_value < SIGNIFICANT <= float(text):
        return "< .05"
    return text.removeprefix("0")


def over_seeds(n_seeds: int) -> str:
    """Return what scores over seeds are; one seed has no spread to tell.

    >>> over_seeds(1), over_seeds(5)
    ('one seed', 'mean ± standard deviation over 5 seeds')
    """
    return "one seed" if n_seeds == 1 else f"mean ± standard deviation over {n_seeds} seeds"


def with_spread(mean: float, std: float, n_seeds: int) -> str:
    """Return a score, given in points; one seed has no spread to tell.

    >>> with_spread(43.12, 0.68, 5), with_spread(43.12, 0.0, 1)
    ('43.1 ± 0.7', '43.1')
    """
    return f"{mean:.1f} ± {std:.1f}" if n_seeds > 1 else f"{mean:.1f}"


def percent(fraction: float) -> str:
    """Return a fraction in percent.

    >>> percent(0.25), percent(1.0)
    ('25 %', '100 %')
    """
    return f"{100 * fraction:.3g} %"


def part_of_train(about: Mapping[str, Any]) -> str:
    """Return which part of train's dialogues a corpus card says there is; "" if all.

    >>> part_of_train({"train_fraction": 0.1}), part_of_train({"train_fraction": 1.0})
    ('10 %', '')
    """
    fraction = about.get("train_fraction", 1.0)
    return percent(fraction) if fraction < 1 else ""

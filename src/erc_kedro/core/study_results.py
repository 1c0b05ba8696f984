"""From counts to a study's table: scores, differences with intervals, and Holm's correction."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from erc_kedro.core.metrics import HEADLINE, Floats, f1_per_label, headline_scores
from erc_kedro.core.significance import compare, holm
from erc_kedro.core.study import CellGroup

TABLE = (
    "part", "emotion", "real_fraction", "treatment", "seeds", "real", "added", "learnt", "metric",
    "mean", "std", "against", "difference", "ci_low", "ci_high", "p_value", "p_adjusted",
    "smallest_detectable",
)  # fmt: skip
"""Columns of the study's table. Scores and differences are in points (100 = perfect); p_value and
p_adjusted stand in the confirmatory part alone."""

CONFIRMATORY = "confirmatory"
EMOTIONS = "emotions"
"""Part of the table that shows the confirmatory treatment emotion by emotion, without a test."""


def choose_best(scores: Mapping[str, Mapping[str, float]]) -> dict[str, str]:
    """Return, for each headline metric, the treatment that scores highest; the first of equals.

    Args:
        scores: By treatment the mean of each headline metric, on real train.
    """
    return {
        metric: max(scores, key=lambda name: scores[name][metric])  # max keeps the first of equals
        for metric in HEADLINE
    }


def tabulate(
    groups: Sequence[CellGroup],
    counts: Mapping[str, Floats],
    learnt: Mapping[str, Mapping[str, float]],
    choice: Mapping[float, Mapping[str, str]],
    emotions: Sequence[str],
    *,
    draws: int,
    exploratory_draws: int,
) -> pd.DataFrame:
    """Return the study's table: one row per group of cells, metric and group it is compared with.

    The treatment under test is shown emotion by emotion as well, in a part of its own.

    Args:
        groups: Those that were trained for test.
        counts: By the group's key, shape (seeds, dialogues, 3, labels).
        learnt: By the group's key the mean number of utterances: "real", "added", and "learnt" (of
            the group's emotion, or all).
        choice: By real fraction and metric the baseline that was chosen on real train.
        emotions: Of the label set, in order.
        draws: Of the bootstrap of the confirmatory part.
        exploratory_draws: Of all others.

    Returns:
        Columns `TABLE`. `p_adjusted` is Holm's, over all comparisons of the confirmatory part.
    """
    by_name = {(g.part, g.fraction, g.emotion, g.name): g for g in groups}
    rows: list[dict[str, Any]] = []
    for group in groups:
        metrics = [*HEADLINE, f"f1_{group.emotion}"] if group.emotion else list(HEADLINE)

        def score(
            own: Floats, place: int = list(emotions).index(group.emotion) if group.emotion else -1
        ) -> Floats:
            headline = headline_scores(own)
            if place < 0:
                return headline
            return np.concatenate([headline, f1_per_label(own)[..., [place]]], axis=-1)

        per_seed = 100 * score(counts[group.key].sum(1))  # (seeds, metrics)
        about = {
            "part": group.part,
            "emotion": group.emotion,
            "real_fraction": group.fraction,
            "treatment": group.name,
            "seeds": len(group.seeds),
            **learnt[group.key],
        }
        scored = {
            metric: {"metric": metric, "mean": own.mean(), "std": _spread(own)}
            for metric, own in zip(metrics, per_seed.T, strict=True)
        }
        confirmatory = group.part == CONFIRMATORY
        found: dict[str, list[dict[str, Any]]] = {metric: [] for metric in metrics}
        for name, wanted in _against(group, metrics, choice).items():
            other = by_name[(group.part, group.fraction, group.emotion, name)]
            for difference in compare(
                counts[group.key],
                counts[other.key],
                draws=draws if confirmatory else exploratory_draws,
                metrics=metrics,
                score=score,
            ):
                if difference.metric not in wanted:
                    continue
                low, high = difference.interval
                found[difference.metric].append(
                    {
                        "against": name,
                        "difference": 100 * difference.difference,
                        "ci_low": 100 * low,
                        "ci_high": 100 * high,
                        "p_value": difference.p_value if confirmatory else np.nan,
                        "smallest_detectable": 100 * difference.smallest_detectable,
                    }
                )
        for metric in metrics:
            rows += [about | scored[metric] | own for own in found[metric] or [{}]]
    for group in groups:
        if group.part == CONFIRMATORY:
            for name in group.against:
                other = by_name[(group.part, group.fraction, group.emotion, name)]
                pair = {group.name: counts[group.key], name: counts[other.key]}
                about = {"real_fraction": group.fraction, "seeds": len(group.seeds)}
                about |= learnt[group.key]
                rows += [about | own for own in _by_emotion(pair, emotions, exploratory_draws)]
    table = pd.DataFrame(rows).reindex(columns=list(TABLE))
    table["against"] = table["against"].astype(object).where(table["against"].notna(), "")
    return adjusted(table)


def _by_emotion(
    pair: Mapping[str, Floats], emotions: Sequence[str], draws: int
) -> list[dict[str, Any]]:
    """Return the rows of part `EMOTIONS`: F1 of every emotion, and how it differs; no test.

    Args:
        pair: Counts of the treatment under test and of its baseline, by their names in this order.
        emotions: Of the label set, in order.
        draws: Of the bootstrap.
    """
    (name, own), (baseline, other) = pair.items()
    per_seed = 100 * f1_per_label(own.sum(1))  # (seeds, labels)
    found = compare(own, other, draws=draws, metrics=emotions, score=f1_per_label)
    return [
        {
            "part": EMOTIONS,
            "emotion": emotion,
            "treatment": name,
            "metric": f"f1_{emotion}",
            "mean": values.mean(),
            "std": _spread(values),
            "against": baseline,
            "difference": 100 * difference.difference,
            "ci_low": 100 * difference.interval[0],
            "ci_high": 100 * difference.interval[1],
            "p_value": np.nan,
            "smallest_detectable": 100 * difference.smallest_detectable,
        }
        for emotion, values, difference in zip(emotions, per_seed.T, found, strict=True)
    ]


def adjusted(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with Holm's correction over its whole confirmatory part: one family."""
    family = (table["part"] == CONFIRMATORY) & table["p_value"].notna()
    values = np.full(len(table), np.nan)
    if family.any():
        values[family.to_numpy()] = holm(table.loc[family, "p_value"].tolist())
    return table.assign(p_adjusted=values)


def _against(
    group: CellGroup, metrics: Sequence[str], choice: Mapping[float, Mapping[str, str]]
) -> dict[str, set[str]]:
    """Return by the name of a group to compare with the metrics to compare on."""
    wanted = {name: set(metrics) for name in group.against}
    if group.part == CONFIRMATORY and group.against:
        for metric, name in choice[group.fraction].items():
            wanted.setdefault(name, set()).add(metric)
    return wanted


def _spread(values: Floats) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def confirmatory_of(
    table: pd.DataFrame, declared: Mapping[str, Any], choice: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Return the confirmatory part of a study's table as plain values.

    Returns:
        declared; choice; family (how many comparisons); comparisons: real_fraction, metric,
        treatment, against, difference, ci95, p_value, p_adjusted, smallest_detectable; in fractions
        of 1.
    """
    rows = table[(table["part"] == CONFIRMATORY) & (table["against"] != "")]
    comparisons = [
        {
            **{name: row[name] for name in ("real_fraction", "metric", "treatment", "against")},
            "difference": row["difference"] / 100,
            "ci95": [row["ci_low"] / 100, row["ci_high"] / 100],
            "p_value": row["p_value"],
            "p_adjusted": row["p_adjusted"],
            "smallest_detectable": row["smallest_detectable"] / 100,
        }
        for row in rows.to_dict("records")
    ]
    return {
        "declared": dict(declared),
        "choice": list(choice),
        "family": len(comparisons),
        "comparisons": comparisons,
    }


def scores_of(
    groups: Sequence[CellGroup], counts: Mapping[str, Floats], emotions: Sequence[str]
) -> dict[str, Any]:
    """Return every group's scores, seed by seed.

    Returns:
        By the group's key: part, emotion, real_fraction, treatment (its name), what (it is),
        seeds, and per_seed: headline metrics and f1_<emotion>, one value per seed, fractions of 1.
    """
    found = {}
    for group in groups:
        own = counts[group.key].sum(1)  # (seeds, 3, labels)
        per_seed = dict(zip(HEADLINE, headline_scores(own).T.tolist(), strict=True))
        by_emotion = f1_per_label(own).T.tolist()
        per_seed |= {f"f1_{name}": f1 for name, f1 in zip(emotions, by_emotion, strict=True)}
        found[group.key] = {
            "part": group.part,
            "emotion": group.emotion,
            "real_fraction": group.fraction,
            "treatment": group.name,
            "what": group.treatment.plain(),
            "seeds": list(group.seeds),
            "per_seed": per_seed,
        }
    return found


def as_written(table: pd.DataFrame) -> pd.DataFrame:
    """Return the study's table as `tabulate` made it, after it was read from a CSV file."""
    texts = ["part", "emotion", "treatment", "metric", "against"]
    return table.assign(**{name: table[name].fillna("").astype(str) for name in texts})

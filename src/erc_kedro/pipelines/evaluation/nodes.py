"""Nodes of evaluation: the only ones that read test labels."""

import logging
from typing import Any

import numpy as np
import pandas as pd

from erc_kedro.core import significance
from erc_kedro.core.corpus import label_set_of
from erc_kedro.core.errors import UserError
from erc_kedro.core.experiment import AUGMENTED, ExperimentParameters
from erc_kedro.core.labels import LabelSet, labelled
from erc_kedro.core.metrics import HEADLINE, Floats, dialogue_counts, scores
from erc_kedro.core.mixing import by_seed

logger = logging.getLogger(__name__)

_COUNTS = ("hits", "predicted", "true")


def evaluate(
    predictions: pd.DataFrame,
    test_dialogues: pd.DataFrame,
    mixture: dict[str, Any],
    corpus_card: dict[str, Any],
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Score an arm on the labelled utterances of real test; those of `labels.OTHER` are context.

    Returns:
        The counts that every score is made of, one row per seed, dialogue and emotion (hits,
        predicted, true), with the real fraction; and the metrics: seeds, metrics {name: {mean,
        std, per_seed}} as fractions of 1, ensemble {name: value} of the seeds' mean
        probabilities on the headline metrics, and the confusion matrix, mean over seeds, true
        emotions in rows.
    """
    label_set, test_dialogues = label_set_of(corpus_card), labelled(test_dialogues)
    keys = ["dialogue_id", "turn"]
    truth = label_set.codes(test_dialogues["emotion"], where="test")
    rows = [
        test_dialogues[keys].merge(own, on=keys, how="left", validate="1:1")["predicted"]
        for _, own in by_seed(predictions)
    ]
    predicted = np.stack([label_set.codes(row, where="predictions") for row in rows])
    dialogue, ids = pd.factorize(test_dialogues["dialogue_id"])
    counts = dialogue_counts(truth, predicted, dialogue, len(label_set))
    seeds = [int(seed) for seed in sorted(predictions["seed"].unique())]
    confusion = np.zeros((len(label_set), len(label_set)))
    np.add.at(confusion, (np.broadcast_to(truth, predicted.shape), predicted), 1 / len(seeds))
    metrics = {
        "seeds": seeds,
        "metrics": _metrics(counts, label_set),
        "ensemble": _ensemble(predictions, test_dialogues, label_set),
        "confusion": {"emotions": list(label_set.emotions), "utterances": confusion.tolist()},
    }
    table = _to_table(counts, seeds, list(ids), label_set)
    return table.assign(real_fraction=mixture["real_fraction"]), metrics


def compare(
    corpus_card: dict[str, Any], experiment: ExperimentParameters, **dialogue_scores: pd.DataFrame
) -> dict[str, Any]:
    """Compare every arm with the first one, the baseline, on weighted and macro F1.

    The p-values are adjusted (Holm) over the family of all comparisons returned.

    Args:
        corpus_card: Of the corpus.
        experiment: Real fraction, seeds and bootstrap draws.
        **dialogue_scores: For each arm, the baseline first, its counts as `evaluate` returns.

    Returns:
        corpus, corpus_source, digest, real_fraction, seeds, arms {arm: {metric: {mean, std,
        per_seed}}}, comparisons (arm, baseline, metric, difference, ci95, p_value, p_adjusted,
        smallest_detectable), and smallest_detectable of the augmented arm by metric: the true
        difference that this test set and these seeds would show with 80 % power.

    Raises:
        UserError: If an arm was made with other seeds or another real fraction.
    """
    label_set = label_set_of(corpus_card)
    for arm, table in dialogue_scores.items():
        _check_same_experiment(arm, table, experiment, corpus_card["corpus"])
    counts = {arm: _from_table(table, label_set) for arm, table in dialogue_scores.items()}
    baseline, *others = counts
    comparisons: list[dict[str, Any]] = [
        {
            "arm": arm,
            "baseline": baseline,
            "metric": found.metric,
            "difference": found.difference,
            "ci95": list(found.interval),
            "p_value": found.p_value,
            "smallest_detectable": found.smallest_detectable,
        }
        for arm in others
        for found in significance.compare(
            counts[arm], counts[baseline], draws=experiment.bootstrap_draws
        )
    ]
    logger.info(
        "compared anew: %d arms, %d seeds, %s bootstrap draws",
        len(counts),
        experiment.n_seeds,
        f"{experiment.bootstrap_draws:,}",
    )
    adjusted = significance.holm([entry["p_value"] for entry in comparisons])
    for entry, p_adjusted in zip(comparisons, adjusted, strict=True):
        entry["p_adjusted"] = p_adjusted
    return {
        "corpus": corpus_card["corpus"],
        "corpus_source": corpus_card["corpus_source"],
        "digest": corpus_card["digest"],
        "real_fraction": experiment.real_fraction,
        "seeds": experiment.seeds,
        "arms": {arm: _metrics(own, label_set) for arm, own in counts.items()},
        "comparisons": comparisons,
        "smallest_detectable": {
            entry["metric"]: entry["smallest_detectable"]
            for entry in comparisons
            if entry["arm"] == AUGMENTED
        },
    }


def tabulate(comparison: dict[str, Any], **mixtures: dict[str, Any]) -> pd.DataFrame:
    """Return the result table, one row per arm: F1 in points, differences with p-values.

    Columns: corpus, corpus_source, real_fraction, seeds, arm, utterances, synthetic_utterances;
    for each headline metric mean, std, difference, ci_low, ci_high, p_adjusted; then F1 of every
    emotion. Scores and differences are in points (100 = perfect).
    """
    compared = {(entry["arm"], entry["metric"]): entry for entry in comparison["comparisons"]}
    rows = []
    for arm, metrics in comparison["arms"].items():
        row: dict[str, Any] = {
            "corpus": comparison["corpus"],
            "corpus_source": comparison["corpus_source"],
            "real_fraction": comparison["real_fraction"],
            "seeds": len(comparison["seeds"]),
            "arm": arm,
            "utterances": round(mixtures[arm]["utterances"]),
            "synthetic_utterances": round(mixtures[arm]["synthetic_utterances"]),
        }
        for metric in HEADLINE:
            found = compared.get((arm, metric), {})
            low, high = found.get("ci95", (np.nan, np.nan))
            row |= {
                metric: 100 * metrics[metric]["mean"],
                f"{metric}_std": 100 * metrics[metric]["std"],
                f"{metric}_difference": 100 * found.get("difference", np.nan),
                f"{metric}_ci_low": 100 * low,
                f"{metric}_ci_high": 100 * high,
                f"{metric}_p_adjusted": found.get("p_adjusted", np.nan),
            }
        row |= {name: 100 * v["mean"] for name, v in metrics.items() if name.startswith("f1_")}
        rows.append(row)
    return pd.DataFrame(rows)


def _check_same_experiment(
    arm: str, table: pd.DataFrame, experiment: ExperimentParameters, corpus: str
) -> None:
    seeds = sorted(int(seed) for seed in table["seed"].unique())
    fractions = sorted(float(fraction) for fraction in table["real_fraction"].unique())
    if seeds != experiment.seeds or fractions != [experiment.real_fraction]:
        raise UserError(
            "An arm's scores are of another experiment.",
            where=f"{corpus}.{arm}",
            expected=f"seeds {experiment.seeds}, real fraction {experiment.real_fraction:g}",
            found=f"seeds {seeds}, real fraction {', '.join(f'{f:g}' for f in fractions)}",
            remedy=f"run all arms with the same parameters: kedro run --pipeline=augment_{corpus}",
        )


def _metrics(counts: Floats, label_set: LabelSet) -> dict[str, dict[str, Any]]:
    """Return mean, sample standard deviation and values per seed of every metric."""
    per_seed = [scores(own, label_set.emotions) for own in counts.sum(1)]
    metrics = {}
    for name in per_seed[0]:
        values = [float(row[name]) for row in per_seed]
        spread = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
        metrics[name] = {"mean": float(np.mean(values)), "std": spread, "per_seed": values}
    return metrics


def _ensemble(
    predictions: pd.DataFrame, test_dialogues: pd.DataFrame, label_set: LabelSet
) -> dict[str, float]:
    """Return the headline metrics of the seeds' mean probabilities."""
    columns = [f"p_{name}" for name in label_set.emotions]
    mean = predictions.groupby(["dialogue_id", "turn"], sort=False)[columns].mean()
    order = pd.MultiIndex.from_frame(test_dialogues[["dialogue_id", "turn"]])
    predicted = mean.loc[order].to_numpy().argmax(1)
    truth = label_set.codes(test_dialogues["emotion"], where="test")
    counts = dialogue_counts(truth, predicted[None], np.zeros(len(truth), int), len(label_set))
    values = scores(counts[0, 0], label_set.emotions)
    return {name: float(values[name]) for name in HEADLINE}


def _to_table(
    counts: Floats, seeds: list[int], ids: list[str], label_set: LabelSet
) -> pd.DataFrame:
    index = pd.MultiIndex.from_product(
        [seeds, ids, label_set.emotions], names=["seed", "dialogue_id", "emotion"]
    )
    flat = counts.transpose(0, 1, 3, 2).reshape(-1, len(_COUNTS)).astype("int64")
    return pd.DataFrame(flat, index=index, columns=list(_COUNTS)).reset_index()


def _from_table(table: pd.DataFrame, label_set: LabelSet) -> Floats:
    """Return counts of shape (seeds, dialogues, 3, labels) from the rows of `_to_table`."""
    flat = table[list(_COUNTS)].to_numpy(dtype=float)
    shape = (table["seed"].nunique(), -1, len(label_set), len(_COUNTS))
    return flat.reshape(shape).transpose(0, 1, 3, 2)

"""Nodes of mixing."""

import logging
from typing import Any

import pandas as pd

from erc_kedro.core import mixing
from erc_kedro.core.corpus import label_set_of
from erc_kedro.core.experiment import ExperimentParameters
from erc_kedro.core.labels import labelled
from erc_kedro.core.mixing import Recipe

logger = logging.getLogger(__name__)


def draw_real_train(
    train_dialogues: pd.DataFrame, experiment: ExperimentParameters
) -> pd.DataFrame:
    """Draw the real dialogues of every seed; all arms share them.

    Returns:
        One dialogue table for all seeds, told apart by the column `seed`, with the real fraction
        in a column, so that what is made of it can be told from other experiments' outputs.
    """
    return pd.concat(
        [
            mixing.draw_real(train_dialogues, experiment.real_fraction, seed)
            for seed in experiment.seeds
        ],
        ignore_index=True,
    ).assign(real_fraction=experiment.real_fraction)


def mix(
    real_train: pd.DataFrame,
    synthetic_dialogues: pd.DataFrame,
    validation_gate: dict[str, Any],
    verdicts: pd.DataFrame,
    corpus_card: dict[str, Any],
    recipe: Recipe,
    augmented: Recipe,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Mix an arm's training sets by its recipe, one per seed.

    Args:
        real_train: The real dialogues of every seed.
        synthetic_dialogues: The accepted synthetic dialogues.
        validation_gate: What the gate let through.
        verdicts: On the synthetic utterances, by strategy and seed; empty if no recipe asks for
            them.
        corpus_card: Of the corpus.
        recipe: The arm's recipe.
        augmented: The augmented arm's recipe, whose size the oversampled arm matches.

    Returns:
        One dialogue table for all seeds with columns `seed` and `weight`, and its summary: the
        real fraction, and means over seeds of dialogues and of labelled utterances, by source and
        by emotion.
    """
    label_set = label_set_of(corpus_card)
    if recipe.selection != "random" and recipe.ratio is None and not recipe.draws:
        logger.warning(
            "selection: %s changes nothing: every dialogue is taken (ratio null, amount 1)",
            recipe.selection,
        )
    asking = augmented if recipe.extra == "repeated" else recipe
    verdicts = verdicts[verdicts["strategy"] == asking.strategy]
    drawn = real_train.drop(columns="real_fraction")
    training_sets = pd.concat(
        [
            mixing.mix(
                real,
                synthetic_dialogues,
                recipe,
                augmented,
                label_set,
                seed,
                verdicts[verdicts["seed"] == seed],
            )
            for seed, real in mixing.by_seed(drawn)
        ],
        ignore_index=True,
    )
    n_seeds = training_sets["seed"].nunique()
    counted = labelled(training_sets)
    by_source = counted["source"].value_counts() / n_seeds
    by_emotion = counted["emotion"].value_counts() / n_seeds
    summary = {
        "real_fraction": float(real_train["real_fraction"].iloc[0]),
        "dialogues": training_sets.groupby("seed")["dialogue_id"].nunique().mean(),
        "utterances": len(counted) / n_seeds,
        "real_utterances": float(by_source.get("real", 0.0)),
        "repeated_utterances": float(by_source.get("repeated", 0.0)),
        "synthetic_utterances": float(by_source.get("synthetic", 0.0)),
        "emotions": {name: float(by_emotion.get(name, 0.0)) for name in label_set.emotions},
    }
    parts = ", ".join(f"{n:,.0f} {source}" for source, n in by_source.sort_index().items())
    logger.info("mixed anew: %s", parts)
    return training_sets, summary

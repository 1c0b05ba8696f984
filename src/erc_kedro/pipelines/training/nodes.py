"""Nodes of training."""

from typing import Any

import numpy as np
import pandas as pd

from erc_kedro.core.corpus import label_set_of
from erc_kedro.pipelines.training.parameters import TrainingParameters

States = dict[int, dict[str, Any]]
"""The state of each seed's classifier: tensors by name."""


def train(
    training_sets: pd.DataFrame,
    real_train: pd.DataFrame,
    features: dict[str, Any],
    corpus_card: dict[str, Any],
    training: TrainingParameters,
) -> tuple[States, pd.DataFrame]:
    """Train one classifier per seed, each for the same number of optimiser steps.

    Returns:
        The state of each seed's classifier, and the loss by seed and step.
    """
    from erc_kedro.modelling.classifier import fit_seeds
    from erc_kedro.modelling.open import open_classifier

    classifier = open_classifier(training, features, label_set_of(corpus_card))
    fitted = fit_seeds(classifier, training_sets, real_train)
    histories = [
        pd.DataFrame(history, columns=["step", "loss"]).assign(seed=seed)
        for seed, (_, history) in fitted.items()
    ]
    states = {seed: state for seed, (state, _) in fitted.items()}
    return states, pd.concat(histories, ignore_index=True)


def predict(
    classifiers: States,
    features: dict[str, Any],
    held_out_texts: pd.DataFrame,
    corpus_card: dict[str, Any],
    training: TrainingParameters,
) -> pd.DataFrame:
    """Predict the emotion of every test utterance with every seed's classifier.

    Returns:
        One row per seed and utterance: seed, dialogue_id, turn, predicted, and the probability
        of every emotion, p_<emotion>.
    """
    from erc_kedro.modelling.open import open_classifier

    label_set = label_set_of(corpus_card)
    classifier = open_classifier(training, features, label_set)
    test = held_out_texts[held_out_texts["split"] == "test"].reset_index(drop=True)
    tables = []
    for seed, state in classifiers.items():
        probabilities = classifier.probabilities(state, test)
        columns = {f"p_{name}": probabilities[:, i] for i, name in enumerate(label_set.emotions)}
        predicted = np.array(label_set.emotions)[probabilities.argmax(1)]
        own = test[["dialogue_id", "turn"]].assign(seed=seed, predicted=predicted)
        tables.append(pd.concat([own, pd.DataFrame(columns)], axis=1))
    return pd.concat(tables, ignore_index=True)

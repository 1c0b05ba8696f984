"""Nodes of training."""

from typing import Any

import numpy as np
import pandas as pd

from erc_kedro.core.corpus import label_set_of
from erc_kedro.core.mixing import Recipe
from erc_kedro.modelling.classifier_store import ClassifierStore, open_classifiers
from erc_kedro.modelling.features import features_for
from erc_kedro.pipelines.training.parameters import TrainingParameters


def train(
    training_sets: pd.DataFrame,
    real_train: pd.DataFrame,
    features: dict[str, Any],
    corpus_card: dict[str, Any],
    training: TrainingParameters,
    recipe: Recipe,
    classifier_store: ClassifierStore,
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Train one classifier per seed, each for the same number of optimiser steps.

    Those in the store that nothing has changed for are kept.

    Returns:
        Where the classifiers lie: the folder, each seed's file and fingerprint, and the features
        that they read; and the loss by seed and step.
    """
    from erc_kedro.modelling.open import open_classifier, what_training_depends_on

    read = features_for(features, adapted=recipe.asks_adaptation)
    chosen = training, read, label_set_of(corpus_card)
    manifest, history = classifier_store.update(
        open_classifier(*chosen), training_sets, real_train, what_training_depends_on(*chosen)
    )
    return manifest | {"features": read}, history


def predict(
    classifiers: dict[str, Any],
    features: dict[str, Any],
    held_out_texts: pd.DataFrame,
    corpus_card: dict[str, Any],
    training: TrainingParameters,
    recipe: Recipe,
) -> pd.DataFrame:
    """Predict the emotion of every test utterance with every seed's classifier.

    Returns:
        One row per seed and utterance: seed, dialogue_id, turn, predicted, and the probability
        of every emotion, p_<emotion>.
    """
    from erc_kedro.modelling.open import open_classifier, what_training_depends_on

    label_set = label_set_of(corpus_card)
    chosen = training, features_for(features, adapted=recipe.asks_adaptation), label_set
    classifier = open_classifier(*chosen)
    states = open_classifiers(classifiers, what_training_depends_on(*chosen))
    test = held_out_texts[held_out_texts["split"] == "test"].reset_index(drop=True)
    tables = []
    for seed, state in states.items():
        probabilities = classifier.probabilities(state, test)
        columns = {f"p_{name}": probabilities[:, i] for i, name in enumerate(label_set.emotions)}
        predicted = np.array(label_set.emotions)[probabilities.argmax(1)]
        own = test[["dialogue_id", "turn"]].assign(seed=seed, predicted=predicted)
        tables.append(pd.concat([own, pd.DataFrame(columns)], axis=1))
    return pd.concat(tables, ignore_index=True)

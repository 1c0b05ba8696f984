"""Nodes of verification. They read real train and the synthetic dialogues: nothing held out."""

import logging
from typing import Any

import pandas as pd

from erc_kedro.core.corpus import label_set_of
from erc_kedro.core.mixing import Recipe, by_seed
from erc_kedro.core.weighing import no_verdicts, verdict_table
from erc_kedro.modelling.classifier_store import ClassifierStore, open_classifiers
from erc_kedro.modelling.settings import ClassifierSettings

logger = logging.getLogger(__name__)


def verify(
    synthetic_dialogues: pd.DataFrame,
    validation_gate: dict[str, Any],
    real_train: pd.DataFrame,
    features: dict[str, Any],
    corpus_card: dict[str, Any],
    training: ClassifierSettings,
    verifier_store: ClassifierStore,
    diversity_store: ClassifierStore,
    **recipes: Recipe,
) -> pd.DataFrame:
    """Give a verifier's word on every synthetic utterance that a recipe asks about.

    For each seed a verifier is trained on the real dialogues of that seed alone; models that say
    what to expect of the synthetic dialogues are trained only if a recipe weighs by importance.

    Args:
        synthetic_dialogues: The accepted ones.
        validation_gate: What the gate let through.
        real_train: The real dialogues of every seed.
        features: Of the texts of both.
        corpus_card: Of the corpus.
        training: The classifier's settings, the verifier's too.
        verifier_store: Keeps the verifiers.
        diversity_store: Keeps the models of the synthetic dialogues.
        **recipes: Of every arm.

    Returns:
        Columns seed, dialogue_id, turn and those of `weighing.VERDICTS`; no row if none asks.
    """
    asking = [recipe for recipe in recipes.values() if recipe.asks_verifier]
    if not asking:
        return no_verdicts()
    from erc_kedro.modelling import verification as own
    from erc_kedro.modelling.open import open_classifier, what_training_depends_on

    synthetic = _of_strategies(synthetic_dialogues, asking)
    real, label_set = real_train.drop(columns="real_fraction"), label_set_of(corpus_card)
    smoothing = training.objective.prior_smoothing
    chosen = training, features, label_set
    classifier = open_classifier(*chosen)
    manifest, _ = verifier_store.update(
        classifier, own.as_training_set(real), real, what_training_depends_on(*chosen)
    )
    states, reals = open_classifiers(manifest), dict(by_seed(real))
    heard = own.heard_by_all(classifier, states, reals, synthetic, label_set, smoothing)
    expected = None
    if any(recipe.asks_expectation for recipe in asking):
        chosen = own.checker_settings(training), features, label_set
        checker, sets = open_classifier(*chosen), own.checker_sets(synthetic)
        manifest, _ = diversity_store.update(checker, sets, sets, what_training_depends_on(*chosen))
        expected = own.expected_by_all(
            checker, open_classifiers(manifest), synthetic, label_set, smoothing
        )
    tables = [
        verdict_table(synthetic, quality, expected, label_set).assign(seed=seed)
        for seed, quality in heard.items()
    ]
    found = pd.concat(tables, ignore_index=True)[list(no_verdicts())]
    logger.info(
        "%s synthetic utterances judged anew: mean confidence in the planned label %.2f",
        f"{len(synthetic):,}",
        found["confidence"].mean(),
    )
    return found


def measure_style(
    train_dialogues: pd.DataFrame,
    synthetic_dialogues: pd.DataFrame,
    features: dict[str, Any],
    **recipes: Recipe,
) -> dict[str, Any]:
    """Measure how well real utterances are told from synthetic ones, and by what.

    Args:
        train_dialogues: Real train; its labels are not used.
        synthetic_dialogues: The accepted ones.
        features: Of the texts of both.
        **recipes: Of every arm; the dialogues of a strategy that none uses are left out.

    Returns:
        As `modelling.style_shift.measure_style_shift`; without features no word on the embedding.
    """
    from erc_kedro.modelling.features import open_features
    from erc_kedro.modelling.style_shift import measure_style_shift

    using = [recipe for recipe in recipes.values() if recipe.extra == "synthetic"]
    synthetic = _of_strategies(synthetic_dialogues, using)
    encoded = features["path"] is not None
    opened = open_features(features["path"], features["width"]) if encoded else None
    return measure_style_shift(train_dialogues, synthetic, opened)


def _of_strategies(synthetic: pd.DataFrame, recipes: list[Recipe]) -> pd.DataFrame:
    strategies = {recipe.strategy for recipe in recipes}
    wanted = synthetic["strategy"].isin(strategies) | ("all" in strategies)
    return synthetic[wanted].reset_index(drop=True)

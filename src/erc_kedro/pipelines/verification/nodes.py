"""Nodes of verification. They read real train and the synthetic dialogues: nothing held out."""

import logging
from functools import partial
from typing import Any

import pandas as pd

from erc_kedro.core.corpus import label_set_of
from erc_kedro.core.labels import LabelSet
from erc_kedro.core.mixing import Recipe, by_seed
from erc_kedro.core.weighing import KEYS, NEEDS, no_verdicts, verdict_table
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
    error_store: ClassifierStore,
    **recipes: Recipe,
) -> pd.DataFrame:
    """Give the word on every synthetic utterance that a recipe asks about, and how it is needed.

    What a recipe is told depends on the dialogues of its own strategy alone, whatever other arms
    ask. For each seed a verifier is trained on the real dialogues of that seed alone; models that
    say what to expect of the synthetic dialogues are trained only if a recipe weighs by importance,
    and those that tell what real dialogues leave wrong only if one selects by errors.

    Args:
        synthetic_dialogues: The accepted ones.
        validation_gate: What the gate let through.
        real_train: The real dialogues of every seed.
        features: Of the texts of both.
        corpus_card: Of the corpus.
        training: The classifier's settings, the verifier's too, but for an own encoder.
        verifier_store: Keeps the verifiers.
        diversity_store: Keeps the models of the synthetic dialogues.
        error_store: Keeps the models of all folds but one of each seed's real dialogues.
        **recipes: Of every arm.

    Returns:
        Columns strategy (of the recipes that ask), seed, dialogue_id, turn and those of
        `weighing.VERDICTS` and `weighing.NEEDS`; no row if none asks.
    """
    real, label_set = real_train.drop(columns="real_fraction"), label_set_of(corpus_card)
    parts = [no_verdicts()]
    for strategy in sorted({recipe.strategy for recipe in recipes.values() if recipe.asks}):
        asking = [own for own in recipes.values() if own.asks and own.strategy == strategy]
        synthetic = _of_strategies(synthetic_dialogues, asking)
        about = real, synthetic, features, label_set, training.without_own_encoder()
        asked = [synthetic[list(KEYS)].assign(seed=seed) for seed, _ in by_seed(real)]
        found = pd.concat(asked, ignore_index=True).assign(strategy=strategy)
        merge = partial(pd.DataFrame.merge, on=["seed", *KEYS], how="left")
        for name in NEEDS:
            if any(name in recipe.needs for recipe in asking):
                found = merge(found, _needs(name, *about, error_store))
        if any(recipe.asks_verifier for recipe in asking):
            expects = any(recipe.asks_expectation for recipe in asking)
            checkers = diversity_store.room(strategy) if expects else None
            found = merge(found, _verdicts(*about, verifier_store, checkers))
        parts.append(found.reindex(columns=list(no_verdicts())))
    return pd.concat([own for own in parts if len(own)] or parts, ignore_index=True)


def _verdicts(
    real: pd.DataFrame,
    synthetic: pd.DataFrame,
    features: dict[str, Any],
    label_set: LabelSet,
    training: ClassifierSettings,
    verifier_store: ClassifierStore,
    diversity_store: ClassifierStore | None,
) -> pd.DataFrame:
    from erc_kedro.modelling import verification as own
    from erc_kedro.modelling.open import open_classifier, what_training_depends_on

    smoothing = training.objective.prior_smoothing
    chosen = training, features, label_set
    classifier = open_classifier(*chosen)
    manifest, _ = verifier_store.update(
        classifier, own.as_training_set(real), real, what_training_depends_on(*chosen)
    )
    states, reals = open_classifiers(manifest), dict(by_seed(real))
    heard = own.heard_by_all(classifier, states, reals, synthetic, label_set, smoothing)
    expected = None
    if diversity_store is not None:
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
    found = pd.concat(tables, ignore_index=True)
    logger.info(
        "%s synthetic utterances judged anew: mean confidence in the planned label %.2f",
        f"{len(synthetic):,}",
        found["confidence"].mean(),
    )
    return found


def _needs(
    name: str,
    real: pd.DataFrame,
    synthetic: pd.DataFrame,
    features: dict[str, Any],
    label_set: LabelSet,
    training: ClassifierSettings,
    error_store: ClassifierStore,
) -> pd.DataFrame:
    """Return one of `weighing.NEEDS` for every seed: columns seed, dialogue_id, turn and itself."""
    from erc_kedro.modelling.cross_fitting import cross_fitted_errors, error_sets
    from erc_kedro.modelling.need import needs_by_seed, open_for_need
    from erc_kedro.modelling.open import open_classifier, what_training_depends_on

    reals, opened, wrong = dict(by_seed(real)), open_for_need(features), dict[int, Any]()
    if name == "errors":
        chosen = training, features, label_set
        classifier = open_classifier(*chosen)
        parts = [error_sets(own, seed) for seed, own in reals.items()]
        sets = pd.concat(parts, ignore_index=True)
        depends_on = what_training_depends_on(*chosen)
        manifest, _ = error_store.update(classifier, sets, sets, depends_on)
        states = open_classifiers(manifest)
        wrong = {
            seed: cross_fitted_errors(classifier, states, own, label_set, seed)
            for seed, own in reals.items()
        }
    scored = needs_by_seed(name, reals, synthetic, opened, wrong)
    logger.info("%s synthetic utterances scored anew by %s", f"{len(synthetic):,}", name)
    keys = synthetic[list(KEYS)]
    tables = [keys.assign(seed=seed).assign(**{name: own}) for seed, own in scored.items()]
    return pd.concat(tables, ignore_index=True)


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

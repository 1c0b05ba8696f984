"""A verifier's word on synthetic utterances, and what a model of the synthetic dialogues expects.

After IMP-loss (Guo et al., ICLR 2025): a quality checker trained on real data, and a diversity
checker trained on the synthetic data. Both read an utterance in its dialogue. The checker is
cross-fitted by dialogue, or it would know by heart what it judges.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from erc_kedro.core.errors import UserError
from erc_kedro.core.labels import LabelSet
from erc_kedro.core.mixing import Recipe, by_seed
from erc_kedro.core.weighing import KEYS, verdict_table, without_prior
from erc_kedro.modelling.classifier import Classifier, State, Training, fit_seeds, in_groups
from erc_kedro.modelling.cross_fitting import cross_fitted_errors, error_sets, folds_of
from erc_kedro.modelling.need import open_for_need, scores
from erc_kedro.modelling.settings import ClassifierSettings
from erc_kedro.modelling.threads import side_by_side

Floats = npt.NDArray[np.float64]

_MOST_KEPT = 64
"""What was heard is kept for so many parts of real train, seeds and settings."""


def as_training_set(dialogues: pd.DataFrame) -> pd.DataFrame:
    """Return dialogues as a training set: every utterance weighs the same."""
    return dialogues.assign(weight=1.0)


def checker_settings(settings: ClassifierSettings) -> ClassifierSettings:
    """Return the settings of the diversity checker: nobody voted on synthetic utterances."""
    objective = settings.objective.model_copy(update={"soft_labels": False})
    return settings.model_copy(update={"objective": objective})


def checker_sets(synthetic: pd.DataFrame) -> pd.DataFrame:
    """Return the training sets of the diversity checkers, one for each fold, told apart by `seed`.

    Raises:
        UserError: If there is just one dialogue.
    """
    folds = folds_of(synthetic)
    if folds.max(initial=0) < 1:
        raise UserError(
            "Too few synthetic dialogues for weights by importance.",
            expected="at least 2: what judges a dialogue is trained on others",
            found=str(synthetic["dialogue_id"].nunique()),
            remedy="generate more, or choose another weighting",
        )
    parts = [synthetic[folds != fold].assign(seed=fold) for fold in range(int(folds.max()) + 1)]
    return as_training_set(pd.concat(parts, ignore_index=True))


def heard_by_all(
    classifier: Classifier,
    states: Mapping[int, State],
    trained_on: Mapping[int, pd.DataFrame],
    synthetic: pd.DataFrame,
    label_set: LabelSet,
    smoothing: float,
) -> dict[int, Floats]:
    """Return `heard_by` of every seed's classifier, side by side."""
    with side_by_side(classifier.workers) as pool:
        under_way = {
            seed: pool.submit(
                heard_by, classifier, state, trained_on[seed], synthetic, label_set, smoothing
            )
            for seed, state in states.items()
        }
        return {seed: own.result() for seed, own in under_way.items()}


def heard_by(
    classifier: Classifier,
    state: State,
    trained_on: pd.DataFrame,
    dialogues: pd.DataFrame,
    label_set: LabelSet,
    smoothing: float,
) -> Floats:
    """Return the probability of every label as if all were equally common.

    Args:
        classifier: Of the state.
        state: Of a trained classifier.
        trained_on: Its training set, whose label shares are taken out.
        dialogues: To judge.
        label_set: The corpus's.
        smoothing: Utterances added to every label's count.

    Returns:
        Shape (rows, labels).
    """
    counts = label_set.counts(trained_on["emotion"]) + smoothing
    return without_prior(classifier.probabilities(state, dialogues), counts / counts.sum())


def expected_by_all(
    classifier: Classifier,
    states: Mapping[int, State],
    synthetic: pd.DataFrame,
    label_set: LabelSet,
    smoothing: float,
) -> Floats:
    """Return what the diversity checkers hear, each in the dialogues that it was not trained on.

    Args:
        classifier: Of the states.
        states: By fold, trained on `checker_sets` of the same dialogues.
        synthetic: The dialogues.
        label_set: The corpus's.
        smoothing: Utterances added to every label's count.

    Returns:
        Shape (rows, labels).
    """
    folds = folds_of(synthetic)
    sets = {fold: synthetic[folds != fold] for fold in states}
    heard = heard_by_all(classifier, states, sets, synthetic, label_set, smoothing)
    return np.stack([heard[fold] for fold in sorted(heard)])[folds, np.arange(len(folds))]


@dataclass(frozen=True)
class Judge:
    """Gives verdicts for one recipe after another; what does not depend on the recipe is kept.

    Attributes:
        synthetic: The accepted synthetic dialogues.
        label_set: The corpus's.
        open: Gives the classifier of settings.
        features: Path and width of the features, as encoding returns them.
    """

    synthetic: pd.DataFrame
    label_set: LabelSet
    open: Callable[[ClassifierSettings], Classifier]
    features: Mapping[str, Any]
    _kept: dict[Any, tuple[Any, Floats]] = field(default_factory=dict, repr=False, compare=False)

    def verdicts(
        self,
        recipe: Recipe,
        settings: ClassifierSettings,
        real: pd.DataFrame,
        seed: int,
        expected: Floats | None,
    ) -> pd.DataFrame:
        """Return what a recipe asks of its synthetic dialogues: all by these real ones alone.

        Args:
            recipe: Its strategy's dialogues are judged.
            settings: Of the verifier.
            real: The dialogues; what is kept is found by this very object.
            seed: Of its training.
            expected: As `expected` returned it.

        Returns:
            Columns dialogue_id, turn, those of `weighing.VERDICTS` if it asks a verifier, and those
            of `weighing.NEEDS` that it needs.
        """
        synthetic, settings = self._asked_about(recipe), settings.without_own_encoder()
        found = synthetic[list(KEYS)]
        if recipe.asks_verifier:
            self.hear(recipe, settings, [(real, seed)])
            quality = self._kept[settings, recipe.strategy, id(real), seed][1]
            found = verdict_table(synthetic, quality, expected, self.label_set)
        needs = {
            name: self._need(name, recipe, settings, real, seed, synthetic)
            for name in sorted(recipe.needs)
        }
        return found.assign(**needs)

    def hear(
        self,
        recipe: Recipe,
        settings: ClassifierSettings,
        work: Sequence[tuple[pd.DataFrame, int]],
    ) -> None:
        """Train the verifiers of real dialogues and seeds together, as far as none is kept."""
        settings = settings.without_own_encoder()
        keys = [(settings, recipe.strategy, id(real), seed) for real, seed in work]
        missing = {k: own for k, own in zip(keys, work, strict=True) if k not in self._kept}
        if not missing:
            return
        synthetic, smoothing = self._asked_about(recipe), settings.objective.prior_smoothing
        classifier = self.open(settings)
        asked = [Training(as_training_set(real), real, seed) for real, seed in missing.values()]
        trained = classifier.fit_many(asked)
        for (key, (real, _)), (state, _) in zip(missing.items(), trained, strict=True):
            quality = heard_by(classifier, state, real, synthetic, self.label_set, smoothing)
            self._kept[key] = real, quality  # held here, so that no other table gets its id

    def _need(
        self,
        name: str,
        recipe: Recipe,
        settings: ClassifierSettings,
        real: pd.DataFrame,
        seed: int,
        synthetic: pd.DataFrame,
    ) -> Floats:
        key = (name, recipe.strategy, id(real), *((settings, seed) if name == "errors" else ()))
        if key not in self._kept:
            opened = open_for_need(self.features)
            own = real, synthetic, opened, lambda: self._wrong(settings, real, seed)
            self._kept[key] = real, scores(name, *own)
        return self._kept[key][1]

    def _wrong(self, settings: ClassifierSettings, real: pd.DataFrame, seed: int) -> Floats:
        classifier = self.open(settings)
        asked = [Training(own, own, k) for k, own in by_seed(error_sets(real, seed))]
        groups = in_groups(asked, classifier.together)
        trained = [own for group in groups for own in classifier.fit_many(group)]
        states = {own.seed: state for own, (state, _) in zip(asked, trained, strict=True)}
        return cross_fitted_errors(classifier, states, real, self.label_set, seed)

    def expected(self, recipe: Recipe, settings: ClassifierSettings) -> Floats | None:
        """Return what models of the synthetic dialogues expect, if the recipe asks; else None."""
        if len(self._kept) >= _MOST_KEPT:
            self._kept.clear()
        if not recipe.asks_expectation:
            return None
        settings = settings.without_own_encoder()
        key = settings, recipe.strategy
        if key not in self._kept:
            checker, synthetic = self.open(checker_settings(settings)), self._asked_about(recipe)
            sets, states = dict(by_seed(checker_sets(synthetic))), dict[int, State]()

            def keep(fold: int, state: State, history: Any) -> None:
                states[fold] = state

            fit_seeds(checker, sets, sets, keep)
            smoothing = settings.objective.prior_smoothing
            found = expected_by_all(checker, states, synthetic, self.label_set, smoothing)
            self._kept[key] = None, found
        return self._kept[key][1]

    def _asked_about(self, recipe: Recipe) -> pd.DataFrame:
        if recipe.strategy == "all":
            return self.synthetic
        own = self.synthetic["strategy"] == recipe.strategy
        return self.synthetic[own].reset_index(drop=True)

"""How good a recipe is: cross-validation over real train, synthetic dialogues in training alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from erc_kedro.core.errors import UserError
from erc_kedro.core.labels import OTHER, LabelSet, labelled
from erc_kedro.core.metrics import HEADLINE, Floats, dialogue_counts, headline_scores
from erc_kedro.core.mixing import Recipe, mix
from erc_kedro.core.tuning import Outcome
from erc_kedro.modelling.classifier import Classifier, Training, in_groups
from erc_kedro.modelling.features import features_for
from erc_kedro.modelling.open import open_classifier
from erc_kedro.modelling.settings import ClassifierSettings
from erc_kedro.modelling.threads import side_by_side
from erc_kedro.modelling.verification import Judge

_MOST_OPENED = 8
"""Classifiers kept for the next recipe with the same settings."""


@dataclass(frozen=True)
class HeldOut:
    """Real dialogues to train on, and others to predict, with what is the same for every recipe.

    Attributes:
        real: Dialogue table to train on.
        rows: Dialogue table to predict; utterances of `labels.OTHER` are context alone.
        counted: Which of the rows count, shape (rows,).
        truth: Label codes of those that do.
        dialogue: Their dialogues' numbers, from 0.
        n_labels: Size of the label set.
    """

    real: pd.DataFrame
    rows: pd.DataFrame
    counted: npt.NDArray[np.bool_]
    truth: npt.NDArray[np.int64]
    dialogue: npt.NDArray[np.int64]
    n_labels: int

    @classmethod
    def of(cls, real: pd.DataFrame, rows: pd.DataFrame, label_set: LabelSet) -> "HeldOut":
        """Return real dialogues to train on and others to predict."""
        rows = rows.reset_index(drop=True)
        counted = (rows["emotion"] != OTHER).to_numpy()
        return cls(
            real.reset_index(drop=True),
            rows,
            counted,
            label_set.codes(rows["emotion"][counted]),
            pd.factorize(rows["dialogue_id"][counted])[0],
            len(label_set),
        )

    def counts(self, probabilities: npt.NDArray[np.float64]) -> Floats:
        """Count what F1 needs, shape (dialogues, 3, labels)."""
        predicted = probabilities.argmax(1)[self.counted][None]
        return dialogue_counts(self.truth, predicted, self.dialogue, self.n_labels)[0]


@dataclass(frozen=True)
class Trainer:
    """Trains by a recipe on the one part of real dialogues, and predicts the other.

    Attributes:
        synthetic: The accepted synthetic dialogues.
        features: Path and width of the features, as encoding returns them.
        label_set: Of the corpus.
        reference: The default recipe.
        threads: How many trainings at once; None leaves it to the classifier.
    """

    synthetic: pd.DataFrame
    features: Mapping[str, Any]
    label_set: LabelSet
    reference: Recipe
    threads: int | None = None
    _opened: dict[tuple[ClassifierSettings, bool], Classifier] = field(
        default_factory=dict, repr=False, compare=False
    )

    def counts(
        self,
        recipe: Recipe,
        settings: ClassifierSettings,
        work: Sequence[tuple[HeldOut, int]],
    ) -> list[Floats]:
        """Return, for each part held out and seed, the counts of `HeldOut.counts`.

        Raises:
            FloatingPointError: If a loss or a probability is not a finite number.
        """
        classifier = self._open(settings, recipe.asks_adaptation)
        expected = self._judge.expected(recipe, settings)
        with side_by_side(self.threads or classifier.workers) as pool:
            run = partial(self._count, classifier, recipe, settings, expected)
            under_way = [pool.submit(run, own) for own in in_groups(work, classifier.together)]
            try:
                return [counts for own in under_way for counts in own.result()]
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    @cached_property
    def _judge(self) -> Judge:
        return Judge(self.synthetic, self.label_set, self._open, self.features)

    def _open(self, settings: ClassifierSettings, adapted: bool = False) -> Classifier:
        key = settings, adapted
        if key not in self._opened:
            if len(self._opened) >= _MOST_OPENED:
                self._opened.clear()
            read = features_for(self.features, adapted=adapted)
            self._opened[key] = open_classifier(settings, read, self.label_set)
        return self._opened[key]

    def _count(
        self,
        classifier: Classifier,
        recipe: Recipe,
        settings: ClassifierSettings,
        expected: Floats | None,
        work: Sequence[tuple[HeldOut, int]],
    ) -> list[Floats]:
        if recipe.asks_verifier:
            self._judge.hear(recipe, settings, [(own.real, seed) for own, seed in work])
        asked = []
        for held_out, seed in work:
            real, verdicts = held_out.real, None
            if recipe.asks:
                verdicts = self._judge.verdicts(recipe, settings, real, seed, expected)
            own = (self.synthetic, recipe, self.reference, self.label_set, seed, verdicts)
            asked.append(Training(mix(real, *own), real, seed))
        found = []
        trained = classifier.fit_many(asked)
        for (held_out, _), (state, history) in zip(work, trained, strict=True):
            probabilities = classifier.probabilities(state, held_out.rows)
            losses = [loss for _, loss in history]
            if not (np.isfinite(losses).all() and np.isfinite(probabilities).all()):
                raise FloatingPointError("the loss is not a finite number")
            found.append(held_out.counts(probabilities))
        return found


def split_dialogues(
    train: pd.DataFrame,
    folds: int,
    seed: int,
    label_set: LabelSet,
    where: str = "tuning.folds",
) -> list[pd.Series]:
    """Return, for each fold, which rows of train are held out: whole dialogues, labels balanced.

    The folds are those of scikit-learn's StratifiedGroupKFold over the labelled utterances; a
    dialogue without any is held out in none. Where says which parameter asks for so many.

    Raises:
        UserError: If there are fewer dialogues than folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    counted = labelled(train)
    n_dialogues = counted["dialogue_id"].nunique()
    if n_dialogues < folds:
        raise UserError(
            "There are fewer dialogues than folds.",
            where=where,
            expected=f"at most {n_dialogues}",
            found=str(folds),
        )
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    codes, groups = label_set.codes(counted["emotion"]), counted["dialogue_id"].to_numpy()
    parts = splitter.split(np.zeros(len(codes)), codes, groups)
    return [train["dialogue_id"].isin(set(groups[held_out])) for _, held_out in parts]


class CrossValidation:
    """Scores recipes by the same folds and seeds.

    Args:
        train: Real train.
        trainer: Trains and predicts.
        folds: Number of folds.
        split_seed: Of the folds.
        seeds: Of the trainings of each fold.
        label_set: Of the corpus.
    """

    def __init__(
        self,
        train: pd.DataFrame,
        trainer: Trainer,
        *,
        folds: int,
        split_seed: int,
        seeds: Sequence[int],
        label_set: LabelSet,
    ) -> None:
        masks = split_dialogues(train, folds, split_seed, label_set)
        self.parts = [HeldOut.of(train[~mask], train[mask], label_set) for mask in masks]
        self._trainer, self._seeds = trainer, list(seeds)

    def score(
        self, recipe: Recipe, settings: ClassifierSettings, objectives: Sequence[str] = HEADLINE
    ) -> Outcome:
        """Score a recipe.

        Args:
            recipe: Of the training sets.
            settings: Of the classifier.
            objectives: Metrics of `metrics.HEADLINE`.

        Returns:
            The objectives from the counts of all folds together (Forman and Scholz, 2010,
            "Apples-to-apples in cross-validation studies": the mean of the folds' F1 is biased
            where a label is rare), mean over seeds, and every headline metric of each fold.

        Raises:
            FloatingPointError: If a training does not stay finite.
        """
        work = [(part, seed) for part in self.parts for seed in self._seeds]
        counts = self._trainer.counts(recipe, settings, work)
        n_seeds = len(self._seeds)
        sums = np.stack([own.sum(0) for own in counts])  # (folds * seeds, 3, labels)
        by_fold = sums.reshape(len(self.parts), n_seeds, *sums.shape[1:])
        pooled = dict(zip(HEADLINE, headline_scores(by_fold.sum(0)).mean(0).tolist(), strict=True))
        per_fold = headline_scores(by_fold).mean(1).T.tolist()
        return Outcome(
            tuple(pooled[name] for name in objectives), dict(zip(HEADLINE, per_fold, strict=True))
        )

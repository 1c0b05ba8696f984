"""The objective of a search over recipes, as a worker process makes it for itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from erc_kedro.core.labels import LabelSet
from erc_kedro.core.tuning import Objective, Outcome, Settings
from erc_kedro.modelling.cross_validation import CrossValidation, Trainer
from erc_kedro.modelling.recipe_space import RecipeSpace

_TRAIN, _SYNTHETIC = "train.parquet", "synthetic.parquet"


@dataclass(frozen=True)
class ObjectiveFiles:
    """What a worker process needs to make the objective for itself; small, so it can be sent.

    Calling it returns the objective. The dialogues are read from a folder that `write` filled,
    the features are memory-mapped: nothing big is sent, and workers share the features' memory.

    Attributes:
        folder: Of the dialogues.
        space: Turns settings into recipes.
        features: As encoding returns them.
        label_set: Of the corpus.
        folds: Number of folds.
        split_seed: Of the folds.
        seeds: Of the trainings.
        objectives: Metrics to return.
        threads: How many trainings at once; None leaves it to the classifier.
    """

    folder: Path
    space: RecipeSpace
    features: Mapping[str, Any]
    label_set: LabelSet
    folds: int
    split_seed: int
    seeds: tuple[int, ...]
    objectives: tuple[str, ...]
    threads: int | None = None

    def write(self, train: pd.DataFrame, synthetic: pd.DataFrame) -> "ObjectiveFiles":
        """Write the dialogues into the folder, and return itself."""
        train.to_parquet(self.folder / _TRAIN, index=False)
        synthetic.to_parquet(self.folder / _SYNTHETIC, index=False)
        return self

    def __call__(self) -> Objective:
        """Return the objective: settings to outcome."""
        synthetic = pd.read_parquet(self.folder / _SYNTHETIC)
        trainer = Trainer(
            synthetic, self.features, self.label_set, self.space.reference, self.threads
        )
        validation = CrossValidation(
            pd.read_parquet(self.folder / _TRAIN),
            trainer,
            folds=self.folds,
            split_seed=self.split_seed,
            seeds=self.seeds,
            label_set=self.label_set,
        )

        def objective(settings: Settings) -> Outcome:
            found = self.space.open(self.space.in_effect(settings))
            return validation.score(*found, self.objectives)

        return objective

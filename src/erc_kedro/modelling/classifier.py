"""What a classifier is to the pipeline, and what all of them share."""

import logging
import time
from typing import Protocol

import numpy as np
import pandas as pd
import torch

from erc_kedro.core.mixing import by_seed
from erc_kedro.modelling.threads import side_by_side

logger = logging.getLogger(__name__)

State = dict[str, torch.Tensor]
History = list[tuple[int, float]]

REFERENCE_UTTERANCES = 10_000
"""Real utterances that the settings' optimiser steps are meant for."""


class Classifier(Protocol):
    """Trains one classifier per seed, and predicts from its state.

    Attributes:
        workers: How many seeds it can train at once.
    """

    workers: int

    def fit(
        self, training_set: pd.DataFrame, real: pd.DataFrame, *, seed: int
    ) -> tuple[State, History]:
        """Train; return the state and (step, loss) pairs."""
        ...

    def probabilities(self, state: State, dialogues: pd.DataFrame) -> np.ndarray:
        """Return probabilities of shape (rows, labels)."""
        ...


def fit_seeds(
    classifier: Classifier, training_sets: pd.DataFrame, real: pd.DataFrame
) -> dict[int, tuple[State, History]]:
    """Train one classifier per seed, as many at once as the classifier can.

    Args:
        classifier: Of either kind.
        training_sets: The training sets of all seeds, told apart by `seed`.
        real: The real dialogues of all seeds.

    Returns:
        State and history by seed, in the order of the seeds.
    """
    reals = dict(by_seed(real))

    def fit(item: tuple[int, pd.DataFrame]) -> tuple[int, tuple[State, History]]:
        seed, training_set = item
        started = time.monotonic()
        state, history = classifier.fit(training_set, reals[seed], seed=seed)
        took = time.monotonic() - started
        logger.info(
            "seed %d: %d utterances, %d steps, %.1f s", seed, len(training_set), len(history), took
        )
        return seed, (state, history)

    with side_by_side(classifier.workers) as pool:
        return dict(pool.map(fit, by_seed(training_sets)))


def scaled_steps(steps: int, n_real: int, scaling: float) -> int:
    """Return the optimiser steps for a number of real utterances: the same in every arm.

    >>> scaled_steps(136, 2_500, 0.5)
    68
    """
    return max(2, round(steps * (n_real / REFERENCE_UTTERANCES) ** scaling))

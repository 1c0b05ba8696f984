"""What a classifier is to the pipeline, and what all of them share."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock
from typing import Protocol

import numpy as np
import pandas as pd
import torch

State = dict[str, torch.Tensor]
History = list[tuple[int, float]]

REFERENCE_UTTERANCES = 10_000
"""Real utterances that the settings' optimiser steps are meant for"""

_SEEDED = RLock()


class Classifier(Protocol):
    """Trains one classifier per seed, and predicts from its state."""

    def fit(
        self, training_set: pd.DataFrame, real: pd.DataFrame, *, seed: int
    ) -> tuple[State, History]:
        """Train; return the state and (step, loss) pairs."""
        ...

    def probabilities(self, state: State, dialogues: pd.DataFrame) -> np.ndarray:
        """Return probabilities of shape (rows, labels)."""
        ...


def scaled_steps(steps: int, n_real: int, scaling: float) -> int:
    """Return the optimiser steps for a number of real utterances: the same in every arm.

    >>> scaled_steps(136, 2_500, 0.5)
    68
    """
    return max(2, round(steps * (n_real / REFERENCE_UTTERANCES) ** scaling))


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch, on one thread, and leave its random state as it was.

    One caller at a time: the state is the process's, and ThreadRunner runs arms side by side.
    """
    with _SEEDED:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # more are slower on busy cores, and may change the last bit
        try:
            with torch.random.fork_rng():
                torch.manual_seed(seed)
                yield
        finally:
            torch.set_num_threads(threads)

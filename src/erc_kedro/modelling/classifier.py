"""What a classifier is to the pipeline, and what all of them share."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError, as_completed
from itertools import pairwise
from threading import Event
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
import pandas as pd
import torch

from erc_kedro.core.labels import LabelSet, label_distributions, labelled
from erc_kedro.core.progress import counting
from erc_kedro.modelling.objective import UNLABELLED, source_codes
from erc_kedro.modelling.threads import side_by_side

State = dict[str, torch.Tensor]
History = list[tuple[int, float]]
Advance = Callable[[int], None]

T = TypeVar("T")

REFERENCE_UTTERANCES = 10_000
"""Real utterances that the settings' optimiser steps are meant for."""


def unseen(amount: int) -> None:
    """Count nothing: the `advance` of training that nobody watches."""


class Training(NamedTuple):
    """What one training is asked for, as `Classifier.fit` takes it."""

    training_set: pd.DataFrame
    real: pd.DataFrame
    seed: int


class Classifier(Protocol):
    """Trains one classifier per seed, and predicts from its state.

    Attributes:
        workers: How many calls of `fit` or `fit_many` can be under way at once, in threads.
        together: The most trainings that one call of `fit_many` shall be given.
    """

    workers: int
    together: int = 1

    def steps(self, real: pd.DataFrame) -> int:
        """Return how many optimiser steps training takes beside these real dialogues."""
        ...

    def fit(
        self, training_set: pd.DataFrame, real: pd.DataFrame, *, seed: int, advance: Advance = ...
    ) -> tuple[State, History]:
        """Train, telling `advance` of every step; return the state and (step, loss) pairs."""
        ...

    def fit_many(
        self, work: Sequence[Training], *, advance: Advance = unseen
    ) -> list[tuple[State, History]]:
        """Train several, and return for each what `fit` would, up to rounding.

        By default one after the other, and then to the last bit.
        """
        return [self.fit(rows, real, seed=seed, advance=advance) for rows, real, seed in work]

    def probabilities(self, state: State, dialogues: pd.DataFrame) -> np.ndarray:
        """Return probabilities of shape (rows, labels)."""
        ...


def as_history(losses: Sequence[torch.Tensor]) -> History:
    """Return the losses of all steps as pairs with their steps, read at once.

    To read one from a GPU is to wait until all before it is done.
    """
    return list(enumerate(torch.stack(list(losses)).tolist(), 1))


def fit_seeds(
    classifier: Classifier,
    training_sets: Mapping[int, pd.DataFrame],
    reals: Mapping[int, pd.DataFrame],
    keep: Callable[[int, State, History], None],
) -> None:
    """Train one classifier per seed, as many at once as the classifier can.

    After an error or a stop from the keyboard those under way end with their next step.

    Args:
        classifier: Of either kind.
        training_sets: The training set of each seed.
        reals: The real dialogues of each seed.
        keep: Takes seed, state and history of each as soon as it is trained, with those that
            were trained in one pass with it; called from several threads.
    """
    stopped = Event()
    total = sum(classifier.steps(reals[seed]) for seed in training_sets)
    with counting("training", total, "steps") as count, side_by_side(classifier.workers) as pool:

        def advance(amount: int) -> None:
            if stopped.is_set():
                raise CancelledError
            count(amount)

        def fit(seeds: Sequence[int]) -> None:
            work = [Training(training_sets[seed], reals[seed], seed) for seed in seeds]
            trained = classifier.fit_many(work, advance=advance)
            for seed, own in zip(seeds, trained, strict=True):
                keep(seed, *own)

        groups = in_groups(list(training_sets), classifier.together)
        under_way = [pool.submit(fit, seeds) for seeds in groups]
        try:
            for done in as_completed(under_way):
                done.result()
        except BaseException:
            stopped.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def in_groups(items: Sequence[T], most: int) -> list[Sequence[T]]:
    """Return items in their order, in as few groups as hold `most` each, alike in size.

    >>> in_groups("abcdefg", 3)
    ['abc', 'de', 'fg']
    """
    n = -(-len(items) // most)
    size, over = divmod(len(items), max(n, 1))
    ends = [size * i + min(i, over) for i in range(n + 1)]
    return [items[a:b] for a, b in pairwise(ends)]


def targets(
    rows: pd.DataFrame, label_set: LabelSet, device: torch.device, *, soft: bool = False
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return what the loss needs of a training set's rows: labels, sources and weights, (rows,).

    Labels are codes, or with `soft` distributions of shape (rows, labels). A row of `labels.OTHER`
    has the code `UNLABELLED`, or a distribution of zeros, and the weight 0.
    """
    codes = torch.from_numpy(label_set.codes(rows["emotion"], other=UNLABELLED))
    weights = torch.tensor(rows["weight"].to_numpy(), dtype=torch.float32)
    weights = weights.masked_fill(codes == UNLABELLED, 0)
    wanted = torch.from_numpy(label_distributions(rows, label_set)).float() if soft else codes
    return wanted.to(device), source_codes(rows).to(device), weights.to(device)


def steps_beside(real: pd.DataFrame, steps: int, scaling: float) -> int:
    """Return the optimiser steps beside real dialogues: as many as their labelled rows ask for."""
    return scaled_steps(steps, len(labelled(real)), scaling)


def scaled_steps(steps: int, n_real: int, scaling: float) -> int:
    """Return the optimiser steps for a number of real utterances: the same in every arm.

    >>> scaled_steps(136, 2_500, 0.5)
    68
    """
    return max(2, round(steps * (n_real / REFERENCE_UTTERANCES) ** scaling))

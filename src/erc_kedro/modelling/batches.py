"""Which dialogues or utterances each optimiser step sees, for both classifiers.

A training is one part, or several after each other if its training set says when dialogues come in
and go out. A part is passed over again and again until its steps are done; how a pass is cut to
batches is the classifier's.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice, pairwise, repeat
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from erc_kedro.core.schedule import ENTERS, LEAVES

LENGTH_STEP = 8
"""Texts of a batch are filled up to a multiple of so many tokens."""

_ROWS = 64
"""A batch of the contextual classifier holds a multiple of so many rows."""

Positions = npt.NDArray[np.int64]
OnePass = Callable[[Positions], Iterator[Positions]]
"""Cuts one pass over the items at these positions to batches, in a random order."""


class Part(NamedTuple):
    """What is passed over, and for how many optimiser steps."""

    positions: Positions
    steps: int


def parts_of(items: pd.DataFrame, steps: int) -> list[Part]:
    """Return the parts of a training.

    Args:
        items: A row per item that batches are made of, maybe with the columns of `core.schedule`.
        steps: Optimiser steps of the whole training.

    Returns:
        Parts that take the steps together, at least one each if there are two. One part with all
        items if no column says otherwise.

    Raises:
        ValueError: If at some time there is no item.
    """
    enters = _times(items, ENTERS, 0.0)
    leaves = _times(items, LEAVES, 1.0)
    times = np.unique([0.0, 1.0, *enters, *leaves])
    # a part between two others may get no step: then it is left out
    ends = [0, *(min(max(round(t * steps), 1), steps - 1) for t in times[1:-1]), steps]
    found = []
    for (start, end), (first, after) in zip(pairwise(times), pairwise(ends), strict=True):
        positions = np.flatnonzero((enters <= start) & (leaves >= end))
        if not len(positions):
            raise ValueError(f"nothing to learn from {start:g} to {end:g} of the training")
        found.append(Part(positions, after - first))
    return [part for part in found if part.steps]


def _times(items: pd.DataFrame, column: str, otherwise: float) -> npt.NDArray[np.float64]:
    if column not in items:
        return np.full(len(items), otherwise)
    return items[column].fillna(otherwise).to_numpy(dtype=float)


def batches_of(parts: Sequence[Part], one_pass: OnePass) -> Iterator[Positions]:
    """Yield a batch for every step: pass after pass over each part."""
    for positions, steps in parts:
        passes = chain.from_iterable(map(one_pass, repeat(positions)))
        yield from islice(passes, steps)


def of_dialogues(per_pass: int, seed: int) -> OnePass:
    """Return passes over dialogues in the same number of batches, however many there are.

    Args:
        per_pass: That number; fewer dialogues make fewer batches.
        seed: Of the order.
    """
    rng = np.random.default_rng([seed, 4])

    def one_pass(positions: Positions) -> Iterator[Positions]:
        yield from np.array_split(rng.permutation(positions), min(per_pass, len(positions)))

    return one_pass


def of_utterances(lengths: Sequence[int], size: int, seed: int) -> OnePass:
    """Return passes over utterances in batches of about the same size, alike in length within one.

    Args:
        lengths: Of every utterance, whatever the unit.
        size: Most utterances of a batch.
        seed: Of the order.
    """
    rng = np.random.default_rng([seed, 5])
    sizes = np.asarray(lengths)

    def one_pass(positions: Positions) -> Iterator[Positions]:
        order = rng.permutation(positions)
        batches: list[Positions] = []
        for pool in np.array_split(order, max(1, len(order) // (size * 50))):
            alike = pool[np.argsort(sizes[pool], kind="stable")]
            batches += np.array_split(alike, max(1, -(-len(alike) // size)))
        for i in rng.permutation(len(batches)):
            yield batches[i]

    return one_pass


def row_ranges(table: pd.DataFrame) -> list[range]:
    """Return the rows of each dialogue of a dialogue table.

    Raises:
        ValueError: If the rows of a dialogue do not follow each other.
    """
    codes = pd.factorize(table["dialogue_id"])[0]
    starts = np.flatnonzero(np.diff(codes, prepend=-1))
    if len(starts) != codes.max(initial=-1) + 1:
        raise ValueError("the rows of a dialogue do not follow each other")
    return [range(a, b) for a, b in zip(starts, [*starts[1:], len(codes)], strict=True)]


def round_up(n: int, step: int) -> int:
    """Return the next multiple of a step: sizes of batches are rounded, so that few occur."""
    return -(-n // step) * step


def filled(n: int) -> int:
    """Return how many rows a batch of n utterances has for the contextual classifier."""
    return round_up(n, _ROWS)


def collate(dialogues: Sequence[range], kernel: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the rows of dialogues one after another, and each one's neighbours among them.

    Returns:
        Rows, shape (utterances,); neighbours, shape (filled(utterances), kernel), that number
        standing for none. The last ones are of silent rows, which have none.
    """
    starts = np.array([dialogue.start for dialogue in dialogues])
    lengths = np.array([len(dialogue) for dialogue in dialogues])
    ends = lengths.cumsum()
    last = (ends - 1).repeat(lengths)
    first = (ends - lengths).repeat(lengths)
    places = np.arange(len(first))
    none = filled(len(first))
    neighbours = np.full((none, kernel), none)
    near = places[:, None] + np.arange(kernel) - kernel // 2
    inside = (near >= first[:, None]) & (near <= last[:, None])
    np.copyto(neighbours[: len(first)], near, where=inside)
    rows = (starts - ends + lengths).repeat(lengths) + places
    return torch.from_numpy(rows), torch.from_numpy(neighbours)

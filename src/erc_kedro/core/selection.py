"""Which synthetic dialogues are drawn first, where a recipe does not leave it to chance."""

from heapq import heapify, heappop, heapreplace

import numpy as np
import numpy.typing as npt
import pandas as pd

Floats = npt.NDArray[np.floating]

LEEWAY = 0.02
"""How far label shares of what is drawn may be from those of all, in total variation: about as far
as those of a random half of some hundred dialogues are."""

_WITHIN_EMOTION = ("errors", "style")
"""Needs in which an utterance is compared with the others of its emotion."""


def in_order_of_need(
    scored: pd.DataFrame, by: str, wanted: float, seed: int
) -> npt.NDArray[np.int64]:
    """Return dialogues in the order in which they are drawn: what is needed most, first.

    A dialogue's need is the mean over its utterances, for errors and style above the mean of their
    emotion: what is rare and hard, or has a tone of its own, is not chosen for its emotion. Of the
    dialogues left, the one with the largest need is taken that leaves no more utterances misplaced
    than `LEEWAY` of those drawn, and half a dialogue. Misplaced are those that would have to change
    their label for the label shares to be those of all. Where none does, the one that leaves the
    fewest misplaced is taken.

    Args:
        scored: Synthetic utterances, with a column `by`.
        by: Of `weighing.NEEDS`.
        wanted: Utterances to draw; the order ends as soon as it holds them.
        seed: Decides between equal needs.

    Returns:
        Numbers of dialogues, counted as they first appear. With more wanted, the same ones come
        first.
    """
    codes, ids = pd.factorize(scored["dialogue_id"])
    labels, emotions = pd.factorize(scored["emotion"])
    counts = np.zeros((len(ids), len(emotions)))
    np.add.at(counts, (codes, labels), 1)
    sizes = counts.sum(1)
    off = counts - sizes[:, None] * counts.sum(0) / max(len(scored), 1)
    need = scored[by].astype(float)
    if by in _WITHIN_EMOTION:
        need = need - need.groupby(labels).transform("mean")
    of_dialogue = np.bincount(codes, need.to_numpy(), len(ids)) / sizes
    left = np.random.default_rng([seed, 8]).permutation(len(ids))
    left = left[np.argsort(-of_dialogue[left].round(9), kind="stable")]
    order, n, total = [], 0.0, np.zeros(len(emotions))
    while n < wanted and len(left):
        misplaced = np.abs(total + off[left]).sum(1) / 2
        allowed = misplaced <= LEEWAY * (n + sizes[left]) + sizes.mean() / 2
        place = int(allowed.argmax() if allowed.any() else misplaced.argmin())
        taken = left[place]
        order.append(taken)
        left = np.delete(left, place)
        n, total = n + sizes[taken], total + off[taken]
    return np.array(order, dtype=np.int64)


def greedy_gains(
    covers: Floats, covered: Floats, weights: Floats, sizes: Floats, owners: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Return what each dialogue adds to the cover when the greedy choice comes to it.

    Facility location: a point is covered as well as the best that covers it does. Again and again
    the dialogue is taken that adds most per utterance (Nemhauser et al., 1978; with sizes: Lin and
    Bilmes, 2010). What it adds never grows by what else is taken, so an old gain is a bound on the
    new one, and few have to be found anew (Minoux, 1978).

    Args:
        covers: How well a dialogue covers a point, shape (dialogues, points).
        covered: How well it is covered without any, shape (points,).
        weights: Of the points.
        sizes: Utterances of the dialogues, above 0.
        owners: The dialogue that a point is of, or -1: once taken, its points need no cover.

    Returns:
        Gain in the weighted sum, per utterance; shape (dialogues,). It falls in the order of
        the choice, so that sorting by it gives that order.
    """
    covered = covered.copy()

    def gain(dialogue: int) -> float:
        more = np.maximum(covers[dialogue] - covered, 0)
        return float((more * weights).sum() / sizes[dialogue])

    gains = np.zeros(len(covers))
    bounds = [(-gain(dialogue), dialogue, 0) for dialogue in range(len(covers))]
    heapify(bounds)
    taken, least = 0, np.inf
    while bounds:
        _, dialogue, found_at = bounds[0]
        if found_at < taken:
            heapreplace(bounds, (-gain(dialogue), dialogue, taken))
            continue
        lost, dialogue, _ = heappop(bounds)
        least = min(least, -lost)
        gains[dialogue] = least
        covered = np.maximum(covered, covers[dialogue])
        covered[owners == dialogue] = np.inf
        taken += 1
    return gains

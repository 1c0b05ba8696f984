"""What synthetic utterances are chosen by: how much the real ones of a seed need them.

All scores go by the features of the frozen encoder, standardised and projected on the directions
in which the real utterances of the seed vary most: two utterances are far from each other only in
what real ones differ in. (Style, which asks for the difference, takes the directions of both.)
Nothing else that is real is seen: neither dev and test, nor the rest of train.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from erc_kedro.core.errors import UserError
from erc_kedro.core.labels import OTHER, labelled
from erc_kedro.core.selection import greedy_gains
from erc_kedro.modelling.features import Features, open_features
from erc_kedro.modelling.style_shift import EMBEDDING_POWER, FOLDS_OF_STYLE, fold_rows
from erc_kedro.modelling.threads import seeded, side_by_side, usable_cores

Floats = npt.NDArray[np.float64]

_DIRECTIONS = 64
_NEIGHBOURS = 5
_MOST_POINTS = 1000


def open_for_need(features: Mapping[str, Any]) -> Features:
    """Return the features, as encoding returns where they lie.

    Raises:
        UserError: If nothing was encoded.
    """
    if features["path"] is None:
        raise UserError(
            "Selection by need and weights by style go by an encoder's features.",
            where="selection, weighting",
            found="encoding.encoder: null",
            expected="an encoder, whatever the classifier is",
            remedy="name one (encoding.encoder), or set selection: random and no weighting: style",
        )
    return open_features(features["path"], features["width"])


def needs_by_seed(
    name: str,
    reals: Mapping[int, pd.DataFrame],
    synthetic: pd.DataFrame,
    features: Features,
    wrong: Mapping[int, Floats],
) -> dict[int, Floats]:
    """Return `scores` by the real dialogues of every seed, side by side; `wrong` by seed too."""
    with side_by_side(usable_cores()) as pool:
        under_way = {
            seed: pool.submit(
                scores, name, real, synthetic, features, partial(wrong.__getitem__, seed)
            )
            for seed, real in reals.items()
        }
        return {seed: own.result() for seed, own in under_way.items()}


def scores(
    name: str,
    real: pd.DataFrame,
    synthetic: pd.DataFrame,
    features: Features,
    wrong: Callable[[], Floats],
) -> Floats:
    """Return a score of every synthetic utterance, shape (rows,).

    Args:
        name: Of `weighing.NEEDS`.
        real: The real dialogues of the seed.
        synthetic: The dialogues that are chosen from.
        features: Of the texts of both.
        wrong: Gives how wrong a model is about each row of `real`, as
            `cross_fitting.cross_fitted_errors`; asked for errors alone.
    """
    if synthetic.empty:
        return np.zeros(0)
    if name == "coverage":
        return coverage(real, synthetic, features)
    if name == "errors":
        return errors(real, synthetic, features, wrong())
    return style(real, synthetic, features)


def coverage(real: pd.DataFrame, synthetic: pd.DataFrame, features: Features) -> Floats:
    """Return what each utterance's dialogue adds to what the real ones cover of their emotions.

    An utterance is covered by the most similar other one of its emotion that is real or chosen;
    similarity is exp(-d^2 / 2 h^2), h the median distance of a real utterance to the nearest other
    of its emotion. None covers itself: how well real ones are covered by others tells how well
    unseen ones will be, and what resembles nothing is of no use; what is chosen needs no cover. The
    cover is the mean over the real utterances of an emotion plus that over the synthetic ones, each
    emotion counting the same; dialogues are chosen greedily (`selection.greedy_gains`). Of an
    emotion with more, 1,000 utterances of each side, at random, stand for all that is to be
    covered.

    Returns:
        The gain per utterance when the greedy choice comes to the dialogue, shape (rows,).
    """
    real = labelled(real)
    places, own = _projected(features, real["text"], synthetic["text"])
    dialogues, ids = pd.factorize(synthetic["dialogue_id"])
    near, apart, weights, owners = [], [], [], []
    for emotion in sorted(set(synthetic["emotion"])):
        there = places[(real["emotion"] == emotion).to_numpy()]
        rows = np.flatnonzero(synthetic["emotion"] == emotion)
        for is_real, side in ((True, there), (False, own[rows])):
            chosen = _some(len(side))
            near.append(_nearest(side[chosen], there, chosen if is_real else None))
            distances = _distances(own[rows], side[chosen])
            if not is_real:
                distances[chosen, np.arange(len(chosen))] = np.inf
            apart.append(_smallest_of(distances, dialogues[rows], len(ids)))
            weights.append(np.full(len(chosen), 1 / max(len(chosen), 1)))
            owners.append(np.full(len(chosen), -1) if is_real else dialogues[rows[chosen]])
    to_others, owner = np.concatenate(near), np.concatenate(owners)
    known = to_others[(owner < 0) & np.isfinite(to_others) & (to_others > 0)]
    width = float(np.median(known)) if len(known) else 1.0
    gains = greedy_gains(
        _similarity(np.concatenate(apart, axis=1), width),
        _similarity(to_others, width),
        np.concatenate(weights),
        np.bincount(dialogues).astype(float),
        owner,
    )
    return gains[dialogues]


def errors(
    real: pd.DataFrame, synthetic: pd.DataFrame, features: Features, wrong: Floats
) -> Floats:
    """Return how wrong a model of real dialogues is around each utterance.

    Args:
        real: The real dialogues.
        synthetic: To score.
        features: Of the texts of both.
        wrong: Of each row of `real`, as `cross_fitting.cross_fitted_errors`.

    Returns:
        The mean of `wrong` over the five nearest real utterances of the same emotion, shape
        (rows,); 1 for an emotion that no real one has.
    """
    counted = labelled(real)
    of_counted = wrong[(real["emotion"] != OTHER).to_numpy()]
    places, own = _projected(features, counted["text"], synthetic["text"])
    found = np.ones(len(synthetic))
    for emotion in sorted(set(synthetic["emotion"])):
        there = (counted["emotion"] == emotion).to_numpy()
        rows = np.flatnonzero(synthetic["emotion"] == emotion)
        if there.any():
            distances = _distances(own[rows], places[there])
            nearest = np.argsort(distances, axis=1, kind="stable")[:, :_NEIGHBOURS]
            found[rows] = of_counted[there][nearest].mean(1)
    return found


def style(real: pd.DataFrame, synthetic: pd.DataFrame, features: Features) -> Floats:
    """Return log p(real) - log p(synthetic) of each synthetic utterance, shape (rows,).

    By the log odds of a logistic regression that tells real utterances from synthetic ones, as in
    `style_shift`, less those of the two sides' sizes. What judges a dialogue is trained on others;
    labels are not read.

    Raises:
        UserError: If there are too few dialogues of a side.
    """
    from sklearn.linear_model import LogisticRegression

    rows = pd.concat([real, synthetic], ignore_index=True)
    is_real = np.repeat([1, 0], [len(real), len(synthetic)])
    folds = fold_rows(is_real, pd.factorize(rows["dialogue_id"])[0], 0)
    if not folds:
        raise UserError(
            "Too few dialogues to tell real ones from synthetic ones.",
            expected=f"at least {FOLDS_OF_STYLE} of each",
            found=f"{real['dialogue_id'].nunique()} real, "
            f"{synthetic['dialogue_id'].nunique()} synthetic",
            remedy="generate more, or choose another selection and weighting",
        )
    places = _projected(features, rows["text"])[0].astype(np.float64)
    odds = np.zeros(len(rows))
    for train, held_out in folds:
        model = LogisticRegression(C=EMBEDDING_POWER, solver="newton-cholesky", tol=1e-8)
        model.fit(places[train], is_real[train])
        share = is_real[train].mean()
        odds[held_out] = model.decision_function(places[held_out]) - np.log(share / (1 - share))
    return odds[len(real) :].round(6)


def _projected(features: Features, reference: Any, *others: Any) -> list[npt.NDArray[np.float32]]:
    """Return the places of texts in the directions in which the reference varies most."""
    of_reference = torch.from_numpy(features.of(reference))
    mean, scale = of_reference.mean(0), of_reference.std(0).clamp_min(1e-6)
    of_reference = (of_reference - mean) / scale
    with seeded(0):
        most = min(_DIRECTIONS, *of_reference.shape)
        directions = torch.svd_lowrank(of_reference, q=most, niter=4)[2]
    rest = [(torch.from_numpy(features.of(texts)) - mean) / scale for texts in others]
    return [(rows @ directions).numpy() for rows in (of_reference, *rest)]


def _some(n: int) -> npt.NDArray[np.int64]:
    """Return numbers below n, at random where there are more than needed."""
    return np.sort(np.random.default_rng([0, 9]).permutation(n)[:_MOST_POINTS])


def _distances(rows: Any, columns: Any) -> npt.NDArray[np.float32]:
    return torch.cdist(torch.from_numpy(rows), torch.from_numpy(columns)).numpy()


def _nearest(rows: Any, columns: Any, itself: Any) -> npt.NDArray[np.float32]:
    """Return each row's distance to the nearest column; `itself` is the column that is the row."""
    distances = _distances(rows, columns)
    if itself is not None:
        distances[np.arange(len(rows)), itself] = np.inf
    return distances.min(1, initial=np.inf)


def _smallest_of(distances: Any, dialogues: Any, n: int) -> npt.NDArray[np.float32]:
    """Return the smallest distance of each dialogue's rows, infinite where it has none."""
    found = np.full((n, distances.shape[1]), np.inf, dtype=np.float32)
    np.minimum.at(found, dialogues, distances)
    return found


def _similarity(distances: Any, width: float) -> npt.NDArray[np.float32]:
    return np.exp(-((distances / width) ** 2) / 2)

"""Models that judge dialogues which they were not trained on."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd

from erc_kedro.core.errors import UserError
from erc_kedro.core.labels import LabelSet
from erc_kedro.modelling.classifier import Classifier, State

Floats = npt.NDArray[np.float64]

_FOLDS = 5


def folds_of(dialogues: pd.DataFrame) -> npt.NDArray[np.int64]:
    """Return the number of each row's fold: whole dialogues, in a fixed random order."""
    codes, ids = pd.factorize(dialogues["dialogue_id"])
    order = np.random.default_rng([0, 6]).permutation(len(ids))
    return order[codes] % min(_FOLDS, max(len(ids), 1))


def error_sets(real: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Return the training sets of the models that tell a seed's errors: real dialogues but a fold.

    Returns:
        One table; the column `seed` is seed * 5 + fold, and tells them apart.

    Raises:
        UserError: If there is just one dialogue.
    """
    folds = folds_of(real)
    if folds.max(initial=0) < 1:
        raise UserError(
            "Too few real dialogues for a selection by errors.",
            expected="at least 2: what judges a dialogue is trained on others",
            found=str(real["dialogue_id"].nunique()),
            remedy="raise the real fraction, or choose another selection",
        )
    numbers = range(int(folds.max()) + 1)
    parts = [real[folds != fold].assign(seed=seed * _FOLDS + fold, weight=1.0) for fold in numbers]
    return pd.concat(parts, ignore_index=True)


def cross_fitted_errors(
    classifier: Classifier,
    states: Mapping[int, State],
    real: pd.DataFrame,
    label_set: LabelSet,
    seed: int,
) -> Floats:
    """Return how wrong models of the other folds are about each real utterance.

    Args:
        classifier: Of the states.
        states: Trained on `error_sets`, by its column `seed`.
        real: The real dialogues of the seed.
        label_set: The corpus's.
        seed: Of the real dialogues.

    Returns:
        1 - the probability of the true label, as the model predicts, shape (rows,); NaN for what
        counts nowhere.
    """
    folds, wrong = folds_of(real), np.full(len(real), np.nan)
    codes = label_set.codes(real["emotion"], other=len(label_set))
    for fold in range(int(folds.max()) + 1):
        rows = np.flatnonzero(folds == fold)
        found = classifier.probabilities(states[seed * _FOLDS + fold], real.iloc[rows])
        counted = codes[rows] < len(label_set)
        wrong[rows[counted]] = 1 - found[counted, codes[rows[counted]]]
    return wrong

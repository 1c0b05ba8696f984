"""How well a classifier tells real utterances from synthetic ones, and by what."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from erc_kedro.core.dialogue import words
from erc_kedro.modelling.features import Features

BY = ("length", "lexicon", "embedding")
"""What utterances are told apart by."""

FOLDS_OF_STYLE = 3
"""Folds of whole dialogues; each side needs as many."""

EMBEDDING_POWER = 0.001
"""Inverse strength of the penalty (C) where utterances are told apart by their features."""

_MOST_UTTERANCES = 4000
_N_WORDS = 12
_LEAST_COUNT = 5


def measure_style_shift(
    real: pd.DataFrame, synthetic: pd.DataFrame, features: Features | None, seed: int = 0
) -> dict[str, Any]:
    """Measure how well a logistic regression tells real from synthetic utterances.

    Args:
        real: Real train.
        synthetic: Synthetic dialogues.
        features: Of the texts of both; None leaves the embedding out.
        seed: Of folds, and of the dialogues where there are more than needed.

    Returns:
        auc {length, lexicon, embedding}: area under the ROC curve, mean over folds of whole
        dialogues; .5 is chance, 1 perfect, None where it cannot be measured. real and synthetic:
        dialogues and utterances seen, words per utterance (mean), and words that speak for it,
        those with the largest weights first (word, and how often it stands in 1,000 utterances of
        each: per_1000_real, per_1000_synthetic).
    """
    sides = {"real": _some(real, seed), "synthetic": _some(synthetic, seed)}
    rows = pd.concat(list(sides.values()), ignore_index=True)
    target = np.repeat([0, 1], [len(own) for own in sides.values()])
    groups = pd.factorize(rows["dialogue_id"])[0]
    tokens = [words(text) for text in rows["text"]]
    length = np.log1p([len(own) for own in tokens])
    given: dict[str, Any] = {
        "length": np.stack([length, length**2], axis=1),
        "lexicon": tokens,
        "embedding": None if features is None else features.of(rows["text"]),
    }
    folds = fold_rows(target, groups, seed)
    auc = {by: _auc(by, given[by], target, folds) if folds else None for by in BY}
    telling = _telling_words(tokens, target) if folds else {"real": [], "synthetic": []}
    found: dict[str, Any] = {"auc": auc, "folds": FOLDS_OF_STYLE, "seed": seed}
    for side, own in sides.items():
        found[side] = {
            "dialogues": int(own["dialogue_id"].nunique()),
            "utterances": len(own),
            "mean_words": round(float(np.mean([len(words(t)) for t in own["text"]] or [0])), 2),
            "words": telling[side],
        }
    return found


def _some(dialogues: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Return whole dialogues at random, of not many more utterances than are needed."""
    lengths = dialogues.groupby("dialogue_id", sort=False).size()
    order = np.random.default_rng([seed, 7]).permutation(len(lengths))
    before = np.cumsum(lengths.to_numpy()[order]) - lengths.to_numpy()[order]
    chosen = lengths.index[order[before < _MOST_UTTERANCES]]
    return dialogues[dialogues["dialogue_id"].isin(chosen)]


def fold_rows(
    target: npt.NDArray[np.int64], groups: npt.NDArray[np.int64], seed: int
) -> list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Return training and held-out rows of each fold; none if a side has too few dialogues."""
    from sklearn.model_selection import StratifiedGroupKFold

    if min(len(set(groups[target == side])) for side in (0, 1)) < FOLDS_OF_STYLE:
        return []
    splitter = StratifiedGroupKFold(FOLDS_OF_STYLE, shuffle=True, random_state=seed)
    folds = list(splitter.split(np.zeros(len(target)), target, groups))
    both = all(len(set(target[rows])) == 2 for fold in folds for rows in fold)
    return folds if both else []


def _auc(by: str, given: Any, target: npt.NDArray[np.int64], folds: Iterable[Any]) -> float | None:
    from sklearn.metrics import roc_auc_score

    if given is None:
        return None
    scores = []
    for train, held_out in folds:
        model = _model(by)
        model.fit(_rows(given, train), target[train])
        scores.append(
            roc_auc_score(target[held_out], model.decision_function(_rows(given, held_out)))
        )
    return round(float(np.mean(scores)), 4)


def _rows(given: Any, chosen: npt.NDArray[np.int64]) -> Any:
    return given[chosen] if isinstance(given, np.ndarray) else [given[i] for i in chosen]


def _model(by: str) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if by == "lexicon":
        return make_pipeline(_tfidf(), LogisticRegression(C=3.0, max_iter=300, tol=1e-3))
    power = EMBEDDING_POWER if by == "embedding" else 1.0
    return make_pipeline(StandardScaler(), LogisticRegression(C=power, max_iter=300, tol=1e-3))


def _tfidf() -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(
        tokenizer=list,  # they are tokens already
        preprocessor=None,
        token_pattern=None,
        lowercase=False,
        ngram_range=(1, 2),
        min_df=2,
        sublinear_tf=True,
    )


def _telling_words(
    tokens: list[list[str]], target: npt.NDArray[np.int64]
) -> Mapping[str, list[dict[str, Any]]]:
    """Return the single words with the largest weights for each side; rare ones are passed over."""
    model = _model("lexicon").fit(tokens, target)
    weights = dict(zip(model[0].get_feature_names_out(), model[1].coef_[0].tolist(), strict=True))
    counts = [
        Counter(w for own, t in zip(tokens, target, strict=True) if t == side for w in set(own))
        for side in (0, 1)
    ]
    sizes = [int((target == side).sum()) for side in (0, 1)]
    common = [w for w in weights if " " not in w and counts[0][w] + counts[1][w] >= _LEAST_COUNT]
    common.sort(key=lambda word: (weights[word], word))

    def shown(chosen: list[str], sign: int) -> list[dict[str, Any]]:
        return [
            {
                "word": word,
                "per_1000_real": round(1000 * counts[0][word] / sizes[0], 1),
                "per_1000_synthetic": round(1000 * counts[1][word] / sizes[1], 1),
            }
            for word in chosen
            if sign * weights[word] > 0
        ]

    return {
        "real": shown(common[:_N_WORDS], -1),
        "synthetic": shown(common[::-1][:_N_WORDS], 1),
    }

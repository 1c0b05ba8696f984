"""What the report says of style: how real and synthetic utterances are told apart."""

from collections.abc import Mapping
from typing import Any

from erc_kedro.reporting.tables import Table

_MEANINGS = {
    "length": "the number of words alone",
    "lexicon": "words and pairs of words",
    "embedding": "the features that the classifiers see",
}
_PLAIN = 0.6, 0.75, 0.9
_DEGREES = "hardly told apart", "told apart now and then", "told apart often", "mostly told apart"


def style_sentences(style: Mapping[str, Any]) -> list[str]:
    """Return what was found, in words.

    Args:
        style: As `modelling.style_shift.measure_style_shift` returns it.
    """
    auc = {by: value for by, value in style["auc"].items() if value is not None}
    if not auc:
        return ["Not measured: there are too few dialogues."]
    most = max(auc.values())
    degree = _DEGREES[sum(most >= bound for bound in _PLAIN)]
    parts = [f"{value:.2f} by {_MEANINGS[by]}" for by, value in auc.items()]
    real, synthetic = style["real"], style["synthetic"]
    return [
        f"Real and synthetic utterances are {degree}: the area under the ROC curve of a logistic "
        f"regression is {', '.join(parts)} (0.5 is chance, 1 perfect; {style['folds']}-fold "
        f"cross-validation by dialogue over {real['utterances']:,} utterances of real train and "
        f"{synthetic['utterances']:,} synthetic ones).",
        f"A real utterance has {real['mean_words']:.1f} words on average, a synthetic one "
        f"{synthetic['mean_words']:.1f}.",
    ]


def telling_words(style: Mapping[str, Any]) -> Table:
    """Return the single words that speak most for one side, and how often each stands in both."""
    rows = [
        [
            str(word["word"]),
            "real" if side == "real" else "synthetic",
            f"{word['per_1000_real']:.1f}",
            f"{word['per_1000_synthetic']:.1f}",
        ]
        for side in ("synthetic", "real")
        for word in style[side]["words"]
    ]
    caption = "Words that give an utterance away: how many of 1,000 utterances hold them"
    return Table(caption, ["word", "speaks for", "real train", "synthetic"], rows)

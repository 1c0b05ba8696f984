"""What of the drawn synthetic utterances is learnt, as which label, and how much each weighs.

An utterance that is not learnt gets `labels.OTHER` in place of its emotion: its dialogue keeps it
as context, and it counts nowhere.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from erc_kedro.core.errors import UserError
from erc_kedro.core.labels import OTHER, LabelSet

Floats = npt.NDArray[np.float64]

VERDICTS = ("confidence", "heard", "heard_confidence", "expected", "heard_expected")
"""Columns of the verifier's word on an utterance, beside strategy, seed, dialogue_id and turn: the
probability of the planned label, the most probable label and its probability; and what a model of
the synthetic dialogues gives those two labels (NaN where no recipe asks for it)."""

NEEDS = ("coverage", "errors", "style")
"""Columns of what an utterance is chosen or weighed by, beside the verifier's word: see
`modelling.need`. NaN where no recipe asks for it."""

KEYS = ("dialogue_id", "turn")
"""What tells the utterances of a strategy and a seed apart."""

HEAVIEST = 3.0
"""The most that an utterance weighs, in mean weights."""

_LIGHTEST = 1e-6

_LARGEST_LOG = 20.0


def without_prior(probabilities: Floats, prior: Floats) -> Floats:
    """Return probabilities as they would be if every label were equally common.

    Args:
        probabilities: Shape (rows, labels).
        prior: Label shares of what the classifier was trained on, shape (labels,), above 0.

    Returns:
        Each divided by its label's prior; rows sum to 1.
    """
    raised = probabilities / prior
    return raised / raised.sum(1, keepdims=True)


def no_verdicts() -> pd.DataFrame:
    """Return the table of verdicts without a row."""
    kinds = dict.fromkeys(("strategy", "dialogue_id", "heard"), "str")
    kinds |= dict.fromkeys(("seed", "turn"), "int64")
    names = ("strategy", "seed", *KEYS, *VERDICTS, *NEEDS)
    return pd.DataFrame({n: pd.Series(dtype=kinds.get(n, "float64")) for n in names})


def verdict_table(
    synthetic: pd.DataFrame, quality: Floats, expected: Floats | None, label_set: LabelSet
) -> pd.DataFrame:
    """Return the word on every synthetic utterance: dialogue_id, turn and the columns `VERDICTS`.

    Args:
        synthetic: The utterances, with their planned emotion.
        quality: What the verifier hears, shape (rows, labels).
        expected: What a model of the synthetic dialogues does; None if nobody asks.
        label_set: The corpus's.
    """
    rows = np.arange(len(synthetic))
    planned, heard = label_set.codes(synthetic["emotion"]), quality.argmax(1)
    other = np.full_like(quality, np.nan) if expected is None else expected
    return synthetic[list(KEYS)].assign(
        confidence=quality[rows, planned],
        heard=np.array(label_set.emotions, dtype=object)[heard],
        heard_confidence=quality[rows, heard],
        expected=other[rows, planned],
        heard_expected=other[rows, heard],
    )


def with_verdicts(
    drawn: pd.DataFrame, verdicts: pd.DataFrame | None, names: Sequence[str] = VERDICTS
) -> pd.DataFrame:
    """Return synthetic utterances with columns of the verdicts, in their order.

    Args:
        drawn: Synthetic utterances.
        verdicts: Of one seed.
        names: Columns of `VERDICTS` or `NEEDS`; the first may lack nothing.

    Raises:
        UserError: If one of them has no verdict.
    """
    keys = list(KEYS)
    given = no_verdicts() if verdicts is None else verdicts
    wanted = given.reindex(columns=[*keys, *names])
    found = drawn[keys].merge(wanted, on=keys, how="left", validate="1:1")
    if (missing := found[names[0]].isna()).any():
        raise UserError(
            f"The recipe needs the {names[0]} of synthetic utterances, and it is not there.",
            expected="a verdict on every synthetic utterance of the recipe's strategy",
            found=f"none on {missing.sum():,} of {len(found):,}",
            remedy="run the whole pipeline: the stage verification gives them",
        )
    return drawn.assign(**{name: found[name].to_numpy() for name in names})


def relabelled(drawn: pd.DataFrame, least: float | None) -> pd.DataFrame:
    """Return drawn utterances; where the verifier is sure of what it hears, with that label.

    Args:
        drawn: With the columns `VERDICTS`.
        least: Probability of the heard label from which on it takes the planned one's place, and
            its verdict that of the planned one; None leaves all as they are.
    """
    if least is None:
        return drawn
    surely = drawn["heard_confidence"] >= least
    return drawn.assign(
        emotion=drawn["heard"].where(surely, drawn["emotion"]),
        confidence=drawn["heard_confidence"].where(surely, drawn["confidence"]),
        expected=drawn["heard_expected"].where(surely, drawn["expected"]),
    )


def confident(drawn: pd.DataFrame, least: float) -> pd.DataFrame:
    """Return drawn utterances, those whose label has a confidence below `least` as context."""
    if least <= 0:
        return drawn
    return drawn.assign(emotion=drawn["emotion"].where(drawn["confidence"] >= least, OTHER))


def limited(
    drawn: pd.DataFrame,
    real: pd.DataFrame,
    ratios: Mapping[str, float],
    label_set: LabelSet,
    seed: int,
) -> pd.DataFrame:
    """Return drawn utterances, of each named emotion no more learnt than its ratio allows.

    Args:
        drawn: Synthetic utterances.
        real: The real ones of the same seed.
        ratios: By emotion, synthetic utterances to learn per real one of it.
        label_set: The corpus's.
        seed: Of the choice. A larger ratio keeps what a smaller one kept, and one emotion's ratio
            has no effect on another's choice.
    """
    emotions = drawn["emotion"].to_numpy(dtype=object, copy=True)
    for position, emotion in enumerate(label_set.emotions):
        if emotion in ratios:
            most = int(np.floor(ratios[emotion] * (real["emotion"] == emotion).sum() + 0.5))
            rows = np.flatnonzero(emotions == emotion)
            order = np.random.default_rng([seed, 5, position]).permutation(len(rows))
            emotions[rows[order[most:]]] = OTHER
    kept = pd.Series(emotions, index=drawn.index, dtype=drawn["emotion"].dtype)
    return drawn.assign(emotion=kept) if ratios else drawn


def relative_weights(drawn: pd.DataFrame, weighting: str) -> Floats:
    """Return how much each utterance weighs: mean 1 over those that are learnt, `HEAVIEST` at most.

    Importance is quality over diversity (Guo et al., ICLR 2025: IMP-loss). Style is the square root
    of p(real) / p(synthetic): what is learnt from another distribution weighs by the ratio of the
    two (Shimodaira, 2000), flattened, since few would have most of the weight (Sugiyama et al.,
    2007).

    Args:
        drawn: With the columns `VERDICTS`, for style with that of `NEEDS`, unless the weighting is
            none.
        weighting: As in a recipe.

    Returns:
        Shape (rows,); 1 for what is context.
    """
    weights = np.ones(len(drawn))
    if weighting == "none" or drawn.empty:
        return weights
    learnt = (drawn["emotion"] != OTHER).to_numpy()
    by = "style" if weighting == "style" else "confidence"
    value = drawn[by].to_numpy(dtype=float)
    if weighting == "confidence":
        raw = value
    elif weighting == "doubt":
        raw = 1 - value
    elif weighting == "style":
        raw = np.exp(np.clip(value, -_LARGEST_LOG, _LARGEST_LOG) / 2)
    else:
        raw = value / np.maximum(drawn["expected"].to_numpy(dtype=float), _LIGHTEST)
    weights[learnt] = levelled(raw[learnt])
    return weights


def levelled(raw: Floats, heaviest: float = HEAVIEST) -> Floats:
    """Return weights scaled to the mean 1, none above `heaviest`; their order stays.

    What is cut off goes to the others in proportion.

    Args:
        raw: At least 0, shape (rows,).
        heaviest: Above 1.
    """
    if not len(raw):
        return raw
    n, found = len(raw), np.maximum(raw, _LIGHTEST)
    order = np.argsort(-found, kind="stable")
    falling = found[order]
    below = np.cumsum(falling[::-1])[::-1]  # the sum of each and all lighter ones
    scales = (n - heaviest * np.arange(n)) / below  # with so many of the heaviest cut off
    fits = (scales > 0) & (scales * falling <= heaviest * (1 + 1e-9))
    return np.minimum(found * scales[int(fits.argmax())], heaviest)

"""How hard a dialogue is: by the weighted shifts of emotion in it.

The measure is that of PRC-Emo (Li, Xu, Qiao, Liu: "Do LLMs Feel? Teaching Emotion Recognition with
Prompts, Retrieval, and Curriculum Learning", AAAI 2026, arXiv 2511.07061, equations 1 to 5).
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd

from erc_kedro.core.errors import UserError
from erc_kedro.core.labels import LabelSet

Floats = npt.NDArray[np.float64]

ANGLES: Mapping[str, float] = {
    "peaceful": -9,
    "joy": 27, "joyful": 27, "happy": 27,
    "powerful": 45,
    "excited": 63,
    "surprise": 81,
    "anger": 99, "angry": 99, "mad": 99,
    "disgust": 153,
    "fear": 171, "scared": 171,
    "frustrated": 189,
    "sadness": 261, "sad": 261,
}  # fmt: skip
"""Each emotion's place on the circle of valence (cosine) and arousal (sine), in degrees."""

_SLOPE, _BASE = 1.0, 0.4
"""What a shift adds: slope * similarity of the two emotions + base (the paper's k and b)."""


def shift_weights(label_set: LabelSet) -> Floats:
    """Return what a shift from one emotion to another adds to the difficulty, symmetric.

    The more alike two emotions are, the harder their shift is to notice: alike by the cosine of
    their angles if their valences agree in sign, not at all if they disagree, and by 1 / labels if
    one of them is neutral.

    Args:
        label_set: The corpus's.

    Returns:
        Shape (labels, labels), 0 on the diagonal.

    Raises:
        UserError: If an emotion has no angle.
    """
    names = label_set.emotions
    if missing := [name for name in names if name not in (*ANGLES, label_set.neutral)]:
        raise UserError(
            "Not every emotion has a place on the valence-arousal circle.",
            where=f"schedule: easy_first, label set {label_set.name!r}",
            expected=f"emotions among {', '.join((label_set.neutral, *ANGLES))}",
            found=", ".join(missing),
            remedy="add their angles to ANGLES in core/difficulty.py, or leave easy_first out "
            "(of a study by study.ablation.changes.easy_first=null)",
        )
    neutral = np.array([name == label_set.neutral for name in names])
    angles = np.radians([ANGLES.get(name, 0.0) for name in names])
    alike = np.maximum(np.cos(angles[:, None] - angles), 0)
    alike *= np.sign(np.cos(angles))[:, None] == np.sign(np.cos(angles))
    alike[neutral[:, None] | neutral] = 1 / len(label_set)
    weights = _SLOPE * alike + _BASE
    np.fill_diagonal(weights, 0)
    return weights


def difficulties(table: pd.DataFrame, label_set: LabelSet) -> pd.Series:
    """Return the difficulty of every dialogue.

    (shifts of one speaker + shifts between speakers + speakers) / (utterances + speakers). The
    first are those from one utterance of a speaker to the next, whoever speaks in between; the
    second those between adjacent utterances of different speakers. Utterances of `labels.OTHER` do
    not count: the speaker's next one follows the last before it, and it is adjacent to none.

    Args:
        table: Dialogue table; a dialogue's rows follow each other in order.
        label_set: The corpus's.

    Returns:
        float64 by dialogue id, in the table's order; infinite without an utterance that counts.

    Raises:
        UserError: As `shift_weights`.
    """
    weights = np.pad(shift_weights(label_set), (0, 1))  # what is OTHER shifts to nothing
    codes = label_set.codes(table["emotion"], other=len(label_set))
    dialogue, ids = pd.factorize(table["dialogue_id"])
    speaker = table.groupby(["dialogue_id", "speaker"], sort=False).ngroup().to_numpy()
    counts = codes < len(label_set)
    own = np.flatnonzero(counts)[np.argsort(speaker[counts], kind="stable")]
    shifts = np.zeros(len(ids))
    rows = np.arange(len(codes))
    for order, follows in (
        (own, speaker[own[1:]] == speaker[own[:-1]]),
        (rows, (dialogue[1:] == dialogue[:-1]) & (speaker[1:] != speaker[:-1])),
    ):
        before, after = order[:-1][follows], order[1:][follows]
        np.add.at(shifts, dialogue[after], weights[codes[before], codes[after]])
    utterances = np.bincount(dialogue[counts], minlength=len(ids))
    first = ~pd.Series(speaker[counts]).duplicated().to_numpy()
    speakers = np.bincount(dialogue[counts][first], minlength=len(ids))
    with np.errstate(invalid="ignore"):
        found = (shifts + speakers) / (utterances + speakers)
    return pd.Series(np.where(utterances > 0, found, np.inf), index=ids, name="difficulty")


def easier_half(table: pd.DataFrame, label_set: LabelSet, seed: int) -> set[str]:
    """Return the ids of the easier half of the dialogues that hold an utterance that counts.

    Args:
        table: Dialogue table.
        label_set: The corpus's.
        seed: Of the order among dialogues of the same difficulty, of which there are many.

    Returns:
        Half of them, rounded up.

    Raises:
        UserError: As `shift_weights`.
    """
    found = difficulties(table, label_set)
    found = found[np.isfinite(found)]
    chance = np.random.default_rng([seed, 7]).permutation(len(found))
    order = np.lexsort([chance, found.to_numpy().round(9)])
    return set(found.index[order[: -(-len(found) // 2)]])

"""One emotion made rarer in real dialogues, and given back by other means at equal counts."""

import numpy as np
import pandas as pd

from erc_kedro.core.labels import OTHER
from erc_kedro.core.study import Imbalance


def rarest(train: pd.DataFrame, emotions: tuple[str, ...], n: int) -> list[str]:
    """Return the n emotions that real train has fewest of, the rarest first; none that it lacks."""
    counts = train["emotion"].value_counts()
    there = [emotion for emotion in emotions if counts.get(emotion, 0)]
    return sorted(there, key=lambda emotion: counts[emotion])[:n]


def unbalance(
    real: pd.DataFrame, synthetic: pd.DataFrame, imbalance: Imbalance, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return a training set in which one emotion is rarer, and given back as asked.

    What is added holds the emotion alone: every other utterance of an added dialogue is context
    (`labels.OTHER`), so counts of the other emotions stay as they are.

    Args:
        real: Real dialogues of one seed.
        synthetic: The accepted synthetic dialogues, with a column `strategy`.
        imbalance: Emotion, share, and how it is given back.
        seed: Same seed, same training set; a smaller share keeps a part of what a larger one does.

    Returns:
        The training set with columns `seed` and `weight`; and the real dialogues in it.
    """
    thinned = thin(real, imbalance.emotion, imbalance.share, seed)
    pool = synthetic
    if imbalance.strategy != "all":
        pool = synthetic[synthetic["strategy"] == imbalance.strategy]
    there = int((pool["emotion"] == imbalance.emotion).sum())
    kept = int((thinned["emotion"] == imbalance.emotion).sum())
    former = int((real["emotion"] == imbalance.emotion).sum())
    n = there if imbalance.up_to == "all" else min(former - kept, there)
    mixed = thinned.assign(weight=1.0)
    if imbalance.how == "weighted" and kept:
        factor = (kept + n * imbalance.loss_weight) / kept
        mixed["weight"] = np.where(mixed["emotion"] == imbalance.emotion, factor, 1.0)
    elif imbalance.how == "synthetic":
        mixed = _with(mixed, _only(pool, imbalance.emotion, n, seed), imbalance)
    elif imbalance.how == "repeated" and kept:
        copies, rest, number = [], n, 2
        while rest:  # a whole round of copies, then a part of one
            copied = _only(thinned, imbalance.emotion, min(rest, kept), seed + number)
            names = copied["dialogue_id"] + f"#{number}"
            copies.append(copied.assign(dialogue_id=names, source="repeated"))
            rest, number = rest - min(rest, kept), number + 1
        if copies:
            mixed = _with(mixed, pd.concat(copies, ignore_index=True), imbalance)
    return mixed.assign(seed=seed).reset_index(drop=True), thinned


def thin(real: pd.DataFrame, emotion: str, share: float, seed: int) -> pd.DataFrame:
    """Return real dialogues in which a share of one emotion's utterances keeps its label.

    The others become context alone; at least one is kept.
    """
    rows = np.flatnonzero(real["emotion"] == emotion)
    n = max(1, round(share * len(rows)))
    dropped = np.random.default_rng([seed, 5]).permutation(rows)[n:]
    emotions = real["emotion"].to_numpy(dtype=object, copy=True)
    emotions[dropped] = OTHER
    return real.assign(emotion=pd.Series(emotions, index=real.index, dtype="str"))


def _with(mixed: pd.DataFrame, added: pd.DataFrame, imbalance: Imbalance) -> pd.DataFrame:
    weighted = added.assign(weight=imbalance.loss_weight)
    return pd.concat([mixed, weighted], ignore_index=True) if len(added) else mixed


def _only(table: pd.DataFrame, emotion: str, n: int, seed: int) -> pd.DataFrame:
    """Return dialogues with n utterances of an emotion together; all else in them is context."""
    rows = table.reset_index(drop=True)
    holding = rows["dialogue_id"][rows["emotion"] == emotion].unique()
    order = np.random.default_rng([seed, 6]).permutation(len(holding))
    rank = pd.Series(np.arange(len(holding)), index=holding[order])
    place = rows["dialogue_id"].map(rank)
    wanted = rows[place.notna()].assign(place=place).sort_values("place", kind="stable")
    hit = (wanted["emotion"] == emotion).to_numpy()
    counted = hit & (np.cumsum(hit) <= n)
    emotions = pd.Series(np.where(counted, emotion, OTHER), index=wanted.index, dtype="str")
    used = set(wanted["dialogue_id"][counted])
    wanted = wanted.assign(emotion=emotions).drop(columns="place")
    return wanted[wanted["dialogue_id"].isin(used)].reset_index(drop=True)

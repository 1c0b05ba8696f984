"""What a released data set holds, and what is told of it beside real train."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from erc_kedro.core.dialogue import words
from erc_kedro.core.errors import UserError
from erc_kedro.core.overlap import NearDuplicates, TextIndex, copy_key, ngrams

COLUMNS = (
    "dialogue_id", "turn", "speaker", "text", "emotion",
    "strategy", "scenario", "relation", "setting",
)  # fmt: skip
"""Columns of the released tables, in order."""

REAL = "real train"
"""What the real side is called beside the strategies."""

ALL = "all"
"""What all strategies together are called."""

_OF_SPEC = ("scenario", "relation", "setting")


def release_tables(
    synthetic: pd.DataFrame, candidates: Sequence[Mapping[str, Any]]
) -> dict[str, pd.DataFrame]:
    """Return the tables to be released: by strategy, one row per utterance, columns `COLUMNS`.

    Args:
        synthetic: The accepted dialogues.
        candidates: As `core.writing.write_rounds` returns them: they tell what every dialogue was
            asked to be about; what was not asked for is null.

    Raises:
        UserError: If no dialogue was accepted.
    """
    if synthetic.empty:
        raise UserError(
            "There is nothing to release.",
            expected="accepted synthetic dialogues",
            found="none",
            remedy="ask for some (generation.dialogues)",
        )
    specs = {candidate["spec"]["id"]: candidate["spec"] for candidate in candidates}
    asked = {
        name: [specs[dialogue_id].get(name) for dialogue_id in synthetic["dialogue_id"]]
        for name in _OF_SPEC
    }
    released = synthetic.assign(**asked)[list(COLUMNS)]
    return {
        str(strategy): rows.reset_index(drop=True)
        for strategy, rows in released.groupby("strategy", sort=True)
    }


def lengths(table: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return how long a dialogue table's parts are, by name of the measure.

    Returns:
        "words per turn" of every utterance, "turns per dialogue" and "speakers per dialogue" of
        every dialogue, int64.
    """
    groups = table.groupby("dialogue_id", sort=False)
    return {
        "words per turn": table["text"].map(lambda text: len(words(text))).to_numpy(np.int64),
        "turns per dialogue": groups.size().to_numpy(np.int64),
        "speakers per dialogue": groups["speaker"].nunique().to_numpy(np.int64),
    }


def repetition(table: pd.DataFrame) -> dict[str, float]:
    """Return how much a dialogue table repeats itself, as shares.

    Returns:
        "near_duplicates": dialogues whose word trigrams overlap with an earlier one's by a Jaccard
        index of a half or more (two thirds are shared, if both are of one length);
        "repeated_utterances": utterances of four or more words that stood there before.
    """
    near, found = NearDuplicates(), 0
    dialogues = {str(i): list(rows["text"]) for i, rows in table.groupby("dialogue_id", sort=False)}
    for dialogue_id, texts in dialogues.items():
        found += near.nearest(texts) is not None
        near.add(dialogue_id, texts)
    keys = table["text"].map(copy_key).dropna()
    return {
        "near_duplicates": found / max(len(dialogues), 1),
        "repeated_utterances": float(keys.duplicated().mean()) if len(keys) else 0.0,
    }


def copying(table: pd.DataFrame, real: TextIndex) -> dict[str, float]:
    """Return how much of a dialogue table stands in real text.

    Returns:
        "copied_utterances": share of the utterances of four or more words; "fivegrams": share of
        the distinct five-grams; "dialogues": how many overlap (`TextIndex.overlaps`).
    """
    texts = list(table["text"])
    long = sum(copy_key(text) is not None for text in texts)
    grams = set().union(*(ngrams(words(text), 5) for text in texts))
    groups = table.groupby("dialogue_id", sort=False)["text"]
    return {
        "copied_utterances": len(real.copied(texts)) / max(long, 1),
        "fivegrams": len(grams & real.fivegrams) / max(len(grams), 1),
        "dialogues": sum(real.overlaps(list(own)) for _, own in groups),
    }


def agreement(table: pd.DataFrame, second_labels: pd.DataFrame) -> dict[str, float] | None:
    """Return how far a second labeller agrees with the planned emotions.

    Args:
        table: Synthetic dialogues, with columns dialogue_id, turn and emotion.
        second_labels: What was heard: the same columns; of other dialogues it is passed over.

    Returns:
        "utterances" labelled twice, the share of them that "agree", and Cohen's "kappa" (Cohen,
        1960); None if there is none.
    """
    from sklearn.metrics import cohen_kappa_score

    keys = ["dialogue_id", "turn"]
    both = table[[*keys, "emotion"]].merge(second_labels, on=keys, suffixes=("", "_heard"))
    if both.empty:
        return None
    same = both["emotion"] == both["emotion_heard"]
    kappa = 1.0 if same.all() else cohen_kappa_score(both["emotion"], both["emotion_heard"])
    return {"utterances": len(both), "agree": float(same.mean()), "kappa": float(kappa)}


def check_held_out(table: pd.DataFrame, held_out: Mapping[str, TextIndex]) -> None:
    """Refuse to release what overlaps with dev or test of a corpus.

    Args:
        table: Synthetic dialogues.
        held_out: Texts of dev and test, by corpus.

    Raises:
        UserError: Naming the dialogues; the texts themselves are not shown.
    """
    groups = table.groupby("dialogue_id", sort=False)["text"]
    found = [
        str(dialogue_id)
        for dialogue_id, own in groups
        if any(index.overlaps(list(own)) for index in held_out.values())
    ]
    if found:
        raise UserError(
            "Synthetic dialogues overlap with real dev or test: nothing is released.",
            expected="no utterance of four or more words, and no three five-grams, in common",
            found=f"{len(found)} dialogues, such as {', '.join(found[:5])}",
            remedy="make the synthetic dialogues anew: kedro run --pipeline=generate_<corpus>",
        )

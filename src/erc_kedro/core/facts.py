"""Facts about dialogues as tables, so that ordinary expectations can be held against them."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from erc_kedro.core.labels import LabelSet
from erc_kedro.core.overlap import copy_key
from erc_kedro.core.specs import DialogueSpec


def structure_facts(table: pd.DataFrame) -> pd.DataFrame:
    """Return one row per dialogue of a dialogue table.

    Columns: dialogue_id, n_turns, first_turn, turn_gaps (turn numbers missing or out of order),
    n_speakers, repeated_utterances (of four or more words).
    """
    keyed = table.assign(key=table["text"].map(copy_key))
    groups = keyed.groupby("dialogue_id", sort=False)
    steps = groups["turn"].diff().fillna(1).ne(1)
    repeats = keyed["key"].notna() & keyed.duplicated(["dialogue_id", "key"])
    return pd.DataFrame(
        {
            "n_turns": groups.size(),
            "first_turn": groups["turn"].first(),
            "turn_gaps": steps.groupby(keyed["dialogue_id"], sort=False).sum(),
            "n_speakers": groups["speaker"].nunique(),
            "repeated_utterances": repeats.groupby(keyed["dialogue_id"], sort=False).sum(),
        }
    ).reset_index()


def plan_facts(table: pd.DataFrame, specs: Mapping[str, DialogueSpec]) -> pd.DataFrame:
    """Return the structure facts of synthetic dialogues beside what was planned.

    Further columns: turns_off_plan, speakers_off_plan (differences), emotions_off_plan (turns).
    """
    facts = structure_facts(table)
    emotions = table.groupby("dialogue_id", sort=False)["emotion"].agg(list)
    planned = [specs[dialogue_id] for dialogue_id in facts["dialogue_id"]]
    return facts.assign(
        turns_off_plan=facts["n_turns"] - [len(spec.emotions) for spec in planned],
        speakers_off_plan=facts["n_speakers"] - [spec.n_speakers for spec in planned],
        emotions_off_plan=[
            sum(a != b for a, b in zip(emotions[spec.id], spec.emotions, strict=False))
            for spec in planned
        ],
    )


def strategy_facts(
    accepted: pd.DataFrame, specs: Sequence[DialogueSpec], label_set: LabelSet
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return what became of each strategy's plan.

    Returns:
        One row per strategy (strategy, planned, accepted, accepted_share: dialogues), and one
        row per strategy and emotion (strategy, emotion, share, target, deviation; the target is
        the share among the selected specs).
    """
    counts, shares = [], []
    for strategy in dict.fromkeys(spec.strategy for spec in specs):
        own = [spec for spec in specs if spec.strategy == strategy]
        rows = accepted[accepted["strategy"] == strategy]
        n = rows["dialogue_id"].nunique()
        counts.append((strategy, len(own), n, n / len(own)))
        target = label_set.shares(emotion for spec in own for emotion in spec.emotions)
        share = label_set.shares(rows["emotion"])
        shares += [
            (strategy, emotion, float(share[i]), float(target[i]), float(np.abs(share - target)[i]))
            for i, emotion in enumerate(label_set.emotions)
        ]
    return (
        pd.DataFrame(counts, columns=["strategy", "planned", "accepted", "accepted_share"]),
        pd.DataFrame(shares, columns=["strategy", "emotion", "share", "target", "deviation"]),
    )

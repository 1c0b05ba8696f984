"""Builders of small dialogue tables and specs, for all tests."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from erc_kedro.core.dialogue import Dialogue, Turn, dialogue_table
from erc_kedro.core.labels import LabelSet
from erc_kedro.core.specs import DialogueSpec

EMOTIONS = ("neutral", "joy", "surprise", "anger", "sadness", "disgust", "fear")
LABELS = LabelSet("toy", EMOTIONS)


def make_dialogue(dialogue_id: str, *turns: tuple[str, str, str]) -> Dialogue:
    """Return a dialogue from (speaker, text, emotion) triples."""
    return Dialogue(dialogue_id, tuple(Turn(*turn) for turn in turns))


def make_table(
    emotions: Mapping[str, Sequence[str]],
    *,
    source: str = "real",
    n_speakers: int = 2,
    **columns: Any,
) -> pd.DataFrame:
    """Return a dialogue table from the emotions of every dialogue; speakers take turns.

    Texts are unique over the table ("words of <id> <turn>").
    """
    dialogues = [
        make_dialogue(
            name,
            *((f"S{i % n_speakers}", f"words of {name} {i}", e) for i, e in enumerate(own)),
        )
        for name, own in emotions.items()
    ]
    return dialogue_table(dialogues, source).assign(**columns)


def table_of_lengths(
    prefix: str, lengths: Sequence[int], *, source: str = "real", **columns: Any
) -> pd.DataFrame:
    """Return a table with dialogues of given lengths, emotions cycling through the label set."""
    emotions = {
        f"{prefix}-{number}": [EMOTIONS[(number + i) % len(EMOTIONS)] for i in range(length)]
        for number, length in enumerate(lengths)
    }
    return make_table(emotions, source=source, **columns)


def make_spec(dialogue: Dialogue, *, strategy: str = "balanced", **changes: Any) -> DialogueSpec:
    """Return the spec that a dialogue fulfils exactly, with changes."""
    position = {name: number for number, name in enumerate(dialogue.speakers)}
    values: dict[str, Any] = {
        "id": dialogue.id,
        "strategy": strategy,
        "scenario": "a missed train",
        "n_speakers": len(position),
        "emotions": tuple(turn.emotion for turn in dialogue.turns),
        "speaker_order": tuple(position[turn.speaker] for turn in dialogue.turns),
    }
    return DialogueSpec(**(values | changes))


def sticky_table(n_dialogues: int, seed: int = 0, stay: float = 0.6) -> pd.DataFrame:
    """Return a made corpus: skewed label shares, emotions that tend to stay, 1 to 4 speakers.

    A turn keeps the emotion of the turn before with probability `stay`, or else is drawn anew.
    """
    rng = np.random.default_rng(seed)
    shares = np.array([0.46, 0.18, 0.12, 0.1, 0.07, 0.04, 0.03])
    dialogues = []
    for number in range(n_dialogues):
        n_turns, n_speakers = int(rng.integers(1, 13)), int(rng.integers(1, 5))
        emotion, turns = "", []
        for turn in range(n_turns):
            if not emotion or rng.random() >= stay:
                emotion = str(rng.choice(EMOTIONS, p=shares))
            turns.append((f"S{rng.integers(n_speakers)}", f"words of {number} {turn}", emotion))
        dialogues.append(make_dialogue(f"train-{number}", *turns))
    return dialogue_table(dialogues, "real")

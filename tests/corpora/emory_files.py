"""The sample's dialogues as if they were EmoryNLP's, in either layout."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from erc_kedro.corpora import CORPORA
from erc_kedro.corpora.folder import read_raw

HEADER = (
    "Utterance", "Speaker", "Emotion", "Scene_ID", "Utterance_ID", "Season", "Episode",
    "Start_Time", "End_Time",
)  # fmt: skip
NAMES = {
    "csv": "emorynlp_{}_final.csv",
    "json": "emotion-detection-{}.json",
}
SHORT = {"train": "trn", "dev": "dev", "test": "tst"}
EMOTIONS = {
    "joy": "Joyful", "surprise": "Powerful", "anger": "Mad", "sadness": "Sad",
    "disgust": "Peaceful", "fear": "Scared", "neutral": "Neutral",
}  # fmt: skip


class Row(NamedTuple):
    season: Any
    episode: Any
    scene: Any
    number: Any
    speakers: Any
    emotion: str
    text: str


def write_csv(path: Path, rows: Sequence[Row]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(HEADER)
        for season, episode, scene, number, speakers, emotion, text in rows:
            key = (scene, number, season, episode)
            writer.writerow((text, str(speakers), emotion, *key, "00:00:01.000", "00:00:02.000"))
    return path


def write_json(path: Path, rows: Sequence[Row]) -> Path:
    episodes: dict[str, dict[str, list[Any]]] = {}
    for season, episode, scene, number, speakers, emotion, text in rows:
        in_episode = f"s{season:02}_e{episode:02}"
        in_scene = f"{in_episode}_c{scene:02}"
        episodes.setdefault(in_episode, {}).setdefault(in_scene, []).append(
            {
                "utterance_id": f"{in_scene}_u{number:03}",
                "speakers": speakers,
                "transcript": text,
                "tokens": [text.split()],
                "emotion": emotion,
            }
        )
    release = {
        "episodes": [
            {
                "episode_id": name,
                "scenes": [{"scene_id": s, "utterances": u} for s, u in scenes.items()],
            }
            for name, scenes in episodes.items()
        ]
    }
    path.write_text(json.dumps(release), encoding="utf-8")
    return path


def write_emorynlp(folder: Path, layout: str, at_most: int = 120) -> Path:
    """Write all splits, of so many dialogues at most, and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, whole in read_raw(CORPORA["meld"], folder / "none").splits.items():
        table = whole[pd.factorize(whole["dialogue_id"])[0] < at_most]
        if layout == "csv":
            write_csv(folder / NAMES["csv"].format(split), _rows(table))
        else:
            write_json(folder / NAMES["json"].format(SHORT[split]), _rows(table))
    return folder


def _rows(table: pd.DataFrame) -> list[Row]:
    scenes = pd.factorize(table["dialogue_id"])[0]
    return [
        Row(
            1 + scene // 60,
            1 + scene // 12,
            1 + scene % 12,
            turn + 1 + scene % 3,  # begins late, as the real one does
            [speaker, "Zoe Day"] if scene % 20 == 7 else [speaker],
            EMOTIONS[emotion],
            text,
        )
        for scene, turn, speaker, emotion, text in zip(
            scenes.tolist(), table["turn"], table["speaker"], table["emotion"],
            table["original_text"], strict=True,
        )
    ]  # fmt: skip

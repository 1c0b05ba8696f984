"""EmoryNLP (Zahiri and Choi, 2018): scenes of the TV series Friends, seven emotions.

Two layouts: the CSV files of MELD's authors (the scenes that they found in the video), and the
original JSON release (all scenes). The same scene gives the same dialogue in both.
"""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from erc_kedro.core.corpus import SPLITS, Corpus, file_per_split
from erc_kedro.core.errors import UserError
from erc_kedro.core.labels import LabelSet
from erc_kedro.corpora.tables import finish_table, place_in, read_table, whole_numbers

LABELS = LabelSet("emorynlp", ("neutral", "joyful", "peaceful", "powerful", "scared", "mad", "sad"))

_KEY = ("Season", "Episode", "Scene_ID")
_COLUMNS = (*_KEY, "Utterance_ID", "Speaker", "Utterance", "Emotion")
_UTTERANCE_ID = re.compile(r"s(\d+)_e(\d+)_c(\d+)_u(\d+)")


def read_csv(path: Path, split: str) -> tuple[pd.DataFrame, list[str]]:
    """Read one split of the CSV layout.

    Returns:
        The dialogue table (with season, episode, scene, speakers, utterance_id and
        original_text), and what the file lacks or repeats. A dialogue is a scene of an episode.
        Those who speak at once are one speaker, "A and B" by the alphabet; `speakers` keeps them
        apart, as a JSON list.

    Raises:
        UserError: If the file is not such a table; the message says where and why.
    """
    return _table(read_table(path, _COLUMNS), path, split)


def read_json(path: Path, split: str) -> tuple[pd.DataFrame, list[str]]:
    """Read one split of the original JSON layout.

    Returns:
        As `read_csv`.

    Raises:
        UserError: If the file is no such release; the message names scene and utterance.
    """
    try:
        release = json.loads(path.read_bytes().decode("utf-8-sig"))
    except ValueError as error:  # no UTF-8, or no JSON
        raise UserError(
            "The file is no JSON in UTF-8.",
            where=str(path),
            found=str(error),
            remedy="fetch the official file again",
        ) from error
    rows = list(_utterances(release, path))
    if not rows:
        raise UserError("The split has no utterances.", where=str(path), found="no scene with any")
    return _table(pd.DataFrame(rows, columns=["line", *_COLUMNS]), path, split)


def _utterances(release: Any, path: Path) -> Iterator[tuple[Any, ...]]:
    """Yield the place of each utterance, and what the CSV layout has in its columns."""
    for episode in _field(release, "episodes", list, str(path)):
        for scene in _field(episode, "scenes", list, f"{path}, an episode"):
            in_scene = f"scene {_field(scene, 'scene_id', str, f'{path}, a scene')}"
            for utterance in _field(scene, "utterances", list, f"{path}, {in_scene}"):
                name = _field(utterance, "utterance_id", str, f"{path}, {in_scene}")
                line = f"{in_scene}, utterance {name}"
                where = f"{path}, {line}"
                if not (numbers := _UTTERANCE_ID.fullmatch(name)):
                    raise UserError(
                        "The utterance id has another form.",
                        where=where,
                        expected="such as s01_e02_c03_u004",
                        found=repr(name),
                    )
                yield (
                    line,
                    *numbers.groups(),
                    _field(utterance, "speakers", list, where),
                    _field(utterance, "transcript", str, where),
                    _field(utterance, "emotion", str, where),
                )


def _field(holder: Any, name: str, kind: type, where: str) -> Any:
    """Return a field of a JSON object, which must be of its kind."""
    found = holder.get(name) if isinstance(holder, dict) else holder
    if not isinstance(holder, dict) or not isinstance(found, kind):
        raise UserError(
            "A field is missing or of another kind.",
            where=where,
            expected=f'"{name}": {"[...]" if kind is list else "text"}',
            found=repr(found)[:80],
            remedy="fetch the official file again",
        )
    return found


def _table(raw: pd.DataFrame, path: Path, split: str) -> tuple[pd.DataFrame, list[str]]:
    """Make the dialogue table of the CSV layout's columns."""
    key = pd.DataFrame({name: whole_numbers(raw, name, name, path) for name in _KEY})
    speakers = [
        _names(found, place_in(path, line))
        for found, line in zip(raw["Speaker"], raw["line"], strict=True)
    ]
    table = pd.DataFrame(
        {
            "line": raw["line"],
            "dialogue_id": [
                f"{split}-s{season:02}_e{episode:02}_c{scene:02}"
                for season, episode, scene in key.itertuples(index=False)
            ],
            "utterance_id": raw["Utterance_ID"],
            "speaker": [" and ".join(names) for names in speakers],
            "original_text": raw["Utterance"],
            "emotion": raw["Emotion"],
            "season": key["Season"].astype("str"),
            "episode": key["Episode"].astype("str"),
            "scene": key["Scene_ID"].astype("str"),
            "speakers": [json.dumps(names, ensure_ascii=False) for names in speakers],
        }
    )
    return finish_table(table, LABELS, path)


def _names(found: Any, where: str) -> list[str]:
    """Return who speaks, by the alphabet, from a list or (in the CSV layout) its literal."""
    try:
        names = ast.literal_eval(found) if isinstance(found, str) else found
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        names = None
    known = isinstance(names, list) and all(isinstance(n, str) and n.strip() for n in names)
    if known and names:
        return sorted(names)
    raise UserError(
        "The speakers are no list of names.",
        where=where,
        expected="['Ann'], or ['Ann', 'Bo'] for both at once",
        found=repr(found)[:80],
    )


_CSV = file_per_split(
    "csv",
    files={split: f"emorynlp_{split}_final.csv" for split in SPLITS},
    read=read_csv,
    checksums={
        "emorynlp_train_final.csv": (
            "462c66c333783adb801836d12d1424f48489bef4fb8ddfec7fbb2f08ce8211d5"
        ),
        "emorynlp_dev_final.csv": (
            "20edc9d5917fe705b17b849f7f288e495d4132a60353a6247c3800445bdf8734"
        ),
        "emorynlp_test_final.csv": (
            "dbc4b5638acd12c92a5f48def829e04f1c765cddffb4eedbe34216312e0d2d78"
        ),
    },
)

_JSON = file_per_split(
    "json",
    files={
        "train": "emotion-detection-trn.json",
        "dev": "emotion-detection-dev.json",
        "test": "emotion-detection-tst.json",
    },
    read=read_json,
)

EMORYNLP = Corpus(
    name="emorynlp",
    label_set=LABELS,
    layouts=(_CSV, _JSON),
    address="https://raw.githubusercontent.com/declare-lab/MELD/master/data/emorynlp/",
    licence="Apache-2.0 (EmoryNLP)",
    agreement="low by the word of its authors (the corpus's project page)",
)

"""Files in the two layouts of IEMOCAP, with invented texts."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ORDER = ("hap", "sad", "neu", "ang", "exc", "fru")
EMOTIONS = ("happy", "sad", "neutral", "angry", "excited", "frustrated")
CODES = (*ORDER, "xxx", "sur", "fea", "dis", "oth")
HEADER = "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n"


@dataclass(frozen=True)
class Said:
    """An utterance; `votes` as in the files, one text per annotator."""

    gender: str
    text: str
    code: str
    votes: tuple[str, ...] = ("Neutral;",)
    means: tuple[float, float, float] = (2.5, 3.0, 2.0)


Scenes = dict[str, list[Said]]


def scenes(n_per_session: int = 6, turns: int = 8, seed: int = 0) -> Scenes:
    """Return invented scenes of five sessions; every code stands in them, unlabelled ones too."""
    rng = np.random.default_rng(seed)
    made: Scenes = {}
    for session in range(1, 6):
        for number in range(n_per_session):
            name = f"Ses0{session}{'FM'[number % 2]}_impro{number:02d}"
            made[name] = [
                Said("FM"[int(rng.integers(2))], f"Invented {code} words {name} {turn}.", code)
                for turn, code in enumerate(rng.choice(CODES, size=turns))
            ]
    return made


def ids_of(name: str, said: Sequence[Said]) -> list[str]:
    """Return the utterance ids of a scene, numbered for each gender as in the release."""
    count = dict.fromkeys("FM", -1)
    ids = []
    for one in said:
        count[one.gender] += 1
        ids.append(f"{name}_{one.gender}{count[one.gender]:03d}")
    return ids


def transcription(name: str, said: Sequence[Said]) -> str:
    return "".join(
        f"{own} [{turn + 0.25:08.4f}-{turn + 1.5:08.4f}]: {one.text}\n"
        for turn, (own, one) in enumerate(zip(ids_of(name, said), said, strict=True))
    )


def evaluation(name: str, said: Sequence[Said]) -> str:
    blocks = [
        f"[{turn + 0.25:.4f} - {turn + 1.5:.4f}]\t{own}\t{one.code}\t"
        f"[{one.means[0]:.4f}, {one.means[1]:.4f}, {one.means[2]:.4f}]\n"
        + "".join(f"C-E{i + 2}:\t{vote}\t()\n" for i, vote in enumerate(one.votes))
        + f"C-{one.gender}1:\tSurprise;\t(as I said)\nA-E3:\tval 3; act 2; dom  2;\t()\n"
        for turn, (own, one) in enumerate(zip(ids_of(name, said), said, strict=True))
    ]
    return HEADER + "\n".join(blocks[::-1])  # its order says nothing


def place(folder: Path, name: str, kind: str = "transcriptions") -> Path:
    """Return the path of a scene's transcription or, as `kind`, "EmoEvaluation"."""
    return folder / f"Session{name[4]}" / "dialog" / kind / f"{name}.txt"


def write_official(folder: Path, made: Scenes) -> Path:
    for name, said in made.items():
        for kind, text in (("transcriptions", transcription), ("EmoEvaluation", evaluation)):
            path = place(folder, name, kind)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text(name, said), encoding="utf-8")
            (path.parent / f"._{path.name}").write_bytes(b"\x00\x05\x16\x07 Mac OS X \xff")
    return folder


def cut(made: Scenes) -> dict[str, list[str]]:
    """Return the ids of every split: session 5, and every tenth of the others."""
    early = sorted(name for name in made if not name.startswith("Ses05"))
    dev = [name for i, name in enumerate(early, start=1) if i % 10 == 0]
    test = sorted(name for name in made if name.startswith("Ses05"))
    return {"train": [name for name in early if name not in dev], "dev": dev, "test": test}


def write_json(folder: Path, made: Scenes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for split, names in cut(made).items():
        dialogues = {
            name: {
                "labels": [ORDER.index(one.code) if one.code in ORDER else -1 for one in own],
                "sentences": [one.text for one in own],
                "genders": [one.gender for one in own],
            }
            for name in names
            for own in [made[name]]
        }
        file = {"dev": "valid"}.get(split, split)
        (folder / f"iemocap.{file}.json").write_text(json.dumps(dialogues), encoding="utf-8")
    return folder

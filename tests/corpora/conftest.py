"""Files in MELD's layout, made to order."""

import csv
import hashlib
import io
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

HEADER = (
    "Sr No.", "Utterance", "Speaker", "Emotion", "Sentiment", "Dialogue_ID", "Utterance_ID",
    "Season", "Episode", "StartTime", "EndTime",
)  # fmt: skip

Row = tuple[int, int, str, str, str]
"""Dialogue_ID, Utterance_ID, Speaker, Emotion, Utterance."""

ROWS: tuple[Row, ...] = (
    (0, 0, "Ann", "joy", "Look, I found it, finally!"),
    (0, 1, "Bo", "surprise", 'The "lost" one, really?'),
    (0, 2, "Ann", "neutral", "It lay in the car."),
    (1, 0, "Cy", "anger", "You broke my cup."),
    (1, 1, "Bo", "sadness", "I am so sorry about it."),
)


def meld_csv(rows: Sequence[Row] = ROWS, header: Sequence[str] = HEADER) -> str:
    out = io.StringIO()
    out.write(",".join(header) + "\r\n")
    writer = csv.writer(out, lineterminator="\r\n")
    for number, (dialogue, utterance, speaker, emotion, text) in enumerate(rows, start=1):
        times = (f"00:00:0{number % 10},100", f"00:00:0{number % 10},900")
        writer.writerow(
            (number, text, speaker, emotion, "neutral", dialogue, utterance, 1, 2, *times)
        )
    return out.getvalue()


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write one split and return its path; `rows` in MELD's layout, or `content` as it is."""

    def write_split(
        rows: Sequence[Row] = ROWS,
        *,
        content: str | bytes | None = None,
        header: Sequence[str] = HEADER,
    ) -> Path:
        path = tmp_path / "train_sent_emo.csv"
        made = meld_csv(rows, header) if content is None else content
        path.write_bytes(made.encode() if isinstance(made, str) else made)
        return path

    return write_split


@pytest.fixture
def official(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """A folder with three files as if from the official release, and their checksums."""
    folder = tmp_path / "official"
    folder.mkdir()
    checksums = {}
    for i, split in enumerate(("train", "dev", "test")):
        name = f"{split}_sent_emo.csv"
        text = meld_csv([*ROWS, (2, 0, "Dee", "fear", f"Who is number {i}?")])
        (folder / name).write_bytes(text.encode())
        checksums[name] = hashlib.sha256(text.encode()).hexdigest()
    return folder, checksums

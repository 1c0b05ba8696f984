"""The feature store: every distinct text encoded once, kept on disk, read by memory map."""

import hashlib
import logging
import os
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd
from filelock import FileLock

from erc_kedro.core.errors import UserError
from erc_kedro.core.progress import counting
from erc_kedro.modelling.files import replacing

logger = logging.getLogger(__name__)

Matrix = npt.NDArray[np.float32]

_BLOCK = 2048


class TextEncoder(Protocol):
    """What the store needs of an encoder."""

    fingerprint: str
    width: int

    def encode(self, texts: Sequence[str]) -> Iterable[tuple[list[int], Matrix]]:
        """Yield positions and their features."""
        ...


def text_key(text: str) -> str:
    """Return the key a text's features are kept under: 16 hex digits of its SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Features:
    """Features of texts: a memory-mapped matrix and the row of each text.

    Attributes:
        matrix: float32, shape (rows, width).
        rows: Text key to row.
    """

    matrix: Matrix
    rows: dict[str, int]

    def of(self, texts: Iterable[str]) -> Matrix:
        """Return the features of texts, float32 of shape (texts, width).

        Raises:
            KeyError: If a text was not encoded.
        """
        return np.asarray(self.matrix[[self.rows[text_key(text)] for text in texts]])


class FeatureStore:
    """A folder with one sub-folder per encoder fingerprint: `matrix.f32` and `index.parquet`.

    Rows are appended in blocks, then the index is replaced as a whole, so an interrupted run
    keeps every finished block. Each row's CRC-32 stands in the index; a store that does not
    agree with it is made anew, with a warning. One writer at a time, by a file lock.
    """

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)

    def update(self, encoder: TextEncoder, texts: Iterable[str]) -> tuple[Path, int]:
        """Encode the texts that are not there yet.

        Returns:
            The sub-folder, to be read with `open_features`, and how many texts were encoded.
        """
        place = self._folder / encoder.fingerprint
        place.mkdir(parents=True, exist_ok=True)
        with FileLock(place / "lock"):
            index = self._sound_index(place, encoder.width)
            known = set(index["key"])
            missing = [text for text in dict.fromkeys(texts) if text_key(text) not in known]
            missing.sort(key=len)
            with counting("encoding", len(missing), "texts") as advance:
                for start in range(0, len(missing), _BLOCK):
                    texts = missing[start : start + _BLOCK]
                    index = self._append(place, encoder, index, texts, advance)
        return place, len(missing)

    @staticmethod
    def _append(
        place: Path,
        encoder: TextEncoder,
        index: pd.DataFrame,
        texts: list[str],
        advance: Callable[[int], None],
    ) -> pd.DataFrame:
        block = np.empty((len(texts), encoder.width), dtype=np.float32)
        for positions, rows in encoder.encode(texts):
            block[positions] = rows
            advance(len(positions))
        with (place / "matrix.f32").open("r+b") as file:
            file.seek(len(index) * encoder.width * 4)
            file.write(block.tobytes())
            file.truncate()
            file.flush()
            os.fsync(file.fileno())
        added = pd.DataFrame(
            {
                "key": [text_key(t) for t in texts],
                "crc": [zlib.crc32(row.tobytes()) for row in block],
            }
        )
        index = pd.concat([index, added], ignore_index=True)
        FeatureStore._replace_index(place, index)
        return index

    @staticmethod
    def _sound_index(place: Path, width: int) -> pd.DataFrame:
        """Return the index if the store agrees with it, else that of an empty store."""
        if (place / "index.parquet").exists():
            try:
                index = pd.read_parquet(place / "index.parquet")
                matrix = _map_matrix(place, len(index), width)
                if [zlib.crc32(row.tobytes()) for row in matrix] == index["crc"].tolist():
                    return index[["key", "crc"]]
                problem = "checksums differ"
            except Exception as error:  # whatever is wrong with the files, they are made anew
                problem = str(error).splitlines()[0]
            logger.warning("Feature cache %s is damaged (%s): it is made anew.", place, problem)
        elif (place / "matrix.f32").exists():
            logger.warning("Feature cache %s has lost its index: it is made anew.", place)
        with replacing(place / "matrix.f32") as incoming:  # who has the old one mapped keeps it
            incoming.write_bytes(b"")
        empty = pd.DataFrame({"key": pd.Series(dtype="str"), "crc": pd.Series(dtype="int64")})
        FeatureStore._replace_index(place, empty)
        return empty

    @staticmethod
    def _replace_index(place: Path, index: pd.DataFrame) -> None:
        with replacing(place / "index.parquet") as incoming:
            index.to_parquet(incoming, index=False)


@dataclass(frozen=True)
class FeaturesBeside:
    """Features of two encoders, those of the one beside those of the other."""

    first: Features
    second: Features

    def of(self, texts: Iterable[str]) -> Matrix:
        """Return the features of texts, float32 of shape (texts, both widths)."""
        texts = list(texts)
        return np.concatenate([self.first.of(texts), self.second.of(texts)], axis=1)


def features_for(features: Mapping[str, Any], *, adapted: bool) -> dict[str, Any]:
    """Return the features that classifiers are trained on.

    Args:
        features: As encoding returns them.
        adapted: Whether those of the adapted encoder are among them.

    Returns:
        As encoding returns them, without `adapted`, or with it under `beside`.

    Raises:
        UserError: If there is no adapted encoder, and one is needed.
    """
    plain = {name: value for name, value in features.items() if name != "adapted"}
    if not adapted:
        return plain
    beside = features.get("adapted")
    if beside is None:
        raise UserError(
            "The recipe needs an adapted encoder, and it is not there.",
            expected="features of the adapted encoder",
            found="those of the encoder as it is",
            remedy="run the whole pipeline: the stage encoding adapts it",
        )
    marks = [str(own["fingerprint"]) for own in (plain, beside)]
    return plain | {"beside": beside, "fingerprint": "+".join(marks)}


def open_chosen(features: Mapping[str, Any]) -> Features | FeaturesBeside:
    """Open the features that `features_for` returned."""
    own = open_features(features["path"], features["width"])
    beside = features.get("beside")
    if beside is None:
        return own
    return FeaturesBeside(own, open_features(beside["path"], beside["width"]))


def open_features(place: str | Path, width: int) -> Features:
    """Open the features that `FeatureStore.update` left in a sub-folder."""
    place = Path(place)
    keys = pd.read_parquet(place / "index.parquet", columns=["key"])["key"].tolist()
    return Features(_map_matrix(place, len(keys), width), {key: i for i, key in enumerate(keys)})


def _map_matrix(place: Path, rows: int, width: int) -> Matrix:
    if rows == 0:
        return np.empty((0, width), dtype=np.float32)
    return np.memmap(place / "matrix.f32", dtype=np.float32, mode="r", shape=(rows, width))

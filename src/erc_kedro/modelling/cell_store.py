"""The cell store: what every cell of a study predicted, one small file each."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from erc_kedro.core.digests import digest
from erc_kedro.core.errors import UserError
from erc_kedro.modelling.files import replacing

Codes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class CellResult:
    """What a cell predicted, and what it learnt.

    Attributes:
        test: Label codes of the rows of test; empty if they were not predicted.
        rest: Label codes of the rows of real train that were not drawn; empty likewise.
        learnt: By source how many utterances of each emotion were learnt, in the label set's order.
    """

    test: Codes
    rest: Codes
    learnt: Mapping[str, list[int]]


class CellStore:
    """A folder with one file per cell, `<fingerprint>.json`.

    The fingerprint says all that decides a cell's predictions, so a file is right or not there.
    Each is written, whole, as soon as its cell is trained; one that is damaged is as good as
    absent. Cells of other settings are kept: they are small, and going back to them costs nothing.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def has(self, fingerprint: str) -> bool:
        """Say whether a cell is there, and whole."""
        try:
            self.load(fingerprint)
        except (OSError, ValueError):
            return False
        return True

    def load(self, fingerprint: str) -> CellResult:
        """Return what a cell predicted.

        Raises:
            FileNotFoundError: If it is not there.
            ValueError: If its file is damaged.
        """
        text = self._file(fingerprint).read_text("utf-8")
        try:
            own = json.loads(text)
            checksum = own.pop("checksum")
            found = CellResult(_unpacked(own["test"]), _unpacked(own["rest"]), own["learnt"])
        except Exception as error:  # whatever is wrong with the file, it is no cell
            raise ValueError("no readable cell") from error
        if checksum != digest([fingerprint, own]):
            raise ValueError("its checksum differs")
        return found

    def save(self, fingerprint: str, result: CellResult) -> None:
        """Keep what a cell predicted."""
        own: dict[str, Any] = {
            "test": _packed(result.test),
            "rest": _packed(result.rest),
            "learnt": {source: list(map(int, n)) for source, n in result.learnt.items()},
        }
        own["checksum"] = digest([fingerprint, own])
        with replacing(self._file(fingerprint)) as incoming:
            incoming.write_text(json.dumps(own), "utf-8")

    def _file(self, fingerprint: str) -> Path:
        return self.folder / f"{fingerprint}.json"


def open_cells(manifest: Mapping[str, Any]) -> dict[str, list[CellResult]]:
    """Return what the cells of every group predicted.

    Args:
        manifest: As the study's `train_cells` returns it: folder, and groups with their cells.

    Returns:
        By the group's key its cells in order.

    Raises:
        UserError: If a cell is not there any more.
    """
    store = CellStore(manifest["folder"])
    found: dict[str, list[CellResult]] = {}
    for group in manifest["groups"]:
        try:
            found[group["key"]] = [store.load(fingerprint) for fingerprint in group["cells"]]
        except (OSError, ValueError) as error:
            raise UserError(
                "A cell of the study is not what the run left.",
                where=str(manifest["folder"]),
                found=str(error),
                remedy="run the study again; what is not there is trained",
            ) from error
    return found


def _packed(codes: Codes) -> str:
    return base64.b64encode(codes.astype(np.uint8).tobytes()).decode("ascii")


def _unpacked(text: str) -> Codes:
    return np.frombuffer(base64.b64decode(text), dtype=np.uint8).astype(np.int64)

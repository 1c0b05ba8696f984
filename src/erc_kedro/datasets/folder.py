"""A folder of files, replaced as a whole."""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from kedro.io import AbstractDataset, DatasetError

from erc_kedro.modelling.files import replacing, replacing_folder


class FolderDataset(AbstractDataset[Mapping[str, bytes], dict[str, bytes]]):
    """Saves files, given by their paths in the folder, in place of all that stood there before.

    The new folder is written beside the old one and then takes its place, so that no file of an
    earlier run is left among new ones, and none is half there.

    Example:
        ```yaml
        "{corpus}.release":
          type: erc_kedro.datasets.FolderDataset
          path: data/08_reporting/{corpus}/release
        ```
    """

    def __init__(self, *, path: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = Path(path)
        self.metadata = metadata

    def load(self) -> dict[str, bytes]:
        """Return every file's content by its path in the folder, in the order of the paths."""
        files = sorted(path for path in self._filepath.rglob("*") if path.is_file())
        return {path.relative_to(self._filepath).as_posix(): path.read_bytes() for path in files}

    def save(self, data: Mapping[str, bytes]) -> None:
        """Write the files in place of the folder.

        Raises:
            DatasetError: If a path leads out of the folder.
        """
        for name in data:
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts or not path.parts:
                raise DatasetError(f"{name!r} is no path in the folder {self._filepath}.")
        with replacing_folder(self._filepath) as incoming:
            for name, content in data.items():
                with replacing(incoming / name) as file:
                    file.write_bytes(content)

    def _exists(self) -> bool:
        return self._filepath.is_dir()

    def _describe(self) -> dict[str, Any]:
        return {"path": str(self._filepath)}

"""A study's journal: a file of whole lines, also after a full disk, a kill or a power cut."""

import json
import logging
import os
from collections.abc import Generator
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Any

from filelock import FileLock
from optuna.storages.journal import JournalFileBackend

from erc_kedro.core.errors import UserError

logger = logging.getLogger(__name__)

_LOCKED_BY = ".flock"
"""Not Optuna's ending, `.lock`: its tools would wait for ours, and then take it away."""


class Journal(JournalFileBackend):
    """A journal file in which half a line does not stay.

    Its lock is free when its holder is dead; after Optuna's own, all wait for 30 s.

    Args:
        path: The file, made if it is not there.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self._path, self._alone = path, FileLock(f"{path}{_LOCKED_BY}")

    def read_logs(self, log_number_from: int) -> Generator[dict[str, Any], None, None]:
        """Yield the entries from a number on; half a line at the end is none.

        Raises:
            UserError: If a line before the last one is no entry.
        """
        try:
            yield from super().read_logs(log_number_from)
        except ValueError as error:  # no JSON, no text, or no end
            raise UserError(
                "The journal of the studies is damaged.",
                where=_damaged(self._path),
                found=str(error),
                remedy="move it away and put back a copy that is whole, if there is one; without, "
                "the same command begins a new study",
            ) from error

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Write entries behind the last whole line, all or none.

        Raises:
            OSError: If they cannot be written; half a line that was there is cut off all the same.
        """
        text = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
        with self._alone, FileIO(self._path, "rb+", opener=_open_to_append) as file:
            size = self._drop_torn_line(file)
            try:
                _write(file, text.encode())
            except BaseException:
                with suppress(OSError):  # then it is left to whoever writes next
                    file.truncate(size)
                raise

    def _drop_torn_line(self, file: FileIO) -> int:
        """Cut off a last line that was not written to its end, and return the file's size."""
        size = file.seek(0, os.SEEK_END)
        if size == 0:
            return size
        file.seek(size - 1)
        if file.read(1) == b"\n":
            return size
        file.seek(0)
        size = file.readall().rfind(b"\n") + 1
        file.truncate(size)
        logger.warning("The last line of %s was torn, and is cut off.", self._path)
        return size


def _open_to_append(path: str, flags: int) -> int:
    """Open a file that is there, so that also what Optuna's tools write stays in one piece."""
    return os.open(path, flags | os.O_APPEND)


def _write(file: FileIO, content: bytes) -> None:
    """Write all of it, to the disk; the first write takes a part if there is room for that."""
    while content:
        content = content[file.write(content) :]
    os.fsync(file.fileno())


def _damaged(path: Path) -> str:
    """Return where the first line is that is no entry."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                json.loads(line)
            except ValueError:
                return f"{path}, line {number}"
    return str(path)

"""Results of batches, as `vllm run-batch` and hosted batch services write them."""

import json
import logging
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from erc_kedro.core.prompts import FAILED, Completion
from erc_kedro.llm.chat import read_chat

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Found:
    """What result files say to a request."""

    completion: Completion | None = None
    failures: int = 0
    problem: str = ""


class BatchResults:
    """The results in a folder, by custom_id; the index is a temporary file of SQLite's."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._paths = sorted(path for path in folder.glob("*.jsonl") if path.is_file())
        self._index = sqlite3.connect("", check_same_thread=False)
        self._index.execute("CREATE TABLE results (custom_id, good, file, place)")
        for file in range(len(self._paths)):
            self._index.executemany("INSERT INTO results VALUES (?, ?, ?, ?)", self._rows(file))
        self._index.execute("CREATE INDEX by_id ON results (custom_id)")

    def find(self, custom_id: str, spec_id: str, writer: str) -> Found:
        """Return the first good answer to a request, or else how often it failed, and why."""
        rows = self._index.execute(
            "SELECT good, file, place FROM results WHERE custom_id = ? ORDER BY good DESC, rowid",
            [custom_id],
        ).fetchall()
        if not rows:
            return Found()
        good, file, place = rows[0]
        with self._paths[file].open("rb") as lines:
            lines.seek(place)
            try:
                found, completion, problem = _read(lines.readline(), spec_id, writer)
            except ValueError:
                found = None
        if found != custom_id:  # somebody writes to the file: the next run will see
            return Found()
        return Found(completion, 0 if good else len(rows), problem)

    def close(self) -> None:
        """Remove the index."""
        self._index.close()

    def _rows(self, file: int) -> Iterator[tuple[str, bool, int, int]]:
        place, broken = 0, []
        with self._paths[file].open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                try:
                    custom_id, completion, _ = _read(line)
                    yield custom_id, completion is not None, file, place
                except ValueError:
                    if line.strip():
                        broken.append(number)
                place += len(line)
        if broken:
            message = "%s, line %d: no result of a batch, passed over (%d such lines)"
            logger.warning(message, self._paths[file], broken[0], len(broken))


def _read(line: bytes, spec_id: str = "", writer: str = "") -> tuple[str, Completion | None, str]:
    """Return the custom_id of a result, its completion if it is good, else what went wrong.

    Raises:
        ValueError: If the line is no result.
    """
    try:
        values = json.loads(line)
        custom_id, response = values["custom_id"], values.get("response") or {}
        status, body = response.get("status_code", 200), response.get("body")
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError) as error:
        raise ValueError("no result") from error
    if not isinstance(custom_id, str) or not custom_id.isascii():
        raise ValueError("no result")
    problem = values.get("error")
    if problem or status != 200:
        return custom_id, None, _words(f"{status}: " if status != 200 else "", problem or body)
    try:
        completion = read_chat(body, spec_id, writer)
    except ValueError as error:
        return custom_id, None, _words("", str(error))
    if completion.finish_reason == FAILED:
        return custom_id, None, "the server ended it with an error"
    return custom_id, completion, ""


def _words(status: str, problem: Any) -> str:
    """Return what went wrong in one short line: each kind of server puts its words elsewhere."""
    while isinstance(problem, dict):
        problem = problem.get("error") or problem.get("message") or str(problem)
    return " ".join(f"{status}{problem}".split())[:300]

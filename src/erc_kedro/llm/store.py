"""The completion store: one SQLite file that keeps what language models wrote."""

import logging
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from erc_kedro.core.errors import UserError

logger = logging.getLogger(__name__)

_FORMAT = 1
_TABLES = f"""
BEGIN;
CREATE TABLE completions (
    key TEXT PRIMARY KEY, spec_id TEXT NOT NULL, request_part TEXT NOT NULL,
    settings_part TEXT NOT NULL, template TEXT NOT NULL, attempt INTEGER NOT NULL,
    text TEXT NOT NULL, model TEXT NOT NULL, finish_reason TEXT NOT NULL,
    prompt_tokens INTEGER, completion_tokens INTEGER, latency REAL, created TEXT NOT NULL
);
CREATE INDEX completions_of_spec ON completions (spec_id);
PRAGMA user_version = {_FORMAT};
COMMIT;
"""


class CompletionStore:
    """One row per completion, in the table `completions`; `StoredLanguageModel` fills it.

    A completion's key is the SHA-256 of the messages, the model's settings, the template's name
    and the attempt. Each is committed as it arrives. A write-ahead log with synchronous=NORMAL
    keeps what is committed when the process is killed, for the operating system has it by then;
    if the machine itself fails, the last completions may be missing, but the file is sound. It
    belongs on a local disk.

    Args:
        path: The file; made, with its folder, when something is first asked.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)

    @contextmanager
    def opened(self) -> Iterator["OpenStore"]:
        """Open the file.

        Raises:
            UserError: If it is damaged, cannot be used, or is no completion store.
        """
        store = OpenStore(self._path)
        try:
            store.check()
            yield store
        finally:
            store.close()


class OpenStore:
    """The open file: usable from any thread, its errors told as the user's."""

    def __init__(self, path: Path) -> None:
        self._path, self._turn = path, threading.RLock()
        with self._telling():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(
                path, timeout=60, isolation_level=None, check_same_thread=False
            )
        # A model may write half a surrogate pair, which is no text; it is kept all the same.
        self._connection.text_factory = lambda text: text.decode("utf-8", "surrogatepass")

    def check(self) -> None:
        """Refuse a file that is damaged or another's; make the tables in a new one."""
        self.run("PRAGMA synchronous = NORMAL")
        if self.run("PRAGMA quick_check(1)") != [("ok",)]:
            raise self._damaged("its pages do not fit together")
        if not self._has_tables():
            with self.writing():
                pass

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Be the only writer; wait for another, and say so."""
        lock, writer = FileLock(f"{self._path}.lock"), Path(f"{self._path}.writer")
        with self._telling():
            try:
                lock.acquire(blocking=False)
            except Timeout:
                process = _read(writer)
                message = "Another run writes to this store (process %s): waiting"
                logger.info(message, process or "unknown")
                lock.acquire()
        try:
            with self._telling():
                writer.write_text(str(os.getpid()))
            if not self._has_tables():
                self.run("PRAGMA journal_mode = WAL")
                self.script(_TABLES)
            yield
        finally:
            writer.unlink(missing_ok=True)
            lock.release()

    def run(self, sql: str, *values: Any) -> list[Any]:
        """Run one statement, committed by itself; return its rows."""
        with self._telling():
            return self._connection.execute(sql, values).fetchall()

    def run_many(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """Run one statement for every row."""
        with self._telling():
            self._connection.executemany(sql, rows)

    def script(self, sql: str) -> None:
        """Run several statements."""
        with self._telling():
            self._connection.executescript(sql)

    def close(self) -> None:
        """Close the file."""
        with self._turn:
            self._connection.close()

    def _has_tables(self) -> bool:
        ((version,),) = self.run("PRAGMA user_version")
        if version != _FORMAT and (version or self.run("SELECT 1 FROM sqlite_master LIMIT 1")):
            raise UserError(
                "The file is no completion store of this version.",
                where=str(self._path),
                expected=f"format {_FORMAT}",
                found=f"format {version}" if version else "other tables",
                remedy="name another file for the store in the catalog",
            )
        return bool(version == _FORMAT)

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            with self._turn:
                yield
        except sqlite3.IntegrityError:
            raise
        except (sqlite3.OperationalError, OSError) as error:  # a full disk, no permission
            raise UserError(
                "The completion store cannot be used.", where=str(self._path), found=str(error)
            ) from error
        except sqlite3.DatabaseError as error:
            raise self._damaged(str(error)) from error

    def _damaged(self, found: str) -> UserError:
        return UserError(
            "The completion store is damaged; nothing of it was deleted.",
            where=str(self._path),
            expected="an SQLite file of completions",
            found=found,
            remedy="put back a copy of it, or move it away: its completions are written anew",
        )


def _read(path: Path) -> str:
    """Return a file's text, or nothing if it is gone by now."""
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""

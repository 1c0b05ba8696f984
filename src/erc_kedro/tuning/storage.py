"""Where a study is kept: a journal file of this machine, or a database that several reach."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from erc_kedro.core.errors import UserError
from erc_kedro.tuning.patience import Patience, first_line, is_gone

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

_ATTEMPTS_TO_CREATE = 6


@dataclass(frozen=True)
class StudyStorage:
    """Where studies are kept.

    Attributes:
        path: A journal file, for the processes of one machine; or
        url: a database such as postgresql://user:password@host/name, for several machines.
        patience: Seconds to wait for a storage that is gone before the search is given up.
    """

    path: str | Path | None = None
    url: str | None = field(default=None, repr=False)
    patience: float = 600.0

    def __post_init__(self) -> None:
        if (self.path is None) == (self.url is None):
            raise UserError(
                "A study is kept in one place.",
                expected="either the path of a journal file or the URL of a database",
                found="none" if self.path is None else "both",
            )

    def __str__(self) -> str:
        """Return the address, without user and password."""
        if self.url is None:
            return str(self.path)
        url = self._parsed()
        port = f":{url.port}" if url.port else ""
        host = f"{url.host or ''}{port}/"
        return f"{url.drivername.split('+')[0]}://{host}{url.database or ''}"

    def open(self) -> "BaseStorage":
        """Return Optuna's storage, its file or its tables made if they are not there.

        Raises:
            UserError: If it cannot be reached, its driver is not installed, or the file is damaged.
        """
        from optuna import logging as optuna_logging

        optuna_logging.set_verbosity(optuna_logging.ERROR)  # of outages we tell
        optuna_logging.disable_default_handler()
        optuna_logging.enable_propagation()
        try:
            return self._open_journal() if self.url is None else self._open_database()
        except ImportError as error:
            raise UserError(
                "The database's driver is not installed.",
                where=str(self),
                found=str(error.__cause__ or error),
                remedy='pip install "erc_kedro[cluster]" brings the driver of PostgreSQL',
            ) from error
        except Exception as error:
            if not is_gone(error):
                raise
            raise UserError(
                "The storage of the study cannot be reached.",
                where=str(self),
                found=first_line(error),
                remedy="start it or mend its address, then run the same command again",
            ) from None  # what is behind it may hold a password

    def patient(self) -> "Patience":
        """Return what waits for this storage when it is gone."""
        return Patience(str(self), self.patience)

    def _parsed(self) -> Any:
        from sqlalchemy.engine import make_url

        try:
            url = make_url(str(self.url))
        except Exception:  # its text would show the password
            raise UserError(
                "The URL of the study's storage cannot be read.",
                expected="such as postgresql://user:password@host:5432/name",
            ) from None
        plain = {"postgresql", "postgres", "postgresql+psycopg2"}
        return url.set(drivername="postgresql+psycopg") if url.drivername in plain else url

    def _open_journal(self) -> "BaseStorage":
        from optuna.storages import JournalStorage

        from erc_kedro.tuning.journal import Journal

        path = Path(str(self.path)).absolute()
        path.parent.mkdir(parents=True, exist_ok=True)
        return JournalStorage(Journal(path))

    def _open_database(self) -> "BaseStorage":
        from optuna.storages import RDBStorage
        from sqlalchemy.exc import IntegrityError, ProgrammingError

        url = self._parsed()
        options: dict[str, Any] = {"pool_pre_ping": True}
        if url.drivername.startswith("postgresql"):
            options["connect_args"] = {"connect_timeout": 10}
        for attempt in range(1, _ATTEMPTS_TO_CREATE + 1):
            try:
                return RDBStorage(url.render_as_string(hide_password=False), options)
            except (IntegrityError, ProgrammingError):  # another process makes the tables now
                if attempt == _ATTEMPTS_TO_CREATE:
                    raise
                time.sleep(0.2 * attempt)
        raise AssertionError

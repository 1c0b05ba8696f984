"""Waiting for a storage that is gone: what touches it is done again, in growing pauses."""

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from erc_kedro.core.errors import UserError

logger = logging.getLogger(__name__)

T = TypeVar("T")

_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0


def is_gone(error: BaseException) -> bool:
    """Say whether an error means that the storage cannot be reached now."""
    from optuna.exceptions import StorageInternalError
    from sqlalchemy import exc

    if isinstance(error, StorageInternalError) and error.__cause__ is not None:
        error = error.__cause__
    lost = (
        exc.OperationalError,
        exc.InterfaceError,
        exc.InternalError,  # what follows in a transaction that was cut off
        exc.PendingRollbackError,  # likewise
        exc.TimeoutError,
        OSError,
    )
    return isinstance(error, lost) or (
        isinstance(error, exc.DBAPIError) and error.connection_invalidated
    )


def first_line(error: BaseException) -> str:
    """Return the first line of what the database or the system says."""
    cause = error.__cause__ if type(error).__name__ == "StorageInternalError" else None
    error = cause or error
    return (str(getattr(error, "orig", None) or error).strip().splitlines() or [""])[0]


class StorageGoneError(UserError):
    """The storage has been gone for too long."""


class Patience:
    """Does what touches the storage again, in growing pauses, while that is gone.

    Args:
        address: What the storage is called, in messages.
        seconds: How long it may be gone.
    """

    def __init__(self, address: str, seconds: float) -> None:
        self._address, self.seconds = address, seconds
        self.outages = 0
        self.sleep: Callable[[float], None] = time.sleep

    def __call__(self, work: Callable[[], T]) -> T:
        """Return what the work returns; it has to bear being done again.

        Raises:
            UserError: If the storage stays gone.
        """
        began, pause = time.monotonic(), _FIRST_PAUSE
        lost = False
        while True:
            try:
                result = work()
            except Exception as error:
                if not is_gone(error):
                    raise
                if not lost:
                    self.outages += 1
                    what = (
                        "The storage of the study is gone (%s: %s); waiting for it, %.0f s at most."
                    )
                    logger.warning(what, self._address, first_line(error), self.seconds)
                lost = True
                left = began + self.seconds - time.monotonic()
                if left <= 0:
                    raise self._given_up(error) from None
                self.sleep(min(pause, left))
                pause = min(2 * pause, _LONGEST_PAUSE)
            else:
                if lost:
                    gone = time.monotonic() - began
                    logger.info("The storage of the study is back after %.0f s.", gone)
                return result

    def _given_up(self, error: Exception) -> StorageGoneError:
        return StorageGoneError(
            f"The storage of the study has been gone for {self.seconds:.0f} s.",
            where=self._address,
            found=first_line(error),
            remedy="start it, then run the same command again: finished trials are kept, and "
            "those under way are run again",
        )

"""Failures in a row: one trial may fail, a search in which all do is stopped."""

import re

from erc_kedro.core.errors import UserError

_MOST_OF_A_KIND = 3
_MOST = 10


class Failures:
    """Counts the failures of a search since its last success."""

    def __init__(self, study: str) -> None:
        self._study = study
        self._row: list[tuple[int, str]] = []

    def note(self, number: int, reason: str | None) -> None:
        """Note that a trial failed for a reason, or did not.

        Reasons that differ in numbers alone, such as sizes of memory in any unit, are the same.

        Raises:
            UserError: If three in a row failed for the same reason, or ten for any.
        """
        if reason is None:
            self._row.clear()
            return
        self._row.append((number, reason))
        last = self._row[-_MOST_OF_A_KIND:]
        same = len(last) == _MOST_OF_A_KIND and len({_kind(each) for _, each in last}) == 1
        if same or len(self._row) >= _MOST:
            row = last if same else self._row
            raise UserError(
                f"{len(row)} trials in a row failed{' for the same reason' if same else ''}.",
                where=f"trials {', '.join(str(n) for n, _ in row)} of study {self._study!r}",
                found=reason,
                remedy="mend it, then run the same command again: finished trials are kept",
            )


def _kind(reason: str) -> str:
    return re.sub(r"\d+(?:[.,]\d+)*(?: ?(?:[KMGT]i?B|bytes)\b)?", "#", reason)

"""What is under way: long work counts here, and whoever can show or record it is told.

Nothing is shown or recorded unless somebody asked for it; the hooks do, for a run.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from time import monotonic
from typing import Protocol

TELL_SECONDS = 5.0
"""Numbers are told at most this often."""


class Display(Protocol):
    """Shows work under way; called from several threads.

    Attributes:
        is_log: Whether it shows by lines in the log.
    """

    is_log: bool

    def start(self, what: str, total: int, unit: str) -> int:
        """Begin to show a piece of work; return its number."""
        ...

    def advance(self, number: int, amount: int) -> None:
        """Count further."""
        ...

    def stop(self, number: int) -> None:
        """End showing it."""
        ...


class _Nothing:
    is_log = False

    def start(self, what: str, total: int, unit: str) -> int:
        return 0

    def advance(self, number: int, amount: int) -> None:
        pass

    def stop(self, number: int) -> None:
        pass


_display: Display = _Nothing()


def show_on(display: Display | None) -> None:
    """Show all work from now on here; None shows nothing."""
    global _display  # noqa: PLW0603 - one screen per process
    _display = display or _Nothing()


@contextmanager
def counting(
    what: str, total: int, unit: str, *, logged: bool = False
) -> Iterator[Callable[[int], None]]:
    """Count a piece of work.

    Args:
        what: What is done, such as "encoding".
        total: How many units there are.
        unit: What is counted, in the plural.
        logged: Whether who counts writes the log lines too: then it is shown by others alone.

    Returns:
        A function that takes how many units are done since it was last called.
    """
    display = _Nothing() if logged and _display.is_log else _display
    number = display.start(what, total, unit)
    try:
        yield lambda amount: display.advance(number, amount)
    finally:
        display.stop(number)


Numbers = Mapping[str, float]
Listener = Callable[[Numbers, int], None]
"""Takes numbers by name, and how many units of the work they are after."""

_listener: Listener | None = None


def tell(listener: Listener | None) -> None:
    """Tell numbers of all work from now on to this listener; None ends it."""
    global _listener  # noqa: PLW0603 - one run per process
    _listener = listener


class Telling:
    """Tells how a piece of work goes, now and then.

    Args:
        numbers: Computes them; only called when they are told.
    """

    def __init__(self, numbers: Callable[[], Numbers]) -> None:
        self._numbers = numbers
        self._last = monotonic()

    def after(self, units: int, *, at_once: bool = False) -> None:
        """Tell the numbers after so many units, if it is time, or at once."""
        due = at_once or monotonic() - self._last >= TELL_SECONDS
        if _listener and due and (numbers := self._numbers()):
            self._last = monotonic()
            _listener(numbers, units)

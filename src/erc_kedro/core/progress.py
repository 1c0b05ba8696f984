"""What is under way: long work counts here, and whoever can show it is told.

Nothing is shown unless a display was set; the hooks set one for a run.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol


class Display(Protocol):
    """Shows work under way; called from several threads."""

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
def counting(what: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
    """Count a piece of work.

    Args:
        what: What is done, such as "encoding".
        total: How many units there are.
        unit: What is counted, in the plural.

    Returns:
        A function that takes how many units are done since it was last called.
    """
    display = _display
    number = display.start(what, total, unit)
    try:
        yield lambda amount: display.advance(number, amount)
    finally:
        display.stop(number)

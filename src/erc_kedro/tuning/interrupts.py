"""A stop is heard at once, and takes effect where a search stands well: not between two records."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_SLICE = 0.2

_STOPS = {
    signal.SIGINT: (signal.default_int_handler, "stopped from the keyboard"),
    signal.SIGTERM: (signal.SIG_DFL, "stopped by SIGTERM"),
}
"""What stops a search, unless it is ignored or somebody else's to hear; and what is said of it."""


class Interrupts:
    """Whether a stop came; Ctrl-C after it interrupts whatever is under way.

    Attributes:
        reason: Why the search stops.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._came = False
        self.reason = "stopped from the keyboard"

    def hear(self, number: int, frame: FrameType | None) -> None:
        """Note that it came, and end the wait for a worker."""
        if not self._came:
            self._came = True
            _, self.reason = _STOPS[signal.Signals(number)]
            self._wake()
        elif number == signal.SIGINT:  # who sends SIGTERM again means no more by it
            raise KeyboardInterrupt

    def check(self) -> None:
        """Stop here if it came.

        Raises:
            KeyboardInterrupt: If it came.
        """
        if self._came:
            raise KeyboardInterrupt

    def sleep(self, seconds: float) -> None:
        """Sleep, but not after it came."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.check()
            time.sleep(min(left, _SLICE))
        self.check()


@contextmanager
def hearing(wake: Callable[[], None]) -> Iterator[Interrupts]:
    """Hear Ctrl-C and SIGTERM instead of being ended by them, if this is the main thread.

    Args:
        wake: Ends a wait; called in the middle of anything.
    """
    interrupts = Interrupts(wake)
    before = {}
    if threading.current_thread() is threading.main_thread():
        for number, (usual, _) in _STOPS.items():
            if signal.getsignal(number) is usual:
                before[number] = signal.signal(number, interrupts.hear)
    try:
        yield interrupts
    finally:
        for number, own in before.items():
            signal.signal(number, own)

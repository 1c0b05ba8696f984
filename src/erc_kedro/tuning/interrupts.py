"""Ctrl-C is heard at once, and takes effect where a search stands well: not between two records."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_SLICE = 0.2


class Interrupts:
    """Whether Ctrl-C came; the second one interrupts whatever is under way."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._came = False

    def hear(self, number: int, frame: FrameType | None) -> None:
        """Note that it came, and end the wait for a worker."""
        if self._came:
            raise KeyboardInterrupt
        self._came = True
        self._wake()

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
    """Hear Ctrl-C instead of being interrupted by it, if this is the thread that it interrupts.

    Args:
        wake: Ends a wait; called in the middle of anything.
    """
    interrupts = Interrupts(wake)
    if threading.current_thread() is not threading.main_thread():
        yield interrupts
        return
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler:  # ignored, or somebody else's to hear
        yield interrupts
        return
    signal.signal(signal.SIGINT, interrupts.hear)
    try:
        yield interrupts
    finally:
        signal.signal(signal.SIGINT, before)

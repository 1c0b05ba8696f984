"""The screen: log lines that name their stage, and work under way as bars or as lines."""

import logging
import sys
import threading
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any, TextIO

from erc_kedro.core.progress import Display

if TYPE_CHECKING:
    from rich.progress import Progress

logger = logging.getLogger(__name__)

_STAGE_WIDTH = 23  # the longest: an arm's name and "training"
_TELLING_SHARE = 0.05
_REPORT_SECONDS = 15.0

_working = threading.local()


def in_stage(name: str | None) -> None:
    """Let this thread's log lines begin with a stage's name from now on."""
    _working.stage = name


class ScreenFormatter(logging.Formatter):
    """Time, stage and message; the level only from warnings on."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as one line, further lines indented."""
        at = datetime.fromtimestamp(record.created).strftime("%H:%M:%S")
        stage = getattr(_working, "stage", None) or ""
        level = f"{record.levelname}: " if record.levelno >= logging.WARNING else ""
        message = record.getMessage()
        if record.exc_text:
            message += "\n" + record.exc_text
        elif record.exc_info:
            message += "\n" + self.formatException(record.exc_info)
        head = f"{at} {stage:<{_STAGE_WIDTH}} " if stage else f"{at} "
        return head + level + message.replace("\n", "\n" + " " * 9)


class ScreenHandler(logging.StreamHandler[TextIO]):
    """Writes to what is stderr at the time, so that bars and lines do not mix."""

    @property
    def stream(self) -> TextIO:
        """The standard error stream of this moment."""
        return sys.stderr

    @stream.setter
    def stream(self, value: TextIO) -> None:
        pass


def take_over(root: logging.Logger) -> None:
    """Let a logger's plain console handler write as the project's screen does.

    Kedro's logging configuration takes no classes but its own.
    """
    for handler in root.handlers:
        if type(handler) is logging.StreamHandler and handler.stream is sys.stderr:
            own = ScreenHandler()
            own.setFormatter(ScreenFormatter())
            own.filters = handler.filters
            root.removeHandler(handler)
            root.addHandler(own)


def choose_display() -> Display:
    """Return bars for a terminal, log lines for anything else."""
    return Bars() if sys.stderr.isatty() else Lines()


class Bars:
    """One bar per piece of work, with counts and time left; gone when it is done."""

    is_log = False

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._progress: Progress | None = None
        self._shown = 0

    def start(self, what: str, total: int, unit: str) -> int:
        """Show one more bar."""
        with self._lock:
            if self._progress is None:
                self._progress = _new_progress()
                self._progress.start()
            self._shown += 1
            stage = getattr(_working, "stage", None)
            return int(self._progress.add_task(stage or what, total=total, unit=unit))

    def advance(self, number: int, amount: int) -> None:
        """Move a bar."""
        if self._progress is not None:
            self._progress.advance(number, amount)  # type: ignore[arg-type]

    def stop(self, number: int) -> None:
        """Take a bar away."""
        with self._lock:
            assert self._progress is not None
            self._progress.remove_task(number)  # type: ignore[arg-type]
            self._shown -= 1
            if self._shown == 0:
                self._progress.stop()
                self._progress = None


def _new_progress() -> "Progress":
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("         {task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f} of {task.total:,.0f} {task.fields[unit]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )


def _time_left(seconds: float, done: int, total: int) -> str:
    """Say how long the rest takes, if enough is done to tell."""
    if done < _TELLING_SHARE * total:
        return ""
    left = seconds / done * (total - done)
    return f", about {left:.0f} s left" if left < 120 else f", about {left / 60:.0f} min left"


class Lines:
    """A log line every so often, with counts and time left."""

    is_log = True

    def __init__(self, every: float = _REPORT_SECONDS) -> None:
        self._every = every
        self._lock = threading.Lock()
        self._work: list[dict[str, Any]] = []

    def start(self, what: str, total: int, unit: str) -> int:
        """Begin to count."""
        now = time.monotonic()
        work = {"what": what, "total": total, "unit": unit, "done": 0, "began": now, "said": now}
        with self._lock:
            self._work.append(work)
            return len(self._work) - 1

    def advance(self, number: int, amount: int) -> None:
        """Count, and say so if it is time."""
        now = time.monotonic()
        with self._lock:
            work = self._work[number]
            work["done"] += amount
            if now - work["said"] < self._every or work["done"] >= work["total"]:
                return
            work["said"] = now
        stage = getattr(_working, "stage", None) or ""
        logger.info(
            "%s%s of %s %s%s",
            "" if stage.endswith(work["what"]) else f"{work['what']}: ",
            f"{work['done']:,}",
            f"{work['total']:,}",
            work["unit"],
            _time_left(now - work["began"], work["done"], work["total"]),
        )

    def stop(self, number: int) -> None:
        """Nothing more to say."""

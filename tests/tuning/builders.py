"""Studies of a parabola, and the processes that search in them."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from erc_kedro.core.tuning import Dimension
from erc_kedro.tuning import Study, StudyStorage, open_study

ROOT = Path(__file__).parents[2]

SPACE = {
    "x": Dimension(kind="float", low=0, high=1),
    "kind": Dimension(kind="categorical", choices=("a", "b")),
}
FIRST = ({"x": 0.0, "kind": "a"}, {"x": 0.9, "kind": "b"})


def open_parabola(storage: StudyStorage, **changed: Any) -> Study:
    chosen: dict[str, Any] = {
        "name": "parabola",
        "space": SPACE,
        "objectives": ("f1",),
        "about": {"data": "one"},
        "first": FIRST,
        "seed": 0,
    }
    return open_study(storage, **(chosen | changed))


def states(study: Study) -> list[str]:
    return [trial.state.name for trial in study.trials()]


def completed(study: Study) -> list[dict[str, Any]]:
    """The settings of complete trials, by number."""
    return [dict(t.params) for t in study.trials() if t.state.name == "COMPLETE"]


def reasons(study: Study) -> dict[int, str]:
    """Why trials failed, by number."""
    found = {t.number: t.user_attrs.get("reason") for t in study.trials()}
    return {number: reason for number, reason in found.items() if reason}


def start_search(
    storage: StudyStorage, file: Path, *, trials: int, workers: int, seconds: float = 0.02
) -> subprocess.Popen[str]:
    """Search in another process, as a second command of a user's would."""
    place = storage.url or str(storage.path)
    numbers = [str(trials), str(workers), str(seconds)]
    return subprocess.Popen(
        [sys.executable, "-m", "tests.tuning.parent", place, str(file), *numbers],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # a background job is started with the signal ignored
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )


def workers_of(pid: int) -> list[psutil.Process]:
    """Return the worker processes of a search."""
    found = []
    for child in psutil.Process(pid).children():
        try:
            if "erc_kedro.tuning.worker" in child.cmdline():
                found.append(child)
        except psutil.Error:  # it ended now
            continue
    return found


def wait_until(done: Callable[[], Any], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, "it does not happen"
        time.sleep(0.02)

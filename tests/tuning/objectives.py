"""Objectives for worker processes: cheap, recorded in a file, and misbehaving on demand."""

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from erc_kedro.core.errors import UserError
from erc_kedro.core.tuning import Objective, Outcome, Settings


def parabola(settings: Settings) -> Outcome:
    """Best at x = 0.3, the more so with kind b."""
    value = 1 - (settings["x"] - 0.3) ** 2 - 0.1 * (settings["kind"] == "a")
    return Outcome((value,), {"f1": [value - 0.1, value + 0.1]})


def make_parabola() -> Objective:
    return parabola


@dataclass(frozen=True)
class Recorded:
    """Makes a parabola that takes its time, and writes down what it tries.

    With `held`, trials after so many wait until `let_go`: what is to happen amid a search does.
    """

    file: Path
    seconds: float = 0.0
    held: int | None = None

    def __call__(self) -> Objective:
        def objective(settings: Settings) -> Outcome:
            time.sleep(self.seconds)
            while self.held is not None and len(self.read()) >= self.held and not self._go.exists():
                time.sleep(0.02)
            with self.file.open("a") as file:
                file.write(json.dumps(dict(settings)) + "\n")
            return parabola(settings)

        return objective

    @property
    def _go(self) -> Path:
        return self.file.with_suffix(".go")

    def let_go(self) -> None:
        self._go.touch()

    def read(self) -> list[dict[str, Any]]:
        if not self.file.exists():
            return []
        return [json.loads(line) for line in self.file.read_text().splitlines()]


def fail() -> Any:
    raise ValueError("no loss any more\nat step 3")


def memory() -> Any:
    raise MemoryError(f"{time.perf_counter():.3f} GiB of 8 GiB")


def not_a_number() -> Any:
    return Outcome((float("nan"),))


def two_values() -> Any:
    return Outcome((0.1, 0.2))


def die() -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


def leave() -> Any:
    raise SystemExit(7)


def lose_the_gpu() -> Any:
    """Fail as torch does on a GPU that answers nothing any more."""

    def answer() -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    cuda = SimpleNamespace(is_initialized=lambda: True, synchronize=answer, empty_cache=answer)
    sys.modules["torch"] = SimpleNamespace(cuda=cuda)  # type: ignore[assignment]
    answer()


@dataclass(frozen=True)
class Misbehaving:
    """Makes a parabola that does something else from some x on, and up to another."""

    how: Callable[[], Any]
    low: float = 0.0
    high: float = 1.0

    def __call__(self) -> Objective:
        def objective(settings: Settings) -> Outcome:
            wrong = self.low <= settings["x"] <= self.high
            return self.how() if wrong else parabola(settings)

        return objective


def cannot() -> Objective:
    raise UserError("The features are not there.", where="features.npy")


def broken() -> Objective:
    raise KeyError("no such thing")


def make_environment_reader() -> Objective:
    """What a worker sees of its device and its threads, as folds."""

    def objective(settings: Settings) -> Outcome:
        time.sleep(0.05)  # so that both have some
        names = ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS")
        return Outcome((0.5,), {name: [float(os.environ.get(name, "-1"))] for name in names})

    return objective

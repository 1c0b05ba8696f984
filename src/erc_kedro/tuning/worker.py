"""The process in which trials run: `python -m`, pickles on its pipes.

In: what makes the objective, then the settings of one trial after the other. Out: `Ready`, then
`Tried` for each; or `Unusable` if there is no objective. It ends when its input does, be it in the
middle of a trial: a search that was killed leaves none; or once its GPU is `Broken`. Nothing heavy
is imported but by the objective.
"""

import gc
import math
import os
import pickle
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import Any

from erc_kedro.core.errors import UserError
from erc_kedro.core.tuning import Objective, Outcome, Settings

MakeObjective = Callable[[], Objective]


@dataclass(frozen=True)
class Ready:
    """A worker can try settings."""


@dataclass(frozen=True)
class Unusable:
    """A worker could not make the objective."""

    reason: str
    trace: str
    by_user: bool


@dataclass(frozen=True)
class Tried:
    """What came of settings: an outcome, or why there is none and where it went wrong."""

    seconds: float
    outcome: Outcome | None = None
    reason: str | None = None
    trace: str | None = None


@dataclass(frozen=True)
class Broken:
    """A worker has lost its GPU over a trial, and why: it ends, for a new one to take its place."""

    reason: str


def try_settings(objective: Objective, settings: Settings) -> Tried:
    """Return what comes of settings; an objective that raises, or is not finite, has failed.

    What a failed one held is let go, on a GPU too.
    """
    began = time.perf_counter()
    failed: Tried | None = None
    try:
        outcome = objective(settings)
        values = tuple(float(value) for value in outcome.values)
        folds = {name: [float(v) for v in each] for name, each in outcome.folds.items()}
    except Exception as error:
        seconds = time.perf_counter() - began
        failed = Tried(seconds, reason=describe(error), trace=traceback.format_exc())
    if failed is not None:
        _let_go()  # only now: until here the error's frames hold it
        return failed
    seconds = time.perf_counter() - began
    if not all(map(math.isfinite, values)):
        shown = ", ".join(map(str, values))
        return Tried(seconds, reason=f"the objective is not a finite number: {shown}")
    return Tried(seconds, Outcome(values, folds))


def make(make_objective: MakeObjective) -> Objective | Unusable:
    """Return the objective, or why there is none."""
    try:
        return make_objective()
    except Exception as error:
        by_user = isinstance(error, UserError)
        reason = str(error) if by_user else describe(error)
        return Unusable(reason, traceback.format_exc(), by_user)


def describe(error: BaseException) -> str:
    """Return an error as one line: its type and its first line."""
    text = str(error).strip()
    first = text.splitlines()[0] if text else ""
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def _let_go() -> None:
    """Free what is left of a failed trial in cycles, which errors and futures make."""
    gc.collect()
    if (cuda := _cuda()) is not None:
        with suppress(RuntimeError):  # broken, as `_has_lost_its_gpu` will see
            cuda.empty_cache()


def _has_lost_its_gpu() -> bool:
    """Say whether nothing can be computed on the GPU any more by this process.

    After some errors, such as an illegal access to memory, every call ends in the same error.
    """
    cuda = _cuda()
    try:
        if cuda is not None:
            cuda.synchronize()
    except RuntimeError:
        return True
    return False


def _cuda() -> Any:
    """Return `torch.cuda`, if the objective has used it."""
    torch = sys.modules.get("torch")
    return torch.cuda if torch is not None and torch.cuda.is_initialized() else None


def _incoming() -> Iterator[Any]:
    """Yield what comes in; the thread that reads sees at once that nothing comes any more."""
    arrived: SimpleQueue[Any] = SimpleQueue()

    def read() -> None:
        with suppress(OSError, EOFError, pickle.UnpicklingError):
            while True:
                arrived.put(pickle.load(sys.stdin.buffer))
        os._exit(0)

    Thread(target=read, daemon=True).start()
    while True:
        yield arrived.get()


def _load_and_make(pickled: bytes) -> Objective:
    make_objective: MakeObjective = pickle.loads(pickled)
    return make_objective()


def main() -> None:
    """Work, and end without waiting for the thread that reads: it only ends with its input."""
    code: object = 1
    try:
        _work()
        code = 0
    except SystemExit as error:  # the objective's
        code = error.code
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else int(code is not None))


def _work() -> None:
    """Make the objective, and try settings until the input ends."""
    # Sent to all of a job, it is the search's to hear; a handler, since children inherit SIG_IGN.
    signal.signal(signal.SIGTERM, lambda *_: None)
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print is no message

    def send(message: Ready | Unusable | Tried | Broken) -> None:
        out.write(pickle.dumps(message))
        out.flush()

    incoming = _incoming()
    objective = make(partial(_load_and_make, next(incoming)))
    if isinstance(objective, Unusable):
        send(objective)
        return
    send(Ready())
    for settings in incoming:
        tried = try_settings(objective, settings)
        if tried.reason is not None and _has_lost_its_gpu():
            print(tried.trace or tried.reason, file=sys.stderr)
            send(Broken(tried.reason))
            return
        send(tried)


if __name__ == "__main__":
    # Under this name its messages are unpickled in the process that reads them.
    from erc_kedro.tuning.worker import main as main_under_its_name

    main_under_its_name()

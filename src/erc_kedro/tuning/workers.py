"""The processes in which trials run, as the search sees them; a dead one is replaced."""

import pickle
import subprocess
import time
from collections.abc import Sequence
from queue import Empty, SimpleQueue
from typing import Protocol

from erc_kedro.core.errors import UserError
from erc_kedro.core.tuning import Objective, Settings
from erc_kedro.tuning.worker import MakeObjective, Ready, Tried, Unusable, make, try_settings
from erc_kedro.tuning.worker_process import Died, WorkerProcess

_MOST_FAILED_STARTS = 3
_SECONDS_TO_END = 5.0


class _Woken:
    """Somebody wants the wait for a worker to end."""


class Workers(Protocol):
    """Those who try settings, one at a time each, by number."""

    def __len__(self) -> int:
        """Return how many they are."""
        ...

    def free(self) -> list[int]:
        """Return who waits for settings."""
        ...

    def give(self, worker: int, settings: Settings) -> None:
        """Hand settings to one who waits."""
        ...

    def next(self, seconds: float) -> tuple[int, Tried | Died] | None:
        """Return who is done and what came of it, if anybody is within so long."""
        ...

    def wake(self) -> None:
        """End a wait in `next`; may be called by a signal's handler."""
        ...

    def done(self) -> list[tuple[int, Tried]]:
        """Return who is done already, without waiting or beginning anything."""
        ...

    def close(self, *, at_once: bool) -> None:
        """End all, those in the middle of a trial as well."""
        ...


class InThisProcess:
    """One that tries settings in this process, for a debugger and for tests."""

    def __init__(self, make_objective: MakeObjective) -> None:
        self._make = make_objective
        self._objective: Objective | None = None
        self._settings: Settings | None = None
        self._trying = False

    def __len__(self) -> int:
        """Return that it is one."""
        return 1

    def free(self) -> list[int]:
        """Return its number, if it waits."""
        return [0] if self._settings is None else []

    def give(self, worker: int, settings: Settings) -> None:
        """Keep settings for `next`."""
        self._settings = settings

    def next(self, seconds: float) -> tuple[int, Tried | Died] | None:
        """Try the settings that were given."""
        if self._settings is None:
            time.sleep(seconds)
            return None
        if self._objective is None:
            objective = make(self._make)
            if isinstance(objective, Unusable):
                raise _unusable(objective)
            self._objective = objective
        self._trying = True
        try:
            tried = try_settings(self._objective, self._settings)
        finally:
            self._trying = False
        self._settings = None
        return 0, tried

    def wake(self) -> None:
        """Interrupt the objective, if it is being tried.

        Raises:
            KeyboardInterrupt: If it is.
        """
        if self._trying:
            raise KeyboardInterrupt

    def done(self) -> list[tuple[int, Tried]]:
        """Return nothing: what is done has been taken."""
        return []

    def close(self, *, at_once: bool) -> None:
        """Nothing to end."""


class Processes:
    """Worker processes, each with one thread for its numbers.

    Args:
        make_objective: Makes the objective, once in each; can be pickled.
        devices: For each worker, what it sees as CUDA_VISIBLE_DEVICES; None leaves that as it is.
    """

    def __init__(self, make_objective: MakeObjective, devices: Sequence[str | None]) -> None:
        self._pickled = pickle.dumps(make_objective)
        self._devices = list(devices)
        self._arrived: SimpleQueue[tuple[WorkerProcess, object]] = SimpleQueue()
        self._failed_starts = 0
        self._processes: list[WorkerProcess] = []
        for number in range(len(self._devices)):
            self._processes.append(self._start(number))

    def __len__(self) -> int:
        """Return how many they are, dead ones being replaced."""
        return len(self._devices)

    def free(self) -> list[int]:
        """Return those that are ready and have nothing to do."""
        return [p.number for p in self._processes if p.ready and not p.busy]

    def give(self, worker: int, settings: Settings) -> None:
        """Hand settings to one; that it may be dead is seen by `next`."""
        self._processes[worker].busy = True
        self._processes[worker].send(dict(settings))

    def next(self, seconds: float) -> tuple[int, Tried | Died] | None:
        """Return the next outcome or death, if there is one within so long.

        Raises:
            UserError: If no worker can start.
        """
        deadline = time.monotonic() + seconds
        while True:
            try:
                left = max(0.0, deadline - time.monotonic())
                process, message = self._arrived.get(timeout=left)
            except Empty:
                return None
            match message:
                case _Woken():
                    return None
                case Ready():
                    process.ready, self._failed_starts = True, 0
                    return None  # there is somebody to hand settings to
                case Unusable():
                    raise _unusable(message)
                case Tried():
                    process.busy = False
                    return process.number, message
                case Died():
                    self._replace(process, message)
                    if process.busy:
                        return process.number, message

    def wake(self) -> None:
        """End a wait in `next`."""
        self._arrived.put((self._processes[0], _Woken()))

    def done(self) -> list[tuple[int, Tried]]:
        """Return the outcomes that have arrived."""
        tried: list[tuple[int, Tried]] = []
        while True:
            try:
                process, message = self._arrived.get_nowait()
            except Empty:
                return tried
            if isinstance(message, Tried):
                tried.append((process.number, message))

    def close(self, *, at_once: bool) -> None:
        """End all processes; at once, or when each has ended what it writes."""
        for process in self._processes:
            if at_once:
                process.popen.kill()
            process.hang_up()
        deadline = time.monotonic() + _SECONDS_TO_END
        for process in self._processes:
            try:
                process.popen.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.popen.kill()
                process.popen.wait()
            process.reader.join()

    def _start(self, number: int) -> "WorkerProcess":
        return WorkerProcess(number, self._devices[number], self._pickled, self._arrived)

    def _replace(self, dead: "WorkerProcess", died: Died) -> None:
        if not dead.ready:
            self._failed_starts += 1
        if self._failed_starts >= _MOST_FAILED_STARTS:
            raise UserError(
                f"Worker processes end before they can begin, {_MOST_FAILED_STARTS} in a row.",
                found=died.how,
                remedy="what they said stands above; fewer workers need less memory",
            )
        self._processes[dead.number] = self._start(dead.number)


def _unusable(message: Unusable) -> Exception:
    if message.by_user:
        return UserError(message.reason)
    return RuntimeError(f"No trial can begin: {message.reason}\n{message.trace}")

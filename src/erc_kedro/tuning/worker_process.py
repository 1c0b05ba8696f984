"""One worker process as the search sees it."""

import os
import pickle
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from signal import Signals
from threading import Thread

from erc_kedro.tuning.worker import Broken

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
_SECONDS_TO_END = 5.0


@dataclass(frozen=True)
class Died:
    """A worker ended in the middle of a trial."""

    how: str


class WorkerProcess:
    """One worker process, and a thread that reads what it sends."""

    def __init__(
        self,
        number: int,
        device: str | None,
        pickled: bytes,
        arrived: "SimpleQueue[tuple[WorkerProcess, object]]",
    ) -> None:
        self.number, self.ready, self.busy = number, False, False
        self.popen = subprocess.Popen(
            [sys.executable, "-m", "erc_kedro.tuning.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=_environment(device),
            start_new_session=True,  # Ctrl-C is the search's to hear
        )
        self.reader = Thread(target=self._read, args=(arrived,), daemon=True)
        self.reader.start()
        self.send(pickled)

    def send(self, message: object) -> None:
        """Send a message; one to a dead process is lost, which its reader tells."""
        assert self.popen.stdin is not None
        with suppress(OSError, ValueError):  # ended, or hung up on by its reader
            self.popen.stdin.write(pickle.dumps(message))
            self.popen.stdin.flush()

    def hang_up(self) -> None:
        """Let the process see that nothing comes any more."""
        assert self.popen.stdin is not None
        with suppress(OSError):
            self.popen.stdin.close()

    def _read(self, arrived: "SimpleQueue[tuple[WorkerProcess, object]]") -> None:
        assert self.popen.stdout is not None
        broken: str | None = None
        with self.popen.stdout as stdout, suppress(Exception):  # cut short in a message
            while not isinstance(message := pickle.load(stdout), Broken):
                arrived.put((self, message))
            broken = message.reason
        try:
            code = self.popen.wait(_SECONDS_TO_END)
        except subprocess.TimeoutExpired:  # whatever it does without its pipe, nobody hears
            self.popen.kill()
            code = self.popen.wait()
        arrived.put((self, Died(broken or _how(code))))
        self.hang_up()


def _environment(device: str | None) -> dict[str, str]:
    """Return a worker's environment: one thread, its device, modules from where they are here."""
    own = dict.fromkeys(_THREADS, "1")
    here = str(Path(__file__).parents[2])  # first: a project's src may hold another copy
    own["PYTHONPATH"] = os.pathsep.join([here, *(path for path in sys.path if path)])
    own["TOKENIZERS_PARALLELISM"] = "false"
    if device is not None:
        own["CUDA_VISIBLE_DEVICES"] = device
    return os.environ | own


def _how(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    with suppress(ValueError):
        return f"signal {-code}, {Signals(-code).name}"
    return f"signal {-code}"

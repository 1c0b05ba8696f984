"""Work side by side: Python threads with one torch thread each.

Torch's operators release the interpreter, so whole batches or seeds run at once; each operator
stays on one thread, which is faster on busy cores than sharing operators out, and keeps every
bit the same whatever the number of workers.
"""

import ctypes
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from threading import RLock

import torch

_SEEDED = RLock()


def usable_cores() -> int:
    """Return how many cores this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


@contextmanager
def side_by_side(workers: int) -> Iterator[ThreadPoolExecutor]:
    """Give a pool of threads in which torch works on one thread each.

    At the end what they no longer need goes back to the system.
    """
    threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield pool
    finally:
        torch.set_num_threads(threads)
        _give_back_memory()


def _give_back_memory() -> None:
    """Let go of freed memory that the C library keeps for each thread: gigabytes, with glibc."""
    with suppress(AttributeError, OSError, TypeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)


@contextmanager
def on_one_thread() -> Iterator[None]:
    """Have torch work on one thread, as far as this thread is concerned."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def seeded(seed: int, device: torch.device | None = None) -> Iterator[None]:
    """Seed torch, on one thread, and leave its random state as it was.

    One caller at a time: this state is the process's.

    Args:
        seed: Of the CPU's random state, and of the device's.
        device: Where else random numbers are drawn; other GPUs are left alone.
    """
    gpus: list[int] = []
    if device is not None and device.type == "cuda":
        gpus = [torch.cuda.current_device() if device.index is None else device.index]
    with _SEEDED, on_one_thread(), torch.random.fork_rng(gpus):
        torch.default_generator.manual_seed(seed)
        for gpu in gpus:
            torch.cuda.default_generators[gpu].manual_seed(seed)
        yield

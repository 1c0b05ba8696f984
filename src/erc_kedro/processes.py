"""What identifies a process on this machine or another, and whether it is gone."""

import os
import socket
from contextlib import suppress
from pathlib import Path

import psutil

_PROC = Path("/proc")


def this_process() -> str:
    """Return what identifies this process, also after its number is given to another one."""
    return f"{_system()} {os.getpid()} {_start(os.getpid())}"


def is_here(process: str) -> bool:
    """Say whether a process is, or was, one of this system: only of these `is_gone` knows."""
    return process.split(" ", maxsplit=1)[0] == _system()


def is_gone(process: str) -> bool:
    """Say whether a process of this system has ended; of another system's nothing is known."""
    system, number, start = (process.split() + 3 * [""])[:3]
    if system != _system() or not number.isdecimal():
        return False
    try:
        return psutil.Process(int(number)).status() == psutil.STATUS_ZOMBIE or (
            _start(int(number)) != start
        )
    except psutil.NoSuchProcess:
        return True


def _system() -> str:
    """Return what tells this host apart, and on Linux this container: process numbers are its own.

    A restart of the machine is no new system: its processes are gone for certain.
    """
    name = socket.gethostname()
    with suppress(OSError):
        name += "/" + str(Path("/proc/self/ns/pid").readlink()).strip("pid:[]")
    return name


def _start(number: int) -> str:
    """Return when a process started: on Linux in ticks since the boot, which no clock moves."""
    with suppress(OSError):
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()[:8]
        fields = (_PROC / str(number) / "stat").read_text().rpartition(")")[2].split()
        return f"{boot}-{fields[19]}"
    return f"{psutil.Process(number).create_time():.0f}"

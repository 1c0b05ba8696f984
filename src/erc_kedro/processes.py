"""What identifies a process on this machine or another, and whether it is gone."""

import os
import socket
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import psutil

_PROC, _ETC = Path("/proc"), Path("/etc")

_FIRST_NAMESPACE = "4026531836"
"""Number of the processes' namespace outside of all containers, in every Linux."""


def this_process() -> str:
    """Return what identifies this process, also after its number is given to another one."""
    return f"{_system()} {os.getpid()} {_start(os.getpid())}"


def is_here(process: str) -> bool:
    """Say whether a process surely is, or was, one of this system: only of these `is_gone` knows.

    While the machine runs, its system is what no other can be taken for. After a restart it is
    known by name and machine-id, but not from within a container: those of an image may share both.
    """
    boot, _, system = process.partition(" ")[0].partition("/")
    own_boot, _, own = _system().partition("/")
    if system != own:
        return False
    _, machine, namespace = own.rsplit("/", maxsplit=2)
    return boot == own_boot or (machine != "" and namespace == _FIRST_NAMESPACE)


def is_gone(process: str) -> bool:
    """Say whether a process of this system has ended; of another system's nothing is known."""
    system, number, start = (process.split() + 3 * [""])[:3]
    if not is_here(process) or not number.isdecimal():
        return False
    if system != _system():  # from before a restart
        return True
    try:
        return psutil.Process(int(number)).status() == psutil.STATUS_ZOMBIE or (
            _start(int(number)) != start
        )
    except psutil.NoSuchProcess:
        return True


def _system() -> str:
    """Return what tells this system apart: "boot/host/machine/namespace".

    Process numbers are a container's own. Of the machine-id a hash stands there: it is not to be
    shown. Where there is no Linux, the host's name has to do.
    """
    boot = _read(_PROC / "sys/kernel/random/boot_id")[:8]
    machine = _read(_ETC / "machine-id")
    hidden = sha256(f"erc_kedro {machine}".encode()).hexdigest()[:8] if machine else ""
    namespace = ""
    with suppress(OSError):
        namespace = str((_PROC / "self/ns/pid").readlink()).strip("pid:[]")
    return f"{boot}/{socket.gethostname()}/{hidden}/{namespace}"


def _read(path: Path) -> str:
    with suppress(OSError):
        return path.read_text().strip()
    return ""


def _start(number: int) -> str:
    """Return when a process started: on Linux in ticks since the boot, which no clock moves."""
    with suppress(OSError):
        fields = (_PROC / str(number) / "stat").read_text().rpartition(")")[2].split()
        return fields[19]
    return f"{psutil.Process(number).create_time():.0f}"

"""Runs whose process is gone: a killed process cannot end its own runs."""

import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import psutil
from mlflow import MlflowClient
from mlflow.entities import RunStatus, ViewType

PROCESS = "process"
"""Tag that says which process works on a run: the system it is in, its number, its start."""

_PROC = Path("/proc")


def this_process() -> str:
    """Return what identifies this process, also after its number is given to another one."""
    return f"{_system()} {os.getpid()} {_start(os.getpid())}"


def mark_killed(client: MlflowClient, experiment_id: str) -> list[str]:
    """End as KILLED every run that a process of this system left running when it ended.

    Returns:
        The names of the parent runs among them.
    """
    running = client.search_runs(
        [experiment_id],
        filter_string="attributes.status = 'RUNNING'",
        run_view_type=ViewType.ACTIVE_ONLY,
    )
    names = []
    for run in running:
        if _is_gone(run.data.tags):
            client.set_tag(run.info.run_id, "error", "the process was killed, or the power cut")
            client.set_terminated(run.info.run_id, RunStatus.to_string(RunStatus.KILLED))
            if "mlflow.parentRunId" not in run.data.tags:
                names.append(str(run.info.run_name))
    return names


def _is_gone(tags: Mapping[str, str]) -> bool:
    system, number, start = (tags.get(PROCESS, "").split() + 3 * [""])[:3]
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

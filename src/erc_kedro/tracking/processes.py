"""Runs whose process is gone: a killed process cannot end its own runs."""

import os
import socket
from collections.abc import Mapping

import psutil
from mlflow import MlflowClient
from mlflow.entities import RunStatus, ViewType

PROCESS = "process"
"""Tag that says which process works on a run: host, process id and its start."""


def this_process() -> str:
    """Return what identifies this process, also after its id is given to another one."""
    started = psutil.Process().create_time()
    return f"{socket.gethostname()} {os.getpid()} {started:.0f}"


def mark_killed(client: MlflowClient, experiment_id: str) -> list[str]:
    """End as KILLED every run that a process of this machine left running when it ended.

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
    parts = tags.get(PROCESS, "").split()
    if len(parts) != 3 or parts[0] != socket.gethostname():
        return False
    try:
        process = psutil.Process(int(parts[1]))
        if process.status() == psutil.STATUS_ZOMBIE:
            return True
        return abs(process.create_time() - float(parts[2])) > 2
    except psutil.NoSuchProcess:
        return True

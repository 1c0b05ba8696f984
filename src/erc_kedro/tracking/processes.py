"""Runs whose process is gone: a killed process cannot end its own runs."""

from mlflow import MlflowClient
from mlflow.entities import RunStatus, ViewType

from erc_kedro.processes import is_gone, this_process

__all__ = ["PROCESS", "mark_killed", "this_process"]

PROCESS = "process"
"""Tag that says which process works on a run: the system it is in, its number, its start."""


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
        if is_gone(run.data.tags.get(PROCESS, "")):
            client.set_tag(run.info.run_id, "error", "the process was killed, or the power cut")
            client.set_terminated(run.info.run_id, RunStatus.to_string(RunStatus.KILLED))
            if "mlflow.parentRunId" not in run.data.tags:
                names.append(str(run.info.run_name))
    return names

"""Runs of dead processes are ended, those of living ones are not."""

import subprocess
import sys

import pytest
from mlflow import MlflowClient

from erc_kedro.tracking.processes import PROCESS, mark_killed, this_process


def started_by(client: MlflowClient, experiment: str, process: str, **tags: str) -> str:
    run = client.create_run(experiment, run_name="job", tags={PROCESS: process} | tags)
    return str(run.info.run_id)


@pytest.fixture
def dead() -> str:
    code = "from erc_kedro.tracking.processes import this_process; print(this_process())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_a_dead_process_left_its_runs_killed(
    client: MlflowClient, experiment: str, dead: str
) -> None:
    parent = started_by(client, experiment, dead)
    child = started_by(client, experiment, dead, **{"mlflow.parentRunId": parent})
    assert mark_killed(client, experiment) == ["job"]
    for run_id in (parent, child):
        run = client.get_run(run_id)
        assert run.info.status == "KILLED"
        assert run.info.end_time
        assert "killed" in run.data.tags["error"]
    assert mark_killed(client, experiment) == []


def test_living_processes_other_machines_and_ended_runs_are_left_alone(
    client: MlflowClient, experiment: str, dead: str
) -> None:
    system, number, started = dead.split()
    own = this_process()
    running = [
        started_by(client, experiment, own),
        started_by(client, experiment, f"{system}-elsewhere {number} {started}"),
        started_by(client, experiment, "?"),
    ]
    ended = started_by(client, experiment, dead)
    client.set_terminated(ended)
    assert mark_killed(client, experiment) == []
    assert {client.get_run(run_id).info.status for run_id in running} == {"RUNNING"}
    assert client.get_run(ended).info.status == "FINISHED"
    for run_id in running:
        client.set_terminated(run_id)


def test_a_process_number_given_to_another_process_does_not_fool_it(
    client: MlflowClient, experiment: str
) -> None:
    system, number, _ = this_process().split()
    earlier = started_by(client, experiment, f"{system} {number} earlier")
    mark_killed(client, experiment)
    assert client.get_run(earlier).info.status == "KILLED"

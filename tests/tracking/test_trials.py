"""Trials as child runs in a real MLflow store, and what happens when that does not answer."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from erc_kedro.core.tuning import Outcome, trial_listener
from erc_kedro.tracking.runs import ExperimentRuns
from erc_kedro.tracking.trials import TrialRuns, describe_search

TAGS = {"corpus": "toy", "process": "here 1 2"}
BOTH = ("weighted_f1", "macro_f1")
SETTINGS = {"ratio": 0.25, "strategy": "all", "training.objective.prior_correction": True}
OUTCOME = Outcome((0.6, 0.4), {"weighted_f1": [0.5, 0.7], "macro_f1": [0.3, 0.5]})


@pytest.fixture
def runs(client: MlflowClient, parent: str) -> ExperimentRuns:
    return ExperimentRuns(client, parent, TAGS)


@pytest.fixture
def trials(runs: ExperimentRuns) -> Iterator[TrialRuns]:
    own = TrialRuns(runs, BOTH, pause=0.05, patience=10)
    yield own
    own.close()


def children(client: MlflowClient, runs: ExperimentRuns) -> dict[str, Run]:
    query = f"tags.`mlflow.parentRunId` = '{runs.parent_id}'"
    found = client.search_runs([runs.experiment_id], filter_string=query)
    return {run.data.tags["trial_number"]: run for run in found}


def test_listens_from_when_it_is_made_until_it_is_closed(runs: ExperimentRuns) -> None:
    own = TrialRuns(runs, BOTH)
    assert trial_listener() is own
    own.close()
    assert trial_listener() is None


def test_a_trial_is_a_child_run_with_recipe_folds_values_and_state(
    trials: TrialRuns, runs: ExperimentRuns, client: MlflowClient
) -> None:
    run_id = trials.started(3, SETTINGS)
    assert run_id is not None
    begun = client.get_run(run_id)
    assert begun.info.status == "RUNNING"
    assert begun.info.run_name == "trial 3"
    wanted = TAGS | {"mlflow.parentRunId": runs.parent_id, "trial_number": "3"}
    assert wanted.items() <= begun.data.tags.items()
    assert begun.data.params == {key: str(value) for key, value in SETTINGS.items()}
    trials.ended(3, "COMPLETE", OUTCOME, None, 12.5)
    trials.close()
    ended = client.get_run(run_id)
    assert ended.info.status == "FINISHED"
    assert ended.data.tags["state"] == "COMPLETE"
    assert (
        ended.data.metrics.items() >= {"weighted_f1": 0.6, "macro_f1": 0.4, "seconds": 12.5}.items()
    )
    steps = client.get_metric_history(run_id, "fold_macro_f1")
    assert [(point.step, point.value) for point in steps] == [(0, 0.3), (1, 0.5)]


def test_a_failed_trial_says_why(trials: TrialRuns, client: MlflowClient) -> None:
    run_id = trials.started(0, SETTINGS)
    trials.ended(0, "FAIL", None, "FloatingPointError: the loss is not a finite number", 1.0)
    trials.close()
    run = client.get_run(str(run_id))
    assert run.info.status == "FAILED"
    assert run.data.tags["reason"] == "FloatingPointError: the loss is not a finite number"


def test_parent_and_trials_name_the_study(
    trials: TrialRuns, runs: ExperimentRuns, client: MlflowClient
) -> None:
    trials.searching("meld-1")
    run_id = trials.started(0, SETTINGS)
    trials.close()
    for run in (str(run_id), runs.parent_id):
        assert client.get_run(run).data.tags["study"] == "meld-1"


def test_trials_that_are_open_at_the_end_are_ended(
    trials: TrialRuns, runs: ExperimentRuns, client: MlflowClient
) -> None:
    trials.started(0, SETTINGS)
    trials.started(1, SETTINGS)
    trials.ended(1, "COMPLETE", OUTCOME, None, 1.0)
    trials.close("KILLED", "stopped from the keyboard")
    found = children(client, runs)
    assert (found["0"].info.status, found["1"].info.status) == ("KILLED", "FINISHED")
    assert found["0"].data.tags["reason"] == "stopped from the keyboard"


class Outage:
    """Lets a client's calls fail for a while, or hang."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, client: MlflowClient) -> None:
        self.down = False
        self.hangs = threading.Event()
        for name in ("create_run", "log_batch", "set_terminated"):
            real = getattr(client, name)
            monkeypatch.setattr(client, name, self.wrap(real))

    def wrap(self, real: Any) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            self.hangs.wait(20) if self.hangs.is_set() is False and self.down == "hangs" else None
            if self.down is True:
                raise MlflowException("Connection refused")
            return real(*arguments, **named)

        return call


@pytest.fixture
def outage(monkeypatch: pytest.MonkeyPatch, client: MlflowClient) -> Outage:
    return Outage(monkeypatch, client)


def test_an_outage_stops_nothing_and_what_was_missed_is_told_afterwards(
    trials: TrialRuns,
    runs: ExperimentRuns,
    client: MlflowClient,
    outage: Outage,
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert trials.started(0, SETTINGS)
    outage.down = True
    trials.ended(0, "COMPLETE", OUTCOME, None, 1.0)
    time.sleep(0.3)  # several attempts
    began = time.monotonic()
    assert trials.started(1, SETTINGS) is None
    trials.ended(1, "COMPLETE", OUTCOME, None, 1.0)
    assert time.monotonic() - began < 1
    outage.down = False
    deadline = time.monotonic() + 10
    while len(found := children(client, runs)) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    trials.close()
    found = children(client, runs)
    assert {name: run.info.status for name, run in found.items()} == dict.fromkeys("01", "FINISHED")
    assert sum("MLflow does not answer" in message for message in caplog.messages) == 1


def test_a_server_that_hangs_holds_up_a_trial_for_seconds_and_no_more(
    runs: ExperimentRuns, outage: Outage
) -> None:
    own = TrialRuns(runs, BOTH, patience=0.2)
    outage.down = "hangs"  # type: ignore[assignment]
    began = time.monotonic()
    assert own.started(0, SETTINGS) is None
    assert time.monotonic() - began < 5
    outage.down = False
    outage.hangs.set()
    own.close()


def test_a_server_that_stays_gone_is_said_at_the_end(
    runs: ExperimentRuns, outage: Outage, caplog: pytest.LogCaptureFixture
) -> None:
    own = TrialRuns(runs, BOTH, pause=0.05, patience=0.2)
    outage.down = True
    own.started(0, SETTINGS)
    own.ended(0, "COMPLETE", OUTCOME, None, 1.0)
    own.close()
    assert "not all trials are in it" in caplog.messages[-1]


def test_the_parents_page_says_proposal_and_command(
    runs: ExperimentRuns, client: MlflowClient
) -> None:
    summary = {
        "study": "toy-1",
        "best": {"number": 2, "values": {"macro_f1": 0.4}},
        "check": {"comparisons": [{"metric": "macro_f1", "difference": 0.01}]},
        "proposal": {"sentences": ["Trial 2 is proposed.", "This is indicative."]},
    }
    describe_search(runs, summary, "kedro run --pipeline=augment_toy")
    run = client.get_run(runs.parent_id)
    note = run.data.tags["mlflow.note.content"]
    assert note.startswith("**Trial 2 is proposed.**")
    assert "    kedro run --pipeline=augment_toy" in note
    assert run.data.metrics.items() >= {"best_trial": 2.0, "dev_macro_f1_difference": 0.01}.items()

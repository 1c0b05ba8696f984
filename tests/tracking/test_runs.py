"""Child runs in a real MLflow store."""

from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.utils.validation import MAX_PARAM_VAL_LENGTH

from erc_kedro.tracking.runs import (
    ExperimentRuns,
    arm_metrics,
    comparison_metrics,
    validation_metrics,
)
from erc_kedro.tracking.secrets import Secrets

TAGS = {"corpus": "meld", "corpus_source": "sample"}


@pytest.fixture
def runs(client: MlflowClient, parent: str) -> ExperimentRuns:
    return ExperimentRuns(client, parent, TAGS)


class TestChildren:
    def test_carry_the_parent_the_arm_and_the_tags(
        self, runs: ExperimentRuns, client: MlflowClient, parent: str, experiment: str
    ) -> None:
        run = client.get_run(runs.child("augmented"))
        assert runs.parent_id == parent
        assert run.info.experiment_id == experiment
        assert run.info.run_name == "augmented"
        assert run.info.status == "RUNNING"
        wanted = TAGS | {"mlflow.parentRunId": parent, "arm": "augmented", "mlflow.user": "ann"}
        assert {name: run.data.tags.get(name) for name in wanted} == wanted

    def test_the_parent_carries_the_tags_too(
        self, runs: ExperimentRuns, client: MlflowClient, parent: str
    ) -> None:
        tags = client.get_run(parent).data.tags
        assert {name: tags.get(name) for name in TAGS} == TAGS
        assert "arm" not in tags

    def test_there_is_one_per_arm(
        self, runs: ExperimentRuns, client: MlflowClient, parent: str, experiment: str
    ) -> None:
        ids = [runs.child(arm) for arm in ("a", "b", "a", "b")]
        assert ids[:2] == ids[2:]
        assert ids[0] != ids[1]
        query = f"tags.`mlflow.parentRunId` = '{parent}'"
        found = client.search_runs([experiment], filter_string=query)
        assert {run.info.run_id for run in found} == set(ids)

    def test_do_not_make_a_run_active(self, runs: ExperimentRuns) -> None:
        import mlflow

        runs.child("a")
        assert mlflow.active_run() is None


class TestEnd:
    def test_ends_the_arm_as_finished_and_no_other(
        self, runs: ExperimentRuns, client: MlflowClient, parent: str
    ) -> None:
        one, two = runs.child("one"), runs.child("two")
        runs.end("one")
        info = client.get_run(one).info
        assert info.status == "FINISHED"
        assert info.end_time is not None
        assert client.get_run(two).info.status == "RUNNING"
        assert client.get_run(parent).info.status == "RUNNING"

    def test_an_error_fails_what_is_open_and_is_tagged_there_and_on_the_parent(
        self, runs: ExperimentRuns, client: MlflowClient, parent: str
    ) -> None:
        done, open_a, open_b = (runs.child(arm) for arm in ("done", "a", "b"))
        runs.end("done")
        runs.fail_open(ValueError("no such thing"))
        assert client.get_run(done).info.status == "FINISHED"
        assert "error" not in client.get_run(done).data.tags
        for run_id in (open_a, open_b):
            run = client.get_run(run_id)
            assert run.info.status == "FAILED"
            assert run.data.tags["error"] == "ValueError: no such thing"
        parent_run = client.get_run(parent)
        assert parent_run.data.tags["error"] == "ValueError: no such thing"
        assert parent_run.info.status == "RUNNING"  # kedro-mlflow ends it

    def test_a_second_error_finds_nothing_open(
        self, runs: ExperimentRuns, client: MlflowClient
    ) -> None:
        child = runs.child("a")
        runs.fail_open(ValueError("first"))
        runs.fail_open(ValueError("second"))
        assert client.get_run(child).data.tags["error"] == "ValueError: first"

    def test_an_arm_may_end_as_failed(self, runs: ExperimentRuns, client: MlflowClient) -> None:
        child = runs.child("a")
        runs.end("a", "FAILED")
        assert client.get_run(child).info.status == "FAILED"

    def test_a_very_long_error_is_cut(
        self, runs: ExperimentRuns, client: MlflowClient, parent: str
    ) -> None:
        runs.fail_open(ValueError("x" * 50_000))
        assert client.get_run(parent).data.tags["error"].startswith("ValueError: xxx")


def forbid_large_batches(client: MlflowClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a local store be as strict as a server is."""
    log_batch = client.log_batch

    def strict(run_id: str, metrics: Any = (), params: Any = (), tags: Any = ()) -> None:
        assert len(metrics) <= 1000
        assert len(params) <= 100
        log_batch(run_id, metrics=metrics, params=params, tags=tags)

    monkeypatch.setattr(client, "log_batch", strict)


class TestLogging:
    def test_parameters_are_flattened_and_long_values_cut(
        self, runs: ExperimentRuns, client: MlflowClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("MLFLOW_TRUNCATE_LONG_VALUES", "false")  # a server may refuse them
        child = runs.child("a")
        values = {"m": {"a": {"b": 1, "none": None}, "list": [1, 2]}, "long": "y" * 9000}
        runs.log_parameters(child, values)
        params = client.get_run(child).data.params
        assert params.pop("long") == "y" * MAX_PARAM_VAL_LENGTH
        assert params == {"m.a.b": "1", "m.a.none": "None", "m.list": "[1, 2]"}

    def test_more_parameters_than_mlflow_takes_at_once(
        self, runs: ExperimentRuns, client: MlflowClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        child = runs.child("a")
        forbid_large_batches(client, monkeypatch)
        runs.log_parameters(child, {"group": {f"p{i}": i for i in range(201)}})
        wanted = {f"group.p{i}": str(i) for i in range(201)}
        assert client.get_run(child).data.params == wanted

    def test_metrics_and_series_with_their_steps(
        self, runs: ExperimentRuns, client: MlflowClient
    ) -> None:
        child, other = runs.child("a"), runs.child("b")
        runs.log_metrics(child, {"f1": 0.5}, {"loss": [3.0, 2.0, 1.5]})
        assert client.get_run(child).data.metrics == {"f1": 0.5, "loss": 1.5}
        history = client.get_metric_history(child, "loss")
        assert [(m.step, m.value) for m in history] == [(0, 3.0), (1, 2.0), (2, 1.5)]
        assert client.get_run(other).data.metrics == {}

    def test_more_metrics_than_mlflow_takes_at_once(
        self, runs: ExperimentRuns, client: MlflowClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        child = runs.child("a")
        forbid_large_batches(client, monkeypatch)
        runs.log_metrics(child, {}, {"loss": [float(i) for i in range(1203)]})
        steps = [metric.step for metric in client.get_metric_history(child, "loss")]
        assert sorted(steps) == list(range(1203))

    def test_artifacts_and_tags_go_to_the_run_named(
        self, runs: ExperimentRuns, client: MlflowClient, parent: str
    ) -> None:
        from mlflow.artifacts import load_dict, load_text

        child = runs.child("a")
        runs.log_json(child, {"rows": [[1, 2]]}, "confusion.json")
        runs.log_text(parent, "a,b\n1,2\n", "table.csv")
        runs.tag(child, {"colour": "red"})
        uri = client.get_run(child).info.artifact_uri
        assert load_dict(f"{uri}/confusion.json") == {"rows": [[1, 2]]}
        assert load_text(f"{client.get_run(parent).info.artifact_uri}/table.csv") == "a,b\n1,2\n"
        assert client.get_run(child).data.tags["colour"] == "red"
        assert "colour" not in client.get_run(parent).data.tags


class TestSecrets:
    def test_stand_in_nothing_that_is_logged(
        self, client: MlflowClient, parent: str, experiment: str
    ) -> None:
        from mlflow.artifacts import load_dict, load_text

        secrets = Secrets({"api": {"key": "k-secret-1"}}, {})
        runs = ExperimentRuns(
            client, parent, {"address": "db://ann:pw@host"}, name="key=k-secret-1", secrets=secrets
        )
        child = runs.child("a")
        runs.log_parameters(child, {"m": {"list": ["k-secret-1"]}, "key": "k-secret-1"})
        runs.log_text(child, "it is k-secret-1", "text.txt")
        runs.log_json(child, {"deep": ["k-secret-1"]}, "value.json")
        runs.fail_open(ValueError("wrong key k-secret-1"))
        run = client.get_run(child)
        shown = f"{run.data.params} {run.data.tags} {run.info} {client.get_run(parent)}"
        shown += load_text(f"{run.info.artifact_uri}/text.txt")
        shown += str(load_dict(f"{run.info.artifact_uri}/value.json"))
        assert "k-secret-1" not in shown
        assert "ann:pw" not in shown
        assert "wrong key [hidden]" in shown


class TestNames:
    def test_of_an_arms_metrics(self) -> None:
        values = {"macro_f1": {"mean": 0.5, "std": 0.1, "per_seed": [0.4, 0.6]}}
        named = arm_metrics({"metrics": values, "ensemble": {"macro_f1": 0.55}, "confusion": []})
        assert named == {
            "test_macro_f1": 0.5, "test_macro_f1_std": 0.1, "test_macro_f1_ensemble": 0.55
        }  # fmt: skip

    def test_of_a_validation_report(self) -> None:
        report = {
            "success_percent": 90.0, "planned": 10, "accepted": 8, "refused": 2,
            "refused_by_rule": {"turns": 2, "speakers": 0},
        }  # fmt: skip
        assert validation_metrics(report) == {
            "gx_success_percent": 90.0, "synthetic_planned": 10, "synthetic_accepted": 8,
            "synthetic_refused": 2, "refused_turns": 2, "refused_speakers": 0,
        }  # fmt: skip

    def test_of_a_comparison(self) -> None:
        entry = {
            "arm": "augmented", "baseline": "real_only", "metric": "macro_f1",
            "difference": 0.02, "ci95": [-0.01, 0.05], "p_adjusted": 0.3,
        }  # fmt: skip
        arms = {
            "real_only": {"macro_f1": {"mean": 0.4}, "f1_joy": {"mean": 0.3}},
            "augmented": {"macro_f1": {"mean": 0.42}, "f1_joy": {"mean": 0.3}},
        }
        assert comparison_metrics({"arms": arms, "comparisons": [entry]}) == {
            "real_only_macro_f1": 0.4,
            "augmented_macro_f1": 0.42,
            "augmented_macro_f1_gain": 0.02,
            "augmented_macro_f1_gain_low": -0.01,
            "augmented_macro_f1_gain_high": 0.05,
            "augmented_macro_f1_gain_p": 0.3,
        }

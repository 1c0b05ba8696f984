"""A server writes the dialogues of a run; a second run asks it nothing."""

import json
from collections.abc import Callable

import pytest

from erc_kedro.core import progress
from tests.conftest import Project
from tests.llm.fault_server import TRANSPORT_FAULTS, Faults, FaultServer

KEY = "sk-planted-9876543210"
ENTRY = """
"{{corpus}}.language_model":
  type: erc_kedro.datasets.LanguageModelDataset
  backend: openai
  options: {{base_url: "{url}", model: tiny}}
  store: {{path: "data/03_primary/{{corpus}}/completions.db"}}
  credentials: language_model
"""
PRICES = {"meld": {"generation": {"prices": {"prompt": 0.5, "completion": 1.5}}}}


def test_a_server_with_faults_fills_the_plan_and_is_never_asked_twice(
    project: Project,
    overlay: Callable[[str, str], None],
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rates = dict.fromkeys(TRANSPORT_FAULTS, 0.05) | {"wrong_label": 0.1}
    with FaultServer(Faults(rates=rates, seed=3, retry_after="0.05")) as server:
        overlay("catalog_generation.yml", ENTRY.format(url=server.url))
        overlay("credentials.yml", f"language_model: {{api_key: {KEY}}}\n")
        monkeypatch.setattr(progress, "TELL_SECONDS", 0.0)
        project.run("generate_meld", PRICES)
        _check_account(project)
        assert "0 of 52 there, 52 to write" in caplog.text
        assert "52 of 52 synthetic dialogues accepted" in caplog.text
        asked = server.given.total()
        caplog.clear()
        project.run("generate_meld", PRICES)
        assert _metrics(project)["generation_cost_this_run"] == 0
        assert _metrics(project)["generation_cost"] > 0
        assert "52 of 52 there, none to write" in caplog.text
        assert server.given.total() == asked
    for path in project.path.rglob("*"):
        if path.is_file() and path.name != "credentials.yml":
            assert KEY.encode() not in path.read_bytes(), path
    said = capsys.readouterr()
    assert KEY not in said.out + said.err + caplog.text


def _metrics(project: Project) -> dict[str, float]:
    return dict(project.runs()[0].data.metrics)


def _check_account(project: Project) -> None:
    """The account adds up, and MLflow was told of it while the run went on."""
    from mlflow import MlflowClient

    report = json.loads(project.read("08_reporting/meld/generation_report.json"))
    assert report["accepted"] == report["planned"] == 52
    assert report["refused_by_rule"]["emotions"] > 0
    spent = report["this_run"]
    assert spent == report["all"]
    assert spent["requests"] == 52 + sum(report["refused_by_rule"].values())
    tokens = (spent["prompt_tokens"], spent["completion_tokens"])
    assert spent["cost"] == pytest.approx((0.5 * tokens[0] + 1.5 * tokens[1]) / 1e6)
    metrics = _metrics(project)
    assert metrics["generation_cost"] == spent["cost"]
    assert metrics["generation_accepted"] == 52
    assert metrics["generation_refused_emotions"] == report["refused_by_rule"]["emotions"]
    assert metrics["generation_accepted_per_minute"] > 0
    client, run = MlflowClient(project.store), project.runs()[0]
    history = client.get_metric_history(run.info.run_id, "generation_accepted")
    assert len(history) > 50
    assert [point.value for point in history] == sorted(point.value for point in history)
    logged = {file.path for file in client.list_artifacts(run.info.run_id, "generation")}
    names = ("dialogue_v1.jinja", "first_request.md", "generation_report.json")
    assert logged == {f"generation/{name}" for name in names}

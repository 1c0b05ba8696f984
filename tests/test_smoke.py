"""The main job end to end, as a user starts it, and what it leaves behind."""

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from kedro.runner import ThreadRunner

from erc_kedro.core.errors import UserError
from erc_kedro.core.experiment import ARMS
from tests.conftest import Project
from tests.modelling.conftest import save_bert

METRICS = {"weighted_f1", "macro_f1", "accuracy"}


@pytest.fixture(scope="module")
def comparison(finished: tuple[Project, Any]) -> dict[str, Any]:
    return json.loads(finished[0].read("08_reporting/meld/comparison.json"))


def test_the_command_succeeds_and_says_first_and_last_what_data_it_is_about(
    finished: tuple[Project, Any],
) -> None:
    _, done = finished
    assert done.returncode == 0, done.stderr
    said = done.stderr.splitlines()
    assert "SAMPLE" in said[0]
    assert "SAMPLE" in said[-1]
    for arm in ARMS:
        assert arm in done.stdout
    assert "sample data" in done.stdout


def test_the_log_fits_on_one_screen_and_every_stage_says_what_it_did(
    finished: tuple[Project, Any],
) -> None:
    _, done = finished
    said = done.stderr.splitlines()
    assert len(said) + len(done.stdout.splitlines()) <= 45
    assert all(re.match(r"\d\d:\d\d:\d\d ", line) for line in said), said
    for stage in ("ingestion", "generation", "validation", "encoding", "evaluation"):
        assert [line for line in said if f" {stage} " in line]
    for arm in ARMS:
        assert [line for line in said if f"{arm} mixing" in line and "mixed anew" in line]
        training = [line for line in said if f"{arm} training" in line]
        assert len(training) == 1
        assert "2 classifiers trained, 12 steps each: none was there" in training[0]
    assert any("Report: " in line and "report.html" in line for line in said)


def test_the_comparison_has_every_arm_metric_and_difference(comparison: dict[str, Any]) -> None:
    assert comparison["corpus"] == "meld"
    assert comparison["corpus_source"] == "sample"
    assert comparison["real_fraction"] == 1.0
    assert comparison["seeds"] == [0, 1]
    assert list(comparison["arms"]) == list(ARMS)
    for metrics in comparison["arms"].values():
        assert metrics.keys() > METRICS
        for values in metrics.values():
            assert len(values["per_seed"]) == 2
            assert values["mean"] == pytest.approx(sum(values["per_seed"]) / 2)
            assert 0 <= values["mean"] <= 1
    compared = {(entry["arm"], entry["metric"]) for entry in comparison["comparisons"]}
    assert compared == {(arm, m) for arm in ARMS[1:] for m in ("weighted_f1", "macro_f1")}
    for entry in comparison["comparisons"]:
        assert entry["baseline"] == "real_only"
        means = [comparison["arms"][entry[k]][entry["metric"]]["mean"] for k in ("arm", "baseline")]
        assert entry["difference"] == pytest.approx(means[0] - means[1])
        assert entry["ci95"][0] <= entry["ci95"][1]
        assert 0 < entry["p_value"] <= entry["p_adjusted"] <= 1
    assert set(comparison["smallest_detectable"]) == {"weighted_f1", "macro_f1"}


def test_mlflow_holds_a_parent_and_one_finished_child_per_arm(
    finished: tuple[Project, Any], comparison: dict[str, Any]
) -> None:
    project, _ = finished
    *children, parent = project.runs()
    assert {child.data.tags["arm"] for child in children} == set(ARMS)
    assert {child.info.run_name for child in children} == {f"{arm} (sample)" for arm in ARMS}
    for run in (parent, *children):
        assert run.info.status == "FINISHED"
        assert run.data.tags["corpus"] == "meld"
        assert run.data.tags["corpus_source"] == "sample"
        assert run.data.tags["kedro_command"] == "kedro run --pipelines=augment_meld --env=test"
    assert parent.data.params["meld.augmented.loss_weight"] == "0.1"
    assert parent.data.params["meld.training.contextual.steps"] == "12"
    assert parent.data.metrics["gx_success_percent"] == 100
    for child in children:
        assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
        arm = child.data.tags["arm"]
        for metric, values in comparison["arms"][arm].items():
            assert child.data.metrics[f"test_{metric}"] == pytest.approx(values["mean"])
            assert child.data.metrics[f"test_{metric}_std"] == pytest.approx(values["std"])
        assert child.data.metrics["optimiser_steps"] == 12
        added = arm in {"augmented", "synthetic_only"}
        assert ("ratio" in child.data.params) == added


def test_arms_are_made_of_the_data_that_their_names_say(finished: tuple[Project, Any]) -> None:
    project, _ = finished
    sets = {
        arm: pd.read_parquet(project.path / f"data/05_model_input/meld/{arm}/training_sets.parquet")
        for arm in ARMS
    }
    sizes = {arm: len(table) / 2 for arm, table in sets.items()}
    assert set(sets["real_only"]["source"]) == {"real"}
    assert set(sets["synthetic_only"]["source"]) == {"synthetic"}
    assert set(sets["oversampled"]["source"]) == {"real", "repeated"}
    half = sizes["synthetic_only"] / 2
    assert sizes["augmented"] == pytest.approx(sizes["real_only"] + half, abs=6)
    assert sizes["oversampled"] == pytest.approx(sizes["augmented"], abs=15)
    rare = {arm: (table["emotion"] == "fear").mean() for arm, table in sets.items()}
    assert rare["oversampled"] > rare["real_only"]
    weights = sets["augmented"].groupby("source")["weight"].unique()
    assert weights["real"] == [1.0]
    assert weights["synthetic"] == [0.1]


@pytest.mark.usefixtures("untracked")
def test_a_second_run_keeps_what_nothing_changed_for_and_gives_the_same_comparison(
    finished: tuple[Project, Any], copied: Project, caplog: pytest.LogCaptureFixture
) -> None:
    copied.run("augment_meld")
    assert copied.read("08_reporting/meld/comparison.json") == finished[0].read(
        "08_reporting/meld/comparison.json"
    )
    kept = "2 classifiers kept: nothing they depend on changed"
    assert caplog.messages.count(kept) == len(ARMS)
    assert " encoded" not in caplog.text
    caplog.clear()
    changed = {"meld": {"augmented": {"loss_weight": 0.25}}}
    copied.run("augment_meld", changed, to_nodes=[f"meld.{arm}.training.train" for arm in ARMS])
    trained = [message for message in caplog.messages if "trained" in message]
    assert len(trained) == 2  # the oversampled arm's copies bear the same weight
    assert all("training set changed" in message for message in trained)
    assert caplog.messages.count(kept) == 2
    stores = [own.path / "data/04_feature/store" for own in (copied, finished[0])]
    sizes = [sum(f.stat().st_size for f in place.rglob("matrix.f32")) for place in stores]
    assert sizes[0] == sizes[1]


@pytest.mark.usefixtures("untracked")
def test_a_smaller_real_fraction_is_shared_by_all_arms(project: Project) -> None:
    params = {"meld": {"experiment": {"real_fraction": 0.5, "n_seeds": 2}}}
    ends = [f"meld.{arm}.training.train" for arm in ("oversampled", "augmented")]
    project.run("augment_meld", params, to_nodes=ends)
    real = pd.read_parquet(project.path / "data/05_model_input/meld/real_train.parquet")
    drawn = real.groupby("seed")["dialogue_id"].agg(set)
    assert [len(ids) for ids in drawn] == [60, 60]
    assert drawn[0] != drawn[1]
    for arm in ("oversampled", "augmented"):
        table = pd.read_parquet(
            project.path / f"data/05_model_input/meld/{arm}/training_sets.parquet"
        )
        own = table[(table["source"] == "real") & ~table["dialogue_id"].str.contains("#")]
        assert own.groupby("seed")["dialogue_id"].agg(set).tolist() == drawn.tolist()
        history = pd.read_parquet(
            project.path / f"data/06_models/meld/{arm}/training_history.parquet"
        )
        assert history["step"].max() == 12


def test_the_fine_tuned_encoder_is_switched_on_by_parameters(
    project: Project, tmp_path: Path
) -> None:
    encoder = save_bert(tmp_path / "bert", seed=0)
    settings = {"encoder": str(encoder), "steps": 6, "step_scaling": 0.0, "max_tokens": 32}
    training = {"classifier": "finetuned", "finetuned": settings}
    project.run("augment_meld", {"meld": {"encoding": {"encoder": None}, "training": training}})
    features = json.loads(project.read("04_feature/meld/features.json"))
    assert features["path"] is None
    comparison = json.loads(project.read("08_reporting/meld/comparison.json"))
    assert set(comparison["arms"]) == set(ARMS)
    [*children, _] = project.runs()
    assert all(child.data.metrics["optimiser_steps"] == 6 for child in children)


def test_threads_give_the_same_comparison(finished: tuple[Project, Any], project: Project) -> None:
    project.run("augment_meld", runner=ThreadRunner())
    first = finished[0].read("08_reporting/meld/comparison.json")
    assert project.read("08_reporting/meld/comparison.json") == first
    assert [run.info.status for run in project.runs()] == ["FINISHED"] * 5


def test_a_run_without_a_pipelines_name_augments_the_first_corpus(project: Project) -> None:
    project.run(None, to_nodes=["meld.ingestion.split_corpus"])
    [run] = project.runs()
    assert run.info.status == "FINISHED"
    assert run.data.tags["corpus"] == "meld"


def test_one_arm_runs_alone_and_scores_of_another_experiment_are_not_compared(
    copied: Project, caplog: pytest.LogCaptureFixture
) -> None:
    before = copied.read("08_reporting/meld/comparison.json")
    copied.run("augment_meld", namespaces=["meld.augmented"])
    assert "meld.augmented: weighted F1" in caplog.text
    assert "Of an earlier run: comparison.json, the result table, the report" in caplog.text
    caplog.clear()
    copied.run("augment_meld", namespaces=["meld.evaluation"])
    assert "Of an earlier run: the report." in caplog.text
    provenance = json.loads(copied.read("08_reporting/meld/provenance.json"))
    assert provenance["kedro_command"] == "kedro run --pipelines=augment_meld --env=test"
    assert [part.split("--namespaces=")[1] for part in provenance["parts"]] == [
        "meld.augmented",
        "meld.evaluation",
    ]
    assert copied.read("08_reporting/meld/comparison.json") == before
    other = {"meld": {"experiment": {"real_fraction": 0.5}}}
    with pytest.raises(UserError, match="An arm's scores are of another experiment"):
        copied.run("augment_meld", other, namespaces=["meld.evaluation"])
    assert copied.read("08_reporting/meld/comparison.json") == before

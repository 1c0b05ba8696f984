"""What MLflow holds after a run, as a person finds it there."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from erc_kedro.core.experiment import ARMS
from erc_kedro.core.verdict import headline
from erc_kedro.corpora import CORPORA
from tests.conftest import ROOT, Project


@pytest.fixture(scope="module")
def runs(finished: tuple[Project, Any]) -> dict[str, Any]:
    """The parent run under "parent", and every arm's."""
    return {run.data.tags.get("arm", "parent"): run for run in finished[0].runs()}


def artifacts(run: Any) -> dict[str, Path]:
    folder = Path(run.info.artifact_uri.removeprefix("file://"))
    return {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}


def test_the_parent_names_its_data_with_digests(runs: dict[str, Any]) -> None:
    inputs = runs["parent"].inputs.dataset_inputs
    assert {i.dataset.name: i.tags[0].value for i in inputs} == {
        "meld_train": "training",
        "meld_dev": "validation",
        "meld_test": "testing",
        "meld_synthetic": "training",
    }
    assert len({i.dataset.digest for i in inputs}) == 4
    for arm in ARMS:
        [own] = runs[arm].inputs.dataset_inputs
        assert own.dataset.name == f"meld_{arm}_training_sets"


def test_the_parents_page_says_verdict_scores_and_command(
    runs: dict[str, Any], finished: tuple[Project, Any]
) -> None:
    comparison = json.loads(finished[0].read("08_reporting/meld/comparison.json"))
    note = runs["parent"].data.tags["mlflow.note.content"]
    assert headline(comparison) in note
    assert "kedro run --pipelines=augment_meld --env=test" in note
    for arm in ARMS:
        assert f"| {arm} |" in note
        assert "macro_f1" in runs[arm].data.tags["mlflow.note.content"]


def test_the_parent_holds_report_table_figures_validation_and_configuration(
    runs: dict[str, Any], finished: tuple[Project, Any]
) -> None:
    there = artifacts(runs["parent"])
    report = finished[0].read("08_reporting/meld/report.html").decode()
    assert there["report.html"].read_text() == report
    table = json.loads(there["result_table.json"].read_text())
    assert table["columns"][0] == "arm"
    assert [row[0] for row in table["data"]] == list(ARMS)
    for figure in ("differences", "emotions", "confusions", "shares", "transitions", "training"):
        kept = finished[0].path / f"data/08_reporting/meld/figures/{figure}.svg"
        assert there[f"figures/{figure}.svg"].read_bytes() == kept.read_bytes()
        assert there[f"figures/{figure}.png"].read_bytes().startswith(b"\x89PNG")
    assert "validation/validation_report.json" in there
    assert "validation/data_docs/index.html" in there
    assert "steps: 12" in there["configuration/parameters.yml"].read_text()
    assert "ParquetDataset" in there["configuration/catalog.yml"].read_text()


def test_whole_runs_can_be_compared_by_the_parents_metrics(
    runs: dict[str, Any], finished: tuple[Project, Any]
) -> None:
    comparison = json.loads(finished[0].read("08_reporting/meld/comparison.json"))
    metrics = runs["parent"].data.metrics
    for arm in ARMS:
        mean = comparison["arms"][arm]["macro_f1"]["mean"]
        assert metrics[f"{arm}_macro_f1"] == pytest.approx(mean)
    for entry in comparison["comparisons"]:
        name = f"{entry['arm']}_{entry['metric']}_gain"
        assert metrics[name] == pytest.approx(entry["difference"])
        assert metrics[f"{name}_p"] == pytest.approx(entry["p_adjusted"])


def test_the_machine_is_watched(runs: dict[str, Any]) -> None:
    metrics = runs["parent"].data.metrics
    assert 0 <= metrics["system/cpu_utilization_percentage"] <= 100
    assert metrics["system/system_memory_usage_megabytes"] > 100


@pytest.mark.parametrize("arm", ARMS)
def test_an_arm_has_its_curves_figures_sizes_and_shared_parameters(
    runs: dict[str, Any], finished: tuple[Project, Any], arm: str
) -> None:
    from mlflow import MlflowClient

    run, there = runs[arm], artifacts(runs[arm])
    for name in ("confusion", "f1_by_emotion", "training_curves"):
        assert there[f"figures/{name}.png"].read_bytes().startswith(b"\x89PNG")
    loss = MlflowClient(finished[0].store).get_metric_history(run.info.run_id, "loss")
    assert len(loss) == run.data.metrics["optimiser_steps"] == 12
    training_sets = pd.read_parquet(
        finished[0].path / f"data/05_model_input/meld/{arm}/training_sets.parquet"
    )
    assert run.data.metrics["train_utterances"] == len(training_sets) / 2
    fear = (training_sets["emotion"] == "fear").sum() / 2
    assert run.data.metrics["train_fear"] == fear
    shared = {"real_fraction": "1.0", "n_seeds": "2", "encoder": "embedded"}
    assert {key: run.data.params[key] for key in shared} == shared


def test_an_arms_model_is_the_ensemble_of_its_seeds_and_carries_its_scores(
    runs: dict[str, Any], finished: tuple[Project, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    project = finished[0]
    mlflow.set_tracking_uri(project.store)
    [model] = mlflow.search_logged_models(
        [runs["augmented"].info.experiment_id],
        filter_string=f"source_run_id = '{runs['augmented'].info.run_id}'",
        output_format="list",
    )
    assert {m.key for m in model.metrics} >= {"test_macro_f1", "test_macro_f1_ensemble"}
    test = pd.read_parquet(project.path / "data/02_intermediate/meld/test_dialogues.parquet")
    asked = test[["dialogue_id", "turn", "speaker", "text"]]
    answer = mlflow.pyfunc.load_model(f"models:/{model.model_id}").predict(asked)
    predictions = pd.read_parquet(
        project.path / "data/07_model_output/meld/augmented/predictions.parquet"
    )
    columns = [name for name in answer.columns if name.startswith("p_")]
    mean = predictions.groupby(["dialogue_id", "turn"], sort=False)[columns].mean()
    expected = mean.loc[pd.MultiIndex.from_frame(test[["dialogue_id", "turn"]])].to_numpy()
    assert abs(answer[columns].to_numpy() - expected).max() < 1e-6
    accuracy = (answer["emotion"].to_numpy() == test["emotion"].to_numpy()).mean()
    metrics = json.loads(project.read("08_reporting/meld/augmented/metrics.json"))
    assert accuracy == pytest.approx(metrics["metrics"]["accuracy"]["mean"], abs=0.2)


def test_the_augmented_arms_model_is_registered_when_parameters_say_so(copied: Project) -> None:
    from mlflow import MlflowClient

    chosen = {"namespaces": ["meld.augmented", "meld.real_only", "meld.evaluation"]}
    copied.run("augment_meld", {"meld": {"experiment": {"register_model": True}}}, **chosen)
    client = MlflowClient(copied.store)
    [registered] = client.search_registered_models()
    assert registered.name == "meld-sample"  # no sample result is taken for one on the corpus
    [version] = client.search_model_versions("name = 'meld-sample'")
    assert client.get_run(version.run_id).data.tags["arm"] == "augmented"


def test_a_killed_run_is_marked_by_the_next_one(project: Project) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(project.store)
    experiment = client.create_experiment(
        "erc_kedro", artifact_location=(project.path / "mlartifacts").as_uri()
    )
    from erc_kedro.tracking.processes import this_process

    system, number, _ = this_process().split()
    left = client.create_run(
        experiment, run_name="left", tags={"process": f"{system} {number} earlier"}
    )
    project.run("prepare_meld")
    assert client.get_run(left.info.run_id).info.status == "KILLED"


def test_a_part_of_train_is_named_on_the_screen_in_mlflow_and_in_the_card(
    project: Project, overlay: Callable[[str, str], None]
) -> None:
    scarce = (ROOT / "conf/scarce/catalog.yml").read_text().split('"{corpus}.language_model"')[0]
    overlay("catalog.yml", scarce.replace("train_fraction: 0.1", "train_fraction: 0.5"))
    done = project.kedro("run", "--pipeline=prepare_meld", "--env=test")
    assert done.returncode == 0, done.stderr
    assert "50% of train alone" in done.stderr.splitlines()[0]
    card = json.loads(project.read("02_intermediate/meld/corpus_card.json"))
    tags = project.runs()[0].data.tags
    assert (card["train_fraction"], tags["corpus_train_fraction"]) == (0.5, "0.5")
    assert tags["corpus_digest"] == card["digest"]
    train = pd.read_parquet(project.path / "data/02_intermediate/meld/train_dialogues.parquet")
    whole = CORPORA["meld"].sample
    assert whole is not None
    rows = pd.read_csv(whole / "train_sent_emo.csv")
    assert train["dialogue_id"].nunique() == round(0.5 * rows["Dialogue_ID"].nunique())


def test_that_another_run_makes_the_experiment_at_the_same_moment_does_no_harm(
    new_project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    create, missed = MlflowClient.create_experiment, []

    def create_second(self: MlflowClient, name: str, *args: Any, **kwargs: Any) -> str:
        if name == "erc_kedro" and not missed:
            missed.append(create(self, name, *args, **kwargs))  # the other run's
        return create(self, name, *args, **kwargs)

    (new_project.path / "mlflow.db").unlink(missing_ok=True)
    monkeypatch.setattr(MlflowClient, "create_experiment", create_second)
    new_project.run("prepare_meld")
    assert missed
    assert [run.info.status for run in new_project.runs()] == ["FINISHED"]

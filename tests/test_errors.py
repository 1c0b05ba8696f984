"""Bad input, bad parameters and bad synthetic dialogues: one clear error, nothing lost."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from kedro.validation.exceptions import ParameterValidationError

from erc_kedro.core.errors import UserError
from erc_kedro.corpora import CORPORA
from erc_kedro.hooks.parameter_errors import said_plainly
from tests.conftest import Project

SPOILT = """
"{corpus}.language_model":
  type: erc_kedro.datasets.LanguageModelDataset
  backend: fake
  options: {spoil_every: 3}
"""


def test_a_parameter_path_that_nothing_reads_is_refused_before_any_run(project: Project) -> None:
    with pytest.raises(UserError) as caught:
        project.run("augment_meld", {"meld": {"augmnted": {"ratio": 1}}})
    assert "meld.augmnted.ratio" in str(caught.value)
    assert "did you mean meld.augmented.ratio?" in str(caught.value)
    assert project.runs() == []


@pytest.mark.parametrize(
    ("group", "changed", "said"),
    [
        ("augmented", {"ratio": "much"}, ".ratio: must be a valid number, not 'much'"),
        ("augmented", {"ratio": -0.5}, ".ratio: must be greater than or equal to 0, not -0.5"),
        ("augmented", {"loss_weight": 0}, ".loss_weight: must be greater than 0, not 0"),
        ("augmented", {"rato": 1}, ".rato: there is no such parameter; did you mean ratio?"),
        ("augmented", {"zzzzzz": 1}, ".zzzzzz: there is no such parameter"),
        ("real_only", {"weighting": "doubt"}, ": weighting without effect: extra is 'none'"),
        ("experiment", {"real_fraction": 0}, ".real_fraction: must be greater than 0, not 0"),
        (
            "experiment",
            {"real_fraction": 1.5},
            ".real_fraction: must be less than or equal to 1, not 1.5",
        ),
        ("adaptation", {"epoch": 1}, ".epoch: there is no such parameter; did you mean epochs?"),
        ("experiment", {"n_seeds": 0}, ".n_seeds: must be greater than 0, not 0"),
        ("encoding", {"poolings": 3}, ".poolings: must be a valid list, not 3"),
        (
            "training",
            {"contextual": {"stepz": [3]}},
            ".contextual.stepz: there is no such parameter; did you mean steps?",
        ),
        (
            "validation",
            {"min_accepted": 2},
            ".min_accepted: must be less than or equal to 1, not 2",
        ),
    ],
)
def test_a_parameter_of_wrong_type_range_or_name_is_refused(
    project: Project, group: str, changed: dict[str, Any], said: str
) -> None:
    with pytest.raises(ParameterValidationError) as caught:
        project.run("augment_meld", {"meld": {group: changed}})
    assert said_plainly(caught.value).splitlines()[:-1] == [
        "A parameter is refused.",
        f"  meld.{group}{said}",
    ]
    assert project.runs() == []


def test_all_parameters_that_are_refused_are_said_once(project: Project) -> None:
    wrong = "meld.training.contextual.steps=0,meld.training.device=[1],meld.augmented.amount=two"
    done = project.kedro("run", "--pipeline=augment_meld", f"--params={wrong}")
    assert done.returncode != 0
    assert done.stderr.strip().splitlines()[:-1] == [
        "Error: 3 parameters are refused.",
        "  meld.training.device: must be a valid string",
        "  meld.training.contextual.steps: must be greater than 0, not 0",
        "  meld.augmented.amount: must be a valid number, not 'two'",
    ]


def test_what_kedro_says_otherwise_of_parameters_is_left_as_it_is() -> None:
    said = "Parameter validation failed:\n- Parameter 'meld.x': value is None"
    assert said_plainly(ParameterValidationError(said)) == said


def test_a_parameter_that_the_selected_nodes_do_not_read_is_refused(copied: Project) -> None:
    params = {"meld": {"experiment": {"real_fraction": 0.1}}}
    with pytest.raises(UserError, match="No node of this run reads this parameter"):
        copied.run("augment_meld", params, namespaces=["meld.augmented"])
    assert copied.runs() == []


def test_a_value_in_place_of_a_whole_group_is_refused_before_any_run(project: Project) -> None:
    with pytest.raises(UserError, match="No node of this run reads this parameter"):
        project.run("augment_meld", {"meld": 1})
    assert project.runs() == []


def test_a_device_that_is_not_there_is_refused_before_any_run(project: Project) -> None:
    with pytest.raises(UserError, match="device is not there") as caught:
        project.run("augment_meld", {"meld": {"training": {"device": "quantum"}}})
    assert "meld.training.device=auto" in str(caught.value)
    assert project.runs() == []


def test_an_unknown_pipeline_names_the_near_ones(project: Project) -> None:
    with pytest.raises(ValueError, match="augment_meld"):
        project.run("augment_mel")


def test_a_partial_corpus_folder_stops_the_run_at_once(project: Project) -> None:
    folder = project.path / "data/01_raw/meld"
    folder.mkdir(parents=True)
    (folder / "dev_sent_emo.csv").write_text("half a corpus")
    with pytest.raises(UserError, match="incomplete") as caught:
        project.run("augment_meld")
    assert "train_sent_emo.csv" in str(caught.value)
    assert project.runs() == []


def test_files_that_are_not_the_official_ones_stop_the_run_at_once(project: Project) -> None:
    folder = project.path / "data/01_raw/meld"
    folder.mkdir(parents=True)
    for name in CORPORA["meld"].layouts[0].files:
        (folder / name).write_text("something else")
    with pytest.raises(UserError, match="not the official one"):
        project.run("augment_meld")


def test_a_data_folder_that_cannot_be_written_stops_the_run_at_once(project: Project) -> None:
    (project.path / "data").rename(project.path / "elsewhere")
    (project.path / "data").write_text("a file where the folder should be")
    with pytest.raises(UserError, match="cannot be written"):
        project.run("augment_meld")


def test_a_split_too_small_to_train_is_refused(project: Project) -> None:
    with pytest.raises(UserError, match="too small") as caught:
        project.run("prepare_meld", {"meld": {"ingestion": {"min_dialogues": 100}}})
    assert "dev" in str(caught.value)


def test_an_encoder_folder_that_is_none_is_refused(project: Project) -> None:
    nothing = project.path / "no_encoder"
    nothing.mkdir()
    with pytest.raises(UserError, match="holds no encoder"):
        project.run("augment_meld", {"meld": {"encoding": {"encoder": str(nothing)}}})


def test_a_ratio_beyond_the_data_fails_the_arm_and_the_run_with_the_largest_one(
    project: Project,
) -> None:
    with pytest.raises(UserError, match="at most 0") as caught:
        project.run("augment_meld", {"meld": {"augmented": {"ratio": 3.0}}})
    runs = project.runs()
    parent = runs[-1]
    assert parent.info.status == "FAILED"
    assert all(run.info.status in {"FAILED", "FINISHED"} for run in runs)
    failed = [run for run in runs[:-1] if run.info.status == "FAILED"]
    assert failed
    assert all("ratio is beyond" in run.data.tags["error"] for run in [parent, *failed])
    largest = float(str(caught.value).split("at most ")[1].split()[0])
    last = {"to_nodes": ["meld.augmented.mixing.mix"]}
    project.run("augment_meld", {"meld": {"augmented": {"ratio": largest}}}, **last)


def test_more_dialogues_than_the_bank_holds_says_how_many_are_missing(project: Project) -> None:
    with pytest.raises(UserError, match="80 dialogues are missing"):
        project.run("generate_meld", {"meld": {"generation": {"dialogues": {"balanced": 1840}}}})


ONE_REQUEST_EACH = {"requests_per_dialogue": 1}


def test_refused_dialogues_are_kept_and_the_gate_stops_before_any_arm(
    project: Project, overlay: Callable[[str, str], None]
) -> None:
    overlay("catalog.yml", SPOILT)
    with pytest.raises(UserError) as caught:
        project.run("augment_meld", {"meld": {"generation": {"budget": ONE_REQUEST_EACH}}})
    said = str(caught.value)
    assert "expect_column_values_to_be_between (plan, accepted_share)" in said
    assert "wanted" in said
    assert "observed" in said
    where = Path(said.split("refused rows: ")[1].split("\n", maxsplit=1)[0])
    refused = pd.read_parquet(project.path / where)
    assert refused["dialogue_id"].nunique() == 52 // 3
    assert refused["reasons"].str.startswith("unparseable: no JSON object").all()
    assert (refused["text"] == "I would rather not.").all()
    [parent] = project.runs()
    assert parent.info.status == "FAILED"
    assert parent.data.metrics["refused_unparseable"] == 52 // 3
    report = json.loads(project.read("08_reporting/meld/validation_report.json"))
    assert report["success"] is False
    assert not (project.path / "data/06_models").exists()


def test_a_back_end_that_writes_fills_the_label_quotas_exactly(
    project: Project, overlay: Callable[[str, str], None]
) -> None:
    overlay("catalog.yml", SPOILT)
    project.run("generate_meld", {"meld": {"generation": {"dialogues": {"balanced": 300}}}})
    made = pd.read_parquet(project.path / "data/03_primary/meld/synthetic_dialogues.parquet")
    balanced = made[made["strategy"] == "balanced"]
    assert balanced["dialogue_id"].nunique() == 300
    counts = balanced["emotion"].value_counts()
    assert len(counts) == 7
    assert counts.max() - counts.min() <= 1
    report = json.loads(project.read("08_reporting/meld/generation_report.json"))
    assert report["accepted"] == report["planned"] == 312
    assert report["all"]["requests"] > 312 + 100
    assert report["missing"] == []


def test_outputs_of_other_raw_data_are_not_gone_on_from(project: Project) -> None:
    from kedro.framework.session import KedroSession
    from kedro.framework.startup import bootstrap_project

    project.run("generate_meld")
    card = project.path / "data/02_intermediate/meld/corpus_card.json"
    card.write_text(card.read_text().replace('"digest": "', '"digest": "other'))
    bootstrap_project(project.path)
    with (
        KedroSession.create(project.path, env="test") as session,
        pytest.raises(UserError, match="other raw data"),
    ):
        session.run(pipeline_names=["augment_meld"], from_nodes=["meld.encoding.collect_texts"])


def test_the_command_line_says_an_error_of_the_users_without_a_traceback(project: Project) -> None:
    done = project.kedro("run", "--pipeline=augment_meld", "--params=meld.augmnted.ratio=1")
    assert done.returncode != 0
    assert "did you mean meld.augmented.ratio?" in done.stderr
    assert "Traceback" not in done.stderr


def test_what_a_dataset_says_of_a_wrong_option_is_said_without_a_traceback(
    overlay: Callable[[str, str], None], project: Project
) -> None:
    kind = "type: erc_kedro.datasets.LanguageModelDataset"
    overlay("catalog_generation.yml", f"meld.language_model: {{{kind}, backend: telepathy}}\n")
    done = project.kedro("run", "--pipeline=generate_meld", "--env=test")
    assert done.returncode != 0
    assert "\nError: Unknown back-end." in done.stderr
    assert "Traceback" not in done.stderr


def test_an_error_while_the_run_is_set_up_fails_it(project: Project) -> None:
    (project.path / "mlartifacts").write_text("in the way")
    with pytest.raises(OSError, match="mlartifacts"):
        project.run("prepare_meld")
    [run] = project.runs()
    assert run.info.status == "FAILED"
    assert "mlartifacts" in run.data.tags["error"]


def test_a_closed_pipe_at_the_end_does_not_fail_a_finished_run(copied: Project) -> None:
    parts = "--pipelines=augment_meld --env=test --namespaces=meld.evaluation"
    environment = os.environ | {"MLFLOW_TRACKING_URI": ""}
    done = subprocess.run(
        f"{sys.executable} -m kedro run {parts} | true",
        shell=True,
        cwd=copied.path,
        env=environment,
        check=False,
        capture_output=True,
        text=True,
    )
    assert "compared anew" in done.stderr
    assert "Done in" not in done.stderr  # the table was too much
    [run] = copied.runs()
    assert run.info.status == "FINISHED"


def test_after_a_stop_in_a_notebook_the_next_session_is_clean(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    from erc_kedro.modelling import classifier

    def stopped(*arguments: Any, **options: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(classifier, "fit_seeds", stopped)
        project.run("augment_meld")
    project.run("prepare_meld")
    statuses = [(run.info.run_name, run.info.status) for run in project.runs()]
    assert dict(statuses).get("prepare_meld (sample)") == "FINISHED", statuses
    assert dict(statuses)["augment_meld (sample)"] == "KILLED", statuses
    assert dict(statuses)["augmented (sample)"] == "KILLED", statuses
    assert "RUNNING" not in dict(statuses).values()


@pytest.mark.usefixtures("untracked")
def test_without_mlflow_the_run_goes_through_and_the_report_says_how(project: Project) -> None:
    project.run("augment_meld")
    assert project.runs() == []
    provenance = json.loads(project.read("08_reporting/meld/provenance.json"))
    assert provenance["kedro_command"] == "kedro run --pipelines=augment_meld --env=test"


@pytest.mark.usefixtures("untracked")
def test_classifiers_of_other_features_are_not_predicted_with(copied: Project) -> None:
    other = {"meld": {"encoding": {"max_tokens": 5}}}
    copied.run("augment_meld", other, namespaces=["meld.encoding"])
    with pytest.raises(UserError, match="trained with something else than there is") as caught:
        copied.run("augment_meld", node_names=["meld.augmented.training.predict"])
    assert "features changed since" in str(caught.value)


def test_a_stop_from_the_keyboard_leaves_no_run_open(project: Project) -> None:
    command = [sys.executable, "-m", "kedro", "run", "--pipelines=augment_meld", "--env=test"]
    clean = {k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"}
    with subprocess.Popen(
        command,
        cwd=project.path,
        env=clean,
        stderr=subprocess.PIPE,
        text=True,
        # a background job is started with the signal ignored
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    ) as running:
        assert running.stderr is not None
        for line in running.stderr:
            if " training " in line:  # the first arm is trained, others are not
                running.send_signal(signal.SIGINT)
                break
        running.stderr.read()
    assert running.returncode != 0
    statuses = {run.info.status for run in project.runs()}
    assert "RUNNING" not in statuses
    [parent] = [run for run in project.runs() if "arm" not in run.data.tags]
    assert parent.info.status == "KILLED"
    assert "stopped by Ctrl-C" in parent.data.tags["error"]

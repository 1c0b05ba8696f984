"""A study end to end on the sample, as a user starts it, and what it leaves behind."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from kedro.validation.exceptions import ParameterValidationError

from erc_kedro.core.errors import UserError
from erc_kedro.core.metrics import HEADLINE
from erc_kedro.core.study import PARTS
from erc_kedro.core.study_results import EMOTIONS, TABLE
from erc_kedro.corpora import CORPORA
from tests.conftest import Project, make_project
from tests.test_harmless import Harmful

STUDY = "08_reporting/meld/study"
CELLS = "data/07_model_output/meld/study_cells"
OUTPUTS = ("study_table.csv", "confirmatory.json")
SMALL = {
    "study": {
        "confirmatory": {"real_fractions": [0.5], "candidates": ["plain"]},
        "curves": {"real_fractions": []},
        "imbalance": {"n_emotions": 0},
        "ablation": {"real_fractions": []},
        "transfer": {"strategies": []},
    }
}
"""The confirmatory part alone, at one fraction."""


@pytest.fixture(scope="module")
def studied(
    finished: tuple[Project, Any], empty_store: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Project, Any]:
    """A project in which a user ran a study, features being there, and what was printed."""
    project = make_project(tmp_path_factory.mktemp("studied"), empty_store)
    store = Path("data/04_feature/store")
    shutil.copytree(finished[0].path / store, project.path / store)
    return project, project.kedro("run", "--pipeline=study_meld", "--env=test")


@pytest.fixture(scope="module")
def table(studied: tuple[Project, Any]) -> pd.DataFrame:
    return pd.read_csv(studied[0].path / "data" / STUDY / "study_table.csv")


@pytest.fixture
def untracked_study(project: Project) -> Project:
    """A project whose studies go without MLflow."""
    disabled = "{disable_autologging: true, pipelines: [study_meld]}"
    text = f"tracking: {{disable_tracking: {disabled}}}\n"
    (project.path / "conf/test/mlflow.yml").write_text(text)
    return project


def test_the_command_succeeds_and_names_its_report(studied: tuple[Project, Any]) -> None:
    _, done = studied
    assert done.returncode == 0, done.stderr
    said = done.stderr.splitlines()
    assert "SAMPLE" in said[0] and "SAMPLE" in said[-1]
    assert any("Study report: " in line and "report.html" in line for line in said)


def test_the_table_has_every_part_and_p_in_the_confirmatory_one_alone(table: pd.DataFrame) -> None:
    assert list(table.columns) == list(TABLE)
    trained_for_test = [part for part in PARTS if part != "choice"]
    assert list(table["part"].unique()) == [*trained_for_test, EMOTIONS]
    tested = table[table["p_adjusted"].notna()]
    assert set(tested["part"]) == {"confirmatory"}
    assert len(tested) == 2 * 2 * 2  # fractions, metrics, baselines
    assert (tested["p_adjusted"] >= tested["p_value"]).all()
    others = table[(table["part"] != "confirmatory") & table["against"].notna()]
    assert others[["ci_low", "ci_high"]].notna().all(axis=None)
    imbalance = table[table["part"] == "imbalance"]
    assert set(imbalance["metric"]) == {*HEADLINE, f"f1_{imbalance['emotion'].iloc[0]}"}


def test_the_treatment_under_test_is_shown_emotion_by_emotion(
    table: pd.DataFrame, studied: tuple[Project, Any]
) -> None:
    own = table[table["part"] == EMOTIONS]
    assert len(own) == 2 * 7  # fractions, emotions
    assert (own["metric"] == "f1_" + own["emotion"]).all()
    assert set(own["treatment"]) == {"augmented"} and set(own["against"]) == {"real_only"}
    scores = json.loads(studied[0].read("07_model_output/meld/study_scores.json"))
    for row in own.to_dict("records"):
        keys = [
            f"confirmatory {row['real_fraction']:g} {name}" for name in ("augmented", "real_only")
        ]
        pair = [100 * np.mean(scores[key]["per_seed"][row["metric"]]) for key in keys]
        assert row["mean"] == pytest.approx(pair[0], abs=1e-3)
        assert row["difference"] == pytest.approx(pair[0] - pair[1], abs=1e-3)
        assert row["ci_low"] <= row["difference"] <= row["ci_high"]


def test_synthetic_and_repeated_utterances_are_compared_at_equal_counts(
    table: pd.DataFrame,
) -> None:
    own = table[table["part"] == "imbalance"].drop_duplicates("treatment").set_index("treatment")
    assert own["learnt"]["0.25 none"] < own["learnt"]["1 none"]
    for case in ("0.25 {} former", "0.25 {} all", "1 {} all"):
        synthetic, repeated = (own["learnt"][case.format(how)] for how in ("synthetic", "repeated"))
        assert synthetic == repeated


def test_the_baselines_were_chosen_by_their_scores_on_train(studied: tuple[Project, Any]) -> None:
    confirmatory = json.loads(studied[0].read(f"{STUDY}/confirmatory.json"))
    by = {own["real_fraction"]: own["by"] for own in confirmatory["choice"]}
    assert by == {0.5: "the rest of train", 1.0: "cross-validation"}
    for own in confirmatory["choice"]:
        for metric, name in own["chosen"].items():
            assert own["scores"][name][metric] == max(s[metric] for s in own["scores"].values())
    chosen = {
        (o["real_fraction"], m): n for o in confirmatory["choice"] for m, n in o["chosen"].items()
    }
    against = {
        (entry["real_fraction"], entry["metric"]): entry["against"]
        for entry in confirmatory["comparisons"]
        if entry["against"] != "real_only"
    }
    assert against == chosen
    assert confirmatory["family"] == len(confirmatory["comparisons"])


def test_a_score_is_that_of_the_predictions_in_the_store(studied: tuple[Project, Any]) -> None:
    """Written out anew, with scikit-learn, from the files."""
    from sklearn.metrics import f1_score

    from erc_kedro.modelling.cell_store import open_cells

    project = studied[0]
    manifest = json.loads(project.read("07_model_output/meld/study_cells.json"))
    manifest["folder"] = str(project.path / CELLS)
    scores = json.loads(project.read("07_model_output/meld/study_scores.json"))
    card = json.loads(project.read("02_intermediate/meld/corpus_card.json"))
    test = pd.read_parquet(project.path / "data/02_intermediate/meld/test_dialogues.parquet")
    truth = [card["emotions"].index(emotion) for emotion in test["emotion"]]
    for key, cells in open_cells(manifest).items():
        if key not in scores:
            continue
        for metric, how in (("macro_f1", "macro"), ("weighted_f1", "weighted")):
            labels = range(len(card["emotions"]))
            found = [
                f1_score(truth, cell.test, labels=labels, average=how, zero_division=0)
                for cell in cells
            ]
            assert scores[key]["per_seed"][metric] == pytest.approx(found)


def test_mlflow_holds_a_child_for_each_group_with_seeds_as_steps(
    studied: tuple[Project, Any],
) -> None:
    runs = studied[0].runs()
    [parent] = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    children = [run for run in runs if run is not parent]
    scores = json.loads(studied[0].read("07_model_output/meld/study_scores.json"))
    assert len(children) == len(scores)
    assert {run.info.status for run in runs} == {"FINISHED"}
    parts = {run.data.tags["study_part"] for run in children}
    assert parts == set(PARTS) - {"choice"}
    means = {run.info.run_name.split(" (sample)")[0]: run.data.metrics for run in children}
    for key, own in scores.items():
        assert means[key]["test_macro_f1"] == pytest.approx(np.mean(own["per_seed"]["macro_f1"]))
    assert any(name.endswith("_over_real_only_p") for name in parent.data.metrics)
    assert "Nothing follows" in parent.data.tags["mlflow.note.content"]
    folder = Path(parent.info.artifact_uri.removeprefix("file://"))
    assert (folder / "study_report.html").exists()
    assert {"confirmatory.svg", "curves.png"} <= {p.name for p in (folder / "figures").iterdir()}


def test_the_report_is_one_harmless_page_that_says_how_to_repeat_it(
    studied: tuple[Project, Any],
) -> None:
    page = studied[0].read(f"{STUDY}/report.html").decode()
    parser = Harmful()
    parser.feed(page)
    assert not parser.found
    assert page.count("<svg") == 6
    confirmatory = json.loads(studied[0].read(f"{STUDY}/confirmatory.json"))
    for said in (confirmatory["digest"], confirmatory["train"], confirmatory["synthetic"]):
        assert said in page
    assert "kedro run --pipelines=study_meld --env=test" in page
    assert "SAMPLE" in page and "seeds" in page


def test_a_repeated_study_trains_nothing_and_gives_the_same_bytes(
    untracked_study: Project, caplog: pytest.LogCaptureFixture
) -> None:
    project = untracked_study
    project.run("study_meld", {"meld": SMALL})
    first = {name: project.read(f"{STUDY}/{name}") for name in OUTPUTS}
    n = len(list((project.path / CELLS).glob("*.json")))
    caplog.clear()
    project.run("study_meld", {"meld": SMALL}, namespaces=["meld.study"])
    assert f"{n} cells: {n} kept" in caplog.text and "trained" not in caplog.text
    assert {name: project.read(f"{STUDY}/{name}") for name in OUTPUTS} == first
    caplog.clear()
    shutil.rmtree(project.path / CELLS)
    project.run("study_meld", {"meld": SMALL}, namespaces=["meld.study"])
    assert f"{n} cells: {n} trained" in caplog.text
    assert {name: project.read(f"{STUDY}/{name}") for name in OUTPUTS} == first


def test_labels_of_test_reach_neither_the_cells_nor_the_choice(
    untracked_study: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Poisoned labels of test change the scores, and nothing before them."""
    monkeypatch.setattr("erc_kedro.corpora.folder.check_sums", lambda *_: None)  # sample as raw
    project = untracked_study
    raw = project.path / "data/01_raw/meld"
    raw.mkdir(parents=True)
    sample = CORPORA["meld"].sample
    assert sample is not None
    for path in sample.glob("*.csv"):
        shutil.copy(path, raw)
    found = []
    for poisoned in (False, True):
        if poisoned:
            test = pd.read_csv(raw / "test_sent_emo.csv")
            emotions = sorted(test["Emotion"].unique())
            following = dict(zip(emotions, emotions[1:] + emotions[:1], strict=True))
            test["Emotion"] = test["Emotion"].map(following)
            test.to_csv(raw / "test_sent_emo.csv", index=False)
        project.run("study_meld", {"meld": SMALL})
        cells = json.loads(project.read("07_model_output/meld/study_cells.json"))
        choice = project.read("07_model_output/meld/baseline_choice.json")
        found.append((cells, choice, project.read(f"{STUDY}/study_table.csv")))
    (one, chosen, table), (two, chosen_again, other) = found
    assert one == two
    assert chosen == chosen_again
    assert table != other


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"treatments": {"own": {"changes": {"los_weight": 1.0}}}}, "no such thing"),
        ({"treatments": {"own": {"changes": {"loss_weight": 2.0}}}}, "less than or equal to 1"),
        ({"treatments": {"own": {"changes": {"amount": 0.0}}}}, "amount must be above 0"),
        ({"confirmatory": {"candidates": ["plian"]}}, "no such treatment: plian"),
        ({"confirmatory": {"treatment": "plain"}}, "held against itself"),
        (
            {"ablation": {"changes": {"own": {"training": {"objective": {"x": 1}}}}}},
            "no such thing",
        ),
    ],
)
def test_what_cannot_be_studied_is_refused_before_anything_runs(
    untracked_study: Project, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(ParameterValidationError, match=said):
        untracked_study.run("study_meld", {"meld": {"study": changes}})
    assert not (untracked_study.path / "data/02_intermediate").exists()


def test_a_treatment_of_the_other_classifier_is_refused_before_anything_is_trained(
    untracked_study: Project,
) -> None:
    changes = {"meld": {"training": {"classifier": "finetuned"}}}
    with pytest.raises(UserError, match=r"(?s)no effect.*own_encoder_too.*contextual"):
        untracked_study.run("study_meld", changes)
    assert not list((untracked_study.path / CELLS).glob("*.json"))


def test_a_study_that_goes_on_from_its_scoring_reports_no_other_cells(
    untracked_study: Project,
) -> None:
    project = untracked_study
    project.run("study_meld", {"meld": SMALL})
    table = project.read(f"{STUDY}/study_table.csv")
    rest = {"from_nodes": ["meld.study.choose_baselines", "meld.study.score_study"]}
    project.run("study_meld", {"meld": SMALL}, **rest)
    assert project.read(f"{STUDY}/study_table.csv") == table
    with pytest.raises(UserError, match="not those that the study's parameters ask for"):
        project.run("study_meld", {"meld": SMALL | {"augmented": {"loss_weight": 0.9}}}, **rest)
    assert project.read(f"{STUDY}/study_table.csv") == table

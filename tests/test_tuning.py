"""A search end to end on the sample, as a user starts it, and what it leaves behind."""

import json
import math
import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from kedro.validation.exceptions import ParameterValidationError

from erc_kedro.core.errors import UserError
from erc_kedro.core.metrics import HEADLINE
from erc_kedro.corpora import CORPORA
from erc_kedro.hooks.provenance import tuned_command
from tests.conftest import Project, make_project
from tests.test_harmless import Harmful
from tests.tuning.builders import wait_until

TUNING = "08_reporting/meld/tuning"
RAW = "data/01_raw/meld"
HERE = {"tuning": {"workers": 0, "trials": 3}}
"""Few trials in this process: a worker process takes seconds to start."""

SPACE = ["loss_weight", "ratio", "strategy", "training.objective.prior_correction"]


@pytest.fixture(scope="module")
def tuned(
    finished: tuple[Project, Any], empty_store: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Project, Any]:
    """A project in which a user searched a recipe, features being there, and what was printed."""
    project = make_project(tmp_path_factory.mktemp("tuned"), empty_store)
    store = Path("data/04_feature/store")
    shutil.copytree(finished[0].path / store, project.path / store)
    return project, project.kedro("run", "--pipeline=tune_meld", "--env=test")


@pytest.fixture(scope="module")
def summary(tuned: tuple[Project, Any]) -> dict[str, Any]:
    return json.loads(tuned[0].read(f"{TUNING}/tuning_summary.json"))


@pytest.fixture(scope="module")
def trials(tuned: tuple[Project, Any]) -> pd.DataFrame:
    return pd.read_parquet(tuned[0].path / "data/07_model_output/meld/trials.parquet")


@pytest.fixture
def untracked_search(project: Project) -> Project:
    """A project whose searches go without MLflow, which takes half of their time."""
    disabled = "{disable_autologging: true, pipelines: [tune_meld]}"
    text = f"tracking: {{disable_tracking: {disabled}}}\n"
    (project.path / "conf/test/mlflow.yml").write_text(text)
    return project


def printed_command(done: Any) -> str:
    return next(line for line in done.stdout.splitlines() if line.startswith("kedro run"))


def test_the_command_succeeds_and_ends_with_the_proposal_and_its_command(
    tuned: tuple[Project, Any], summary: dict[str, Any]
) -> None:
    _, done = tuned
    assert done.returncode == 0, done.stderr
    said = done.stderr.splitlines()
    assert "SAMPLE" in said[0]
    assert "SAMPLE" in said[-1]
    assert "Nothing follows from this search for meld" in done.stdout
    for sentence in summary["proposal"]["sentences"]:
        assert sentence in done.stdout
    command = printed_command(done)
    assert command.startswith("kedro run --pipeline=augment_meld --env=test --params=")
    assert "meld.augmented.ratio=" in command
    assert any("Tuning report: " in line and "report.html" in line for line in said)


def test_the_printed_command_works_as_printed(tuned: tuple[Project, Any]) -> None:
    project, done = tuned
    again = project.kedro(*shlex.split(printed_command(done))[1:])
    assert again.returncode == 0, again.stderr
    comparison = json.loads(project.read("08_reporting/meld/comparison.json"))
    assert "augmented" in comparison["arms"]


def test_the_command_of_a_recipe_sets_what_the_search_tried(
    tuned: tuple[Project, Any], summary: dict[str, Any]
) -> None:
    from kedro.framework.cli.utils import _split_params
    from kedro.framework.session import KedroSession
    from kedro.framework.startup import bootstrap_project

    from erc_kedro.core.proposal import overlay, propose

    project, _ = tuned
    better = [{"metric": name, "difference": 0.01, "ci95": [-0.01, 0.03]} for name in HEADLINE]
    settings = {"ratio": 0.1234, "strategy": "all", "loss_weight": 0.25}
    settings |= {"training.objective.prior_correction": False}
    search = summary | {"best": summary["best"] | {"number": 3, "settings": settings}}
    proposal = propose(search, summary["check"] | {"comparisons": better})
    assert not proposal["is_ratio_zero"]
    own = {"tuning": {"trials": 9}, "training": {"contextual": {"steps": 7}}}
    run_params = {"env": "test", "runtime_params": {"meld": own}}
    command = tuned_command(search | {"proposal": proposal}, run_params)
    assert "tuning" not in command
    [params] = [word for word in shlex.split(command) if word.startswith("--params=")]
    values = _split_params(None, None, params.removeprefix("--params="))
    overlaid = project.path / "conf/local/parameters_tuned.yml"
    overlaid.write_text(overlay("meld", proposal["values"], "some"))
    bootstrap_project(project.path)
    try:
        for env, given in (("test", values), (None, {})):
            with KedroSession.create(project.path, env=env, runtime_params=given) as session:
                found = session.load_context().params["meld"]
            recipe = {"real": True, "extra": "synthetic", "strategy": "all"}
            recipe |= {"ratio": 0.1234, "loss_weight": 0.25}
            recipe |= {} if env else {"adapted": True}  # what was not searched stays
            assert found["augmented"].in_effect() == recipe
            assert found["training"].objective.prior_correction is False
            assert found["training"].contextual.steps == (7 if env else 136)
    finally:
        overlaid.unlink()


def test_the_overlay_says_the_same(tuned: tuple[Project, Any], summary: dict[str, Any]) -> None:
    text = tuned[0].read(f"{TUNING}/tuned_recipe.yml").decode()
    assert yaml.safe_load(text) == {"meld": summary["proposal"]["values"]}


def test_the_first_trials_are_ratio_0_and_the_default_recipe(
    trials: pd.DataFrame, summary: dict[str, Any]
) -> None:
    assert trials["number"].tolist() == [0, 1, 2, 3]
    assert set(trials["state"]) == {"COMPLETE"}
    assert set(SPACE) < set(trials.columns)
    assert trials["ratio"][0] == 0
    assert trials["ratio"][1] == pytest.approx(summary["most"]["balanced"] / 2, abs=1e-4)
    assert trials["loss_weight"][:2].tolist() == [0.1, 0.1]
    assert trials["strategy"][:2].tolist() == ["balanced", "balanced"]
    assert (trials["ratio"] <= trials["strategy"].map(summary["most"])).all()
    assert trials[list(HEADLINE)].notna().all(axis=None)


def test_a_single_trial_is_reproducible_to_the_last_digit(
    tuned: tuple[Project, Any], trials: pd.DataFrame, tmp_path: Path
) -> None:
    from erc_kedro.core.corpus import label_set_of
    from erc_kedro.modelling.cross_validation import CrossValidation, Trainer
    from erc_kedro.modelling.recipe_space import RecipeSpace

    catalog = catalog_of(tuned[0])
    names = ("train_dialogues", "synthetic_dialogues", "tuning_features", "corpus_card")
    train, synthetic, features, card = (catalog.load(f"meld.{name}") for name in names)
    tuning, training, augmented = (
        catalog.load(f"params:meld.{name}") for name in ("tuning", "training", "augmented")
    )
    label_set = label_set_of(card)
    space = RecipeSpace.made_from(
        tuning.dimensions, augmented, training, train, synthetic, label_set
    )
    validation = CrossValidation(
        train, Trainer(synthetic, features, label_set, augmented), folds=tuning.folds,
        split_seed=tuning.seed, seeds=tuning.seeds, label_set=label_set,
    )  # fmt: skip
    last = trials.iloc[-1]
    outcome = validation.score(*space.open({name: last[name] for name in SPACE}))
    assert list(outcome.values) == [last[name] for name in HEADLINE]


def catalog_of(project: Project) -> Any:
    from kedro.framework.session import KedroSession
    from kedro.framework.startup import bootstrap_project

    bootstrap_project(project.path)
    with KedroSession.create(project.path, env="test") as session:
        return session.load_context().catalog


def test_mlflow_holds_a_child_per_trial_linked_both_ways(
    tuned: tuple[Project, Any], trials: pd.DataFrame, summary: dict[str, Any]
) -> None:
    runs = tuned[0].runs()
    [parent] = [run for run in runs if "best_trial" in run.data.metrics]
    parent_id = parent.info.run_id
    children = {
        int(run.data.tags["trial_number"]): run
        for run in runs
        if run.data.tags.get("mlflow.parentRunId") == parent_id
    }
    assert sorted(children) == [0, 1, 2, 3]
    for row in trials.to_dict("records"):
        run = children[row["number"]]
        assert run.info.status == "FINISHED"
        assert run.info.run_id == row["tracked_as"]
        assert run.data.params["ratio"] == str(row["ratio"])
        assert run.data.params["strategy"] == row["strategy"]
        for name in HEADLINE:
            assert run.data.metrics[name] == row[name]
            assert f"fold_{name}" in run.data.metrics
        assert run.data.tags["corpus_source"] == "sample"
    for name, value in summary["best"]["values"].items():
        assert parent.data.metrics[f"best_{name}"] == value
    tagged = {run.data.tags["study"] for run in (parent, *children.values())}
    assert tagged == {summary["study"]}
    note = parent.data.tags["mlflow.note.content"]
    assert "kedro run --pipeline=augment_meld --env=test" in note
    assert parent.data.params["meld.tuning.trials"] == "4"
    folder = Path(parent.info.artifact_uri.removeprefix("file://"))
    table = json.loads((folder / "trials.json").read_text())
    assert len(table["data"]) == 4
    assert (folder / "tuning_report.html").exists()
    assert (folder / "tuning/tuned_recipe.yml").exists()
    there = {path.name for path in (folder / "figures").iterdir()}
    assert {"pareto.png", "history_macro_f1.svg", "slices_weighted_f1.png"} <= there


def test_the_report_is_one_harmless_page(
    tuned: tuple[Project, Any], summary: dict[str, Any]
) -> None:
    page = tuned[0].read(f"{TUNING}/report.html").decode()
    parser = Harmful()
    parser.feed(page)
    assert not parser.found
    assert page.count("data:image/png;base64,") >= 5
    assert "SAMPLE" in page
    assert "ratio" in page
    assert summary["study"] in page
    assert len(pd.read_csv(tuned[0].path / "data" / TUNING / "trials.csv")) == 4


def test_a_study_goes_on_where_it_stopped_and_is_refused_when_it_is_about_something_else(
    untracked_search: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = untracked_search
    project.run("tune_meld", {"meld": HERE})
    first = pd.read_parquet(project.path / "data/07_model_output/meld/trials.parquet")
    only = {"namespaces": ["meld.tuning"]}
    project.run("tune_meld", {"meld": {"tuning": {"workers": 0, "trials": 5}}}, **only)
    more = pd.read_parquet(project.path / "data/07_model_output/meld/trials.parquet")
    assert len(more) == 5
    pd.testing.assert_frame_equal(more[:3], first)
    other = {"meld": {**HERE, "training": {"contextual": {"steps": 5}}}}
    with pytest.raises(UserError, match="study") as refused:
        project.run("tune_meld", other, **only)
    assert "tuning.study" in str(refused.value)
    folds = {"meld": {"tuning": {**HERE["tuning"], "seed": 1}}}
    with pytest.raises(UserError, match="seed of the folds: 0 there, 1 here"):
        project.run("tune_meld", folds, **only)
    monkeypatch.setattr("erc_kedro.modelling.cell_digest.code_digest", lambda *_: "other code")
    with pytest.raises(UserError, match=r"mixing.code: \w+ there, other code here"):
        project.run("tune_meld", {"meld": HERE}, **only)
    other["meld"]["tuning"] = {**HERE["tuning"], "study": "another"}
    project.run("tune_meld", other, **only)
    afresh = pd.read_parquet(project.path / "data/07_model_output/meld/trials.parquet")
    assert len(afresh) == 3


def test_a_search_that_a_queue_ends_leaves_nothing_open(project: Project, tmp_path: Path) -> None:
    said, folders = tmp_path / "said", tmp_path / "folders"
    folders.mkdir()
    words = ["--pipelines=tune_meld", "--env=test"]
    words += ["--params=meld.tuning.trials=900,meld.tuning.workers=1"]
    with said.open("w") as stderr:
        search = subprocess.Popen(
            [sys.executable, "-m", "kedro", "run", *words],
            cwd=project.path,
            env=os.environ | {"MLFLOW_TRACKING_URI": "", "TMPDIR": str(folders)},
            stdout=subprocess.DEVNULL,
            stderr=stderr,
        )
    wait_until(lambda: "is the best so far" in said.read_text(), 120)
    assert [*folders.glob("tmp*")]
    search.terminate()
    assert search.wait(60) not in {0, -signal.SIGTERM}
    assert not [*folders.glob("tmp*")]
    *_, parent = runs = project.runs()
    assert {run.info.status for run in runs} <= {"KILLED", "FAILED", "FINISHED"}
    assert parent.info.status == "KILLED" and "SIGTERM" in parent.data.tags["error"]
    lines = said.read_text().splitlines()
    assert [line for line in lines if "stopped by SIGTERM" in line]
    assert [line for line in lines if line.endswith(shlex.join(["kedro", "run", *words]))]


def test_nothing_of_test_reaches_the_search(
    untracked_search: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The raw test file is poisoned, labels and texts: what tuning makes stays the same."""
    monkeypatch.setattr("erc_kedro.corpora.folder.check_sums", lambda *_: None)  # sample as raw
    project = untracked_search
    raw = project.path / RAW
    raw.mkdir(parents=True)
    sample = CORPORA["meld"].sample
    assert sample is not None
    for path in sample.glob("*.csv"):
        shutil.copy(path, raw)
    found = []
    for study in ("clean", "poisoned"):
        if study == "poisoned":
            path = raw / "test_sent_emo.csv"
            test = pd.read_csv(path)
            emotions = sorted(test["Emotion"].unique())
            following = dict(zip(emotions, emotions[1:] + emotions[:1], strict=True))
            test["Emotion"] = test["Emotion"].map(following)
            test["Utterance"] = [f"qwx{i} zkv{i} vbn{i} hjk{i} plm{i}" for i in range(len(test))]
            test.to_csv(path, index=False)
        project.run("tune_meld", {"meld": {"tuning": {**HERE["tuning"], "study": study}}})
        outputs = project.path / "data"
        trials = pd.read_parquet(outputs / "07_model_output/meld/trials.parquet")
        summary = json.loads((outputs / TUNING / "tuning_summary.json").read_text())
        found.append(
            {
                "trials": trials.drop(columns="seconds").to_dict("list"),
                "texts": pd.read_parquet(outputs / "04_feature/meld/tuning_texts.parquet"),
                "check": summary["check"],
                "proposal": summary["proposal"],
                "best": summary["best"],
                "digest": summary["digest"],
            }
        )
    clean, poisoned = found
    assert clean.pop("digest") != poisoned.pop("digest")
    assert clean.pop("texts").equals(poisoned.pop("texts"))
    assert repr(clean) == repr(poisoned)
    assert not math.isnan(clean["trials"]["macro_f1"][0])


@pytest.mark.parametrize(
    ("space", "nearest"),
    [
        ({"raito": {"kind": "float", "low": 0.0, "high": 0.2}}, "ratio"),
        ({"training": {"objective": {"prior": None, "prior_corection": {"kind": "float"}}}}, "low"),
        ({"loss_weight": {"high": 2.0}}, "less than or equal to 1"),
    ],
)
def test_a_space_that_cannot_be_searched_is_refused_before_anything_runs(
    untracked_search: Project, space: dict[str, Any], nearest: str
) -> None:
    with pytest.raises(ParameterValidationError, match=nearest):
        untracked_search.run("tune_meld", {"meld": {"tuning": {"space": space}}})
    assert not (untracked_search.path / "data/02_intermediate").exists()

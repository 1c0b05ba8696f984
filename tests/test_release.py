"""A release as others find it: it loads, its card is true, and no real text is in it."""

import io
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from erc_kedro.core.demonstrations import cut_excerpts, excerpt_table
from erc_kedro.core.dialogue import words
from erc_kedro.core.errors import UserError
from erc_kedro.core.mixing import Recipe
from erc_kedro.core.overlap import copy_key
from erc_kedro.core.release import COLUMNS
from erc_kedro.modelling.features import FeatureStore
from erc_kedro.pipelines.release.nodes import measure_release, write_release
from erc_kedro.pipelines.release.parameters import ReleaseParameters
from tests.conftest import Project, make_project
from tests.hugging_face import load_offline

STRATEGIES = {"balanced": 40, "faithful": 12}
FIGURES = {"lengths", "shares", "transitions"}


@pytest.fixture(scope="module")
def released(
    finished: tuple[Project, Any], empty_store: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Project]:
    """A project in which a user releases after the main job."""
    first = finished[0].path
    project = make_project(tmp_path_factory.mktemp("released"), empty_store)
    shutil.copytree(first / "data", project.path / "data")
    for path in (project.path / "data").rglob("*.json"):  # some say where things lie
        text = path.read_text("utf-8").replace(str(first), str(project.path))
        path.write_text(text, "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        project.run("release_meld")
        yield project


@pytest.fixture(scope="module")
def folder(released: Project) -> Path:
    return released.path / "data/08_reporting/meld/release"


@pytest.fixture(scope="module")
def card(folder: Path) -> str:
    return (folder / "README.md").read_text("utf-8")


def head_of(card: str) -> dict[str, Any]:
    _, head, _ = re.split(r"^---$", card, maxsplit=2, flags=re.MULTILINE)
    found: dict[str, Any] = yaml.safe_load(head)
    return found


def tables_of(text: str) -> list[list[dict[str, str]]]:
    """Return a card's tables, each a list of rows by column."""
    tables = []
    for block in re.findall(r"(?:^\|.*\|\n)+", text, flags=re.MULTILINE):
        head, line, *rows = (
            [cell.strip() for cell in row.strip("|").split("|")] for row in block.splitlines()
        )
        assert set(line) == {"---"}
        assert {len(row) for row in (line, *rows)} == {len(head)}
        tables.append([dict(zip(head, row, strict=True)) for row in rows])
    return tables


def table_with(card: str, column: str) -> list[dict[str, str]]:
    [found] = [table for table in tables_of(card) if column in table[0]]
    return found


def read_json(project: Project, name: str) -> Any:
    return json.loads(project.read(f"08_reporting/meld/{name}.json"))


def real_texts(project: Project) -> list[str]:
    folder = project.path / "data/02_intermediate/meld"
    names = ("train_dialogues", "held_out_texts")
    return [t for n in names for t in pd.read_parquet(folder / f"{n}.parquet")["text"]]


def test_the_folder_holds_tables_card_and_figures(folder: Path) -> None:
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    figures = {f"figures/{name}.{kind}" for name in FIGURES for kind in ("svg", "png")}
    assert files == {"README.md"} | {f"data/{name}.parquet" for name in STRATEGIES} | figures


def test_hugging_face_loads_every_strategy_without_a_network(folder: Path, tmp_path: Path) -> None:
    found = load_offline([folder], tmp_path)[str(folder)]
    assert set(found) == set(STRATEGIES)
    for name, (split, n_rows, kinds, first) in found.items():
        table = pd.read_parquet(folder / f"data/{name}.parquet")
        assert split == "train"
        assert n_rows == len(table)
        assert tuple(kinds) == COLUMNS
        assert {kinds.pop("turn"), *kinds.values()} == {"int32", "string"}
        assert first["text"] == table["text"].iloc[0]


def test_the_tables_hold_the_accepted_dialogues(released: Project, folder: Path) -> None:
    place = released.path / "data/03_primary/meld/synthetic_dialogues.parquet"
    accepted = pd.read_parquet(place)
    for name, n_dialogues in STRATEGIES.items():
        table = pd.read_parquet(folder / f"data/{name}.parquet")
        own = accepted[accepted["strategy"] == name]
        assert table["dialogue_id"].nunique() == n_dialogues
        for column in ("dialogue_id", "turn", "speaker", "text", "emotion"):
            assert table[column].tolist() == own[column].tolist()
        assert table["scenario"].notna().all()


def test_the_cards_head_is_what_hugging_face_expects(card: str, folder: Path) -> None:
    head = head_of(card)
    assert card.startswith("---\n")
    assert head["license"] == "cc-by-4.0"
    assert head["language"] == ["en"]
    assert head["size_categories"] == ["n<1K"]
    assert head["task_categories"] == ["text-classification"]
    assert [config["config_name"] for config in head["configs"]] == list(STRATEGIES)
    for config in head["configs"]:
        [files] = config["data_files"]
        assert files["split"] == "train"
        assert (folder / files["path"]).is_file()


def test_the_cards_numbers_agree_with_the_tables(
    card: str, folder: Path, released: Project
) -> None:
    train = pd.read_parquet(released.path / "data/02_intermediate/meld/train_dialogues.parquet")
    sizes = {row["configuration"]: row for row in tables_of(card)[0]}
    labels = [table for table in tables_of(card) if "planned, %" in table[0]]
    lengths = {row["data"]: row for row in table_with(card, "words per turn")}
    for name, rows in zip(STRATEGIES, labels, strict=True):
        table = pd.read_parquet(folder / f"data/{name}.parquet")
        counts = table["emotion"].value_counts()
        assert sizes[name]["utterances"] == str(len(table))
        assert sizes[name]["dialogues"] == str(table["dialogue_id"].nunique())
        for row in rows:
            assert row["utterances"] == str(counts[row["emotion"]])
            assert row["share, %"] == f"{100 * counts[row['emotion']] / len(table):.1f}"
            real = (train["emotion"] == row["emotion"]).mean()
            assert row["real train, %"] == f"{100 * real:.1f}"
        n_words = table["text"].map(lambda text: len(words(text)))
        wanted = f"{n_words.mean():.1f} ({n_words.median():g})"
        assert lengths[name]["words per turn"] == wanted
    assert lengths["real train"]["turns per dialogue"].startswith(
        f"{train.groupby('dialogue_id').size().mean():.1f} "
    )


def test_scores_and_measures_in_the_card_are_those_of_the_run(card: str, released: Project) -> None:
    rows = {row["trained on"]: row for row in table_with(card, "trained on")}
    for arm in ("real_only", "synthetic_only"):
        metrics = read_json(released, f"{arm}/metrics")["metrics"]
        for metric, column in (("weighted_f1", "weighted F1"), ("macro_f1", "macro F1")):
            own = metrics[metric]
            wanted = f"{100 * own['mean']:.1f} ± {100 * own['std']:.1f}"
            assert rows[arm.replace("_", " ")][column] == wanted
    measures = read_json(released, "release_measures")
    equal = measures["diversity"]
    assert equal["utterances"] == min(
        len(pd.read_parquet(path))
        for path in (released.path / "data/08_reporting/meld/release/data").iterdir()
    )
    assert f"Of {equal['utterances']} utterances each" in card
    for row in table_with(card, "MATTR"):
        assert row["distinct-2"] == f"{equal['sets'][row['data']]['distinct_2']:.3f}"
        assert row["Vendi score"] == f"{equal['sets'][row['data']]['vendi']:.1f}"
    for row in table_with(card, "overlapping dialogues"):
        assert row["utterances copied, %"] == "0.0"
        assert row["overlapping dialogues"] == "0"
    for own in measures["copying"].values():
        assert own["dev and test of meld"]["copied_utterances"] == 0


def test_the_card_holds_no_text_of_the_real_corpus(card: str, released: Project) -> None:
    shown = f" {' '.join(words(card))} "
    keys = {key for text in real_texts(released) if (key := copy_key(text))}
    assert len(keys) > 1000
    assert not [key for key in keys if f" {key} " in shown]


def test_the_card_says_what_it_rests_on(card: str, released: Project) -> None:
    assert "**SAMPLE.**" in card
    assert "kedro run --pipelines=release_meld --env=test" in card
    about = read_json(released, "provenance")["release"]
    assert about["git_commit"] in card
    assert read_json(released, "generation_report")["model"] in card
    candidates = json.loads(released.read("03_primary/meld/candidates.json"))
    [shown] = [c for c in candidates if f"`{c['spec']['id']}`" in card]
    assert shown["request"]["system"] in card
    assert shown["request"]["user"] in card


def test_mlflow_holds_card_figures_and_measures(released: Project, card: str) -> None:
    [parent] = [run for run in released.runs() if "arm" not in run.data.tags]
    artifacts = Path(parent.info.artifact_uri.removeprefix("file://")) / "release"
    assert (artifacts / "README.md").read_text("utf-8") == card
    assert (artifacts / "measures.json").is_file()
    kinds = {path.name for path in (artifacts / "figures").iterdir()}
    assert kinds == {f"{name}.{kind}" for name in FIGURES for kind in ("svg", "png")}


def inputs_of(project: Project) -> dict[str, Any]:
    """Return what `write_release` takes, as the run left it."""
    from kedro.framework.session import KedroSession
    from kedro.framework.startup import bootstrap_project

    bootstrap_project(project.path)
    with KedroSession.create(project.path, env="test") as session:
        context = session.load_context()
        parameters = context.params["meld"]
        names = (
            *("synthetic_dialogues", "train_dialogues", "candidates", "demonstrations"),
            *("release_measures", "corpus_card", "generation_report", "validation_report"),
            "provenance",
        )
        values = {name: context.catalog.load(f"meld.{name}") for name in names}
        values["real_metrics"] = context.catalog.load("meld.real_only.metrics")
        values["synthetic_metrics"] = context.catalog.load("meld.synthetic_only.metrics")
    generation = parameters["generation"]
    assert isinstance(parameters["release"], ReleaseParameters)
    return values | {
        "recipe": parameters["synthetic_only"],
        "template": generation.template,
        "speech_register": generation.speech_register,
        "definitions": generation.definitions,
        "manner": generation.manner,
        "n_demonstrations": generation.demonstrations.n,
        "release": parameters["release"],
    }


@pytest.fixture(scope="module")
def inputs(released: Project) -> dict[str, Any]:
    return inputs_of(released)


def test_the_same_run_gives_the_same_files(inputs: dict[str, Any], folder: Path) -> None:
    files = write_release(**inputs)
    assert {name: (folder / name).read_bytes() for name in files} == files


def test_excerpts_of_real_train_are_withheld(inputs: dict[str, Any]) -> None:
    excerpts = cut_excerpts(inputs["train_dialogues"], 4)
    shown = excerpt_table(excerpts, np.ones((len(excerpts), 1)))
    report = inputs["generation_report"] | {"model": "some-writer"}
    changed = {"demonstrations": shown, "generation_report": report, "n_demonstrations": 3}
    card = write_release(**inputs | changed)["README.md"].decode()
    assert card.count('"(an excerpt of real train)"') == 3
    assert "3 excerpts of real train stood in it" in card
    assert "a bank of dialogues" not in card


def test_an_arm_trained_on_all_strategies_is_told_as_such(inputs: dict[str, Any]) -> None:
    recipe = Recipe(real=False, extra="synthetic", strategy="all")
    card = write_release(**inputs | {"recipe": recipe})["README.md"].decode()
    assert "on real train and on `all` alone" in card


HOSTILE = "# x | <script>x()</script> ``` [x](y) \u202e **evil**"


def test_hostile_text_stays_text_in_the_card(inputs: dict[str, Any], card: str) -> None:
    synthetic = inputs["synthetic_dialogues"].assign(text=HOSTILE, speaker=HOSTILE)
    asked = [c | {"spec": c["spec"] | {"scenario": HOSTILE}} for c in inputs["candidates"]]
    changed = {"synthetic_dialogues": synthetic, "candidates": asked, "speech_register": HOSTILE}
    files = write_release(**inputs | changed)
    blocks = re.compile(r"^(```+)\w+\n.*?^\1$", flags=re.MULTILINE | re.DOTALL)
    prose, was = (blocks.sub("", text) for text in (files["README.md"].decode(), card))
    for sign in ("<script", r"(?<!\\)\]\(y", "\u202e", r"(?<!\\)\*\*evil"):
        assert not re.search(sign, prose)
    assert re.findall("^#.*", prose, flags=re.M) == re.findall("^#.*", was, flags=re.M)
    said = [line for line in prose.splitlines() if "script" in line]
    assert said
    assert all(len(re.findall(r"(?<!\\)\|", line)) == 4 for line in said)
    table = pd.read_parquet(io.BytesIO(files["data/balanced.parquet"]))
    assert set(table["text"]) == {HOSTILE}  # the data itself is what was accepted


def test_a_strategy_that_cannot_be_a_file_is_refused(inputs: dict[str, Any]) -> None:
    synthetic = inputs["synthetic_dialogues"].assign(strategy="../evil")
    with pytest.raises(UserError, match="cannot be that of a file"):
        write_release(**inputs | {"synthetic_dialogues": synthetic})


def test_a_planted_overlap_with_held_out_texts_stops_the_release(
    inputs: dict[str, Any], released: Project, tmp_path: Path
) -> None:
    held_out = pd.read_parquet(released.path / "data/02_intermediate/meld/forbidden_texts.parquet")
    real = next(text for text in held_out["text"] if copy_key(text))
    planted = inputs["synthetic_dialogues"].copy()
    planted.loc[5, "text"] = real.upper()
    arguments = (
        *(inputs["train_dialogues"], held_out, {}, pd.DataFrame()),
        *(FeatureStore(tmp_path), inputs["release"]),
    )
    with pytest.raises(UserError, match="nothing is released") as error:
        measure_release(planted, *arguments)
    assert planted.loc[5, "dialogue_id"] in str(error.value)
    assert real.lower() not in str(error.value).lower()

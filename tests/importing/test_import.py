"""What people have as a file becomes a bank; bad files are one clear error."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from erc_kedro.core.errors import UserError
from erc_kedro.importing import import_file
from erc_kedro.importing.__main__ import main
from erc_kedro.llm import open_language_model
from tests.conftest import ROOT, Project

LABELS = ["joy", "Happy", "fear", "zesty", "anger", "boring"]
ROWS = [
    {"sentence": f'The "{i}", naïve; number {i}\nof {i}', "label": LABELS[i % 6]} for i in range(60)
]
MAPPING = "columns: {text: sentence, emotion: label}\nlabels: {happy: joy, boring: null}\n"


def write_json(path: Path) -> None:
    path.write_text(json.dumps(ROWS), "utf-8")


def write_columns(path: Path) -> None:
    columns = {name: [row[name] for row in ROWS] for name in ROWS[0]}
    path.write_text(json.dumps(columns, ensure_ascii=False), "utf-8-sig")


def write_data(path: Path) -> None:
    path.write_text(json.dumps({"version": 1, "data": ROWS}), "utf-8")


def write_lines(path: Path) -> None:
    path.write_text("\n\n".join(json.dumps(row) for row in ROWS) + "\n", "utf-8")


def write_csv(path: Path, **options: Any) -> None:
    pd.DataFrame(ROWS).to_csv(path, index=False, **options)


FORMATS: dict[str, tuple[str, Callable[[Path], None]]] = {
    "list of objects": ("data.json", write_json),
    "object of lists, with a byte order mark": ("data.json", write_columns),
    "data": ("data.json", write_data),
    "JSON lines": ("data.jsonl", write_lines),
    "JSON lines called JSON": ("data.json", write_lines),
    "CSV": ("data.csv", write_csv),
    "CSV with semicolons": ("DATA.CSV", lambda path: write_csv(path, sep=";")),
    "tabs": ("data.tsv", lambda path: write_csv(path, sep="\t")),
    "Parquet": ("data.parquet", lambda path: pd.DataFrame(ROWS).to_parquet(path)),
}


@pytest.fixture
def mapping(tmp_path: Path) -> Path:
    path = tmp_path / "mapping.yml"
    path.write_text(MAPPING)
    return path


def bank_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_gives_the_same_bank(form: str, tmp_path: Path, mapping: Path) -> None:
    name, write = FORMATS[form]
    write(tmp_path / name)
    done = import_file("meld", tmp_path / name, mapping, tmp_path / "raw")
    assert done.bank == tmp_path / "raw/meld_imported/imported.jsonl"
    assert done.aside == {"unknown label": 10, "label left out": 10}
    assert (done.n_rows, done.n_utterances, done.n_dialogues) == (60, 40, 5)
    pairs = bank_of(done.bank)
    turns = [turn for pair in pairs for turn in pair["completion"]["turns"]]
    used = [row for row in ROWS if row["label"] not in {"zesty", "boring"}]
    assert [turn["text"] for turn in turns] == [row["sentence"] for row in used]
    assert turns[1] == {"speaker": "B", "text": ROWS[1]["sentence"], "emotion": "joy"}
    aside = pd.read_parquet(done.bank.parent / "refused_rows.parquet")
    assert aside["row"].tolist() == [i + 1 for i in range(60) if i % 6 in {3, 5}]
    assert aside["content"].map(json.loads).tolist() == [ROWS[row - 1] for row in aside["row"]]
    if "CSV" in form:
        assert aside["line"].tolist() == [2 + 2 * (row - 1) for row in aside["row"]]
    elif form.startswith("JSON"):
        assert aside["line"].tolist() == [1 + 2 * (row - 1) for row in aside["row"]]
    specs = open_language_model("file", {"folder": str(done.bank.parent)}).stored_specs
    assert specs is not None
    assert [spec.id for spec in specs] == [f"meld-imported-0000{i}" for i in range(5)]
    assert {(spec.strategy, spec.n_speakers) for spec in specs} == {("imported", 2)}
    assert [list(spec.emotions) for spec in specs] == [
        [turn["emotion"] for turn in pair["completion"]["turns"]] for pair in pairs
    ]


def test_broken_lines_and_rows_that_are_none_are_kept_aside(tmp_path: Path) -> None:
    good = '{"text": "number %d", "emotion": "joy"}\n'
    lines = tmp_path / "a.jsonl"
    lines.write_text(good % 1 + '{"text": "cut\n' + "[1]\n" + good % 4)
    done = import_file("meld", lines, None, tmp_path)
    table = tmp_path / "b.csv"
    table.write_text("text,emotion\nnumber 1,joy\nnumber 2, or so,joy\nalone\nnumber 4,joy\n")
    assert import_file("meld", table, None, tmp_path).aside == done.aside == {"broken line": 2}
    aside = pd.read_parquet(tmp_path / "meld_imported/refused_rows.parquet")
    assert aside["line"].tolist() == [3, 4]
    assert aside["content"].tolist() == ["number 2, or so,joy", "alone"]
    assert done.guessed


def test_an_import_replaces_its_own_strategy_and_leaves_others(tmp_path: Path) -> None:
    table, mapping = tmp_path / "a.csv", tmp_path / "m.yml"
    for strategy, labels in (("one", "jxx"), ("two", "jjx"), ("one", "jjj")):
        mapping.write_text(f"strategy: {strategy}\nlabels: {{j: joy}}\n")
        rows = "".join(f"{strategy} number {i},{label}\n" for i, label in enumerate("jj" + labels))
        table.write_text("text,label\n" + rows)
        import_file("meld", table, mapping, tmp_path)
    folder = tmp_path / "meld_imported"
    aside = pd.read_parquet(folder / "refused_rows.parquet")
    assert aside["strategy"].tolist() == ["two"]
    specs = open_language_model("file", {"folder": str(folder)}).stored_specs
    assert specs is not None
    assert [(spec.strategy, len(spec.emotions)) for spec in specs] == [("one", 5), ("two", 4)]


BAD: dict[str, tuple[str, bytes | None, str, str]] = {
    "no file": ("a.json", None, "cannot be read", "a.json"),
    "empty": ("a.csv", b" \n", "Empty file", "a.csv"),
    "not UTF-8": ("a.csv", b"text,label\nna\xefve,joy\n", "not UTF-8", "line 2, column 3"),
    "another type": ("a.xlsx", b"PK", "unknown type", ".parquet"),
    "no JSON": ("a.json", b'[{"text": 1,\n }]', "no JSON", "line 2, column 2"),
    "no table": ("a.json", b'{"text": "x"}', "no table", "list of objects"),
    "a number": ("a.json", b"3", "no table", "list of objects"),
    "deep": ("a.json", b"[" * 100_000, "no JSON", "a.json"),
    "unequal": ("a.json", b'{"text": ["a"], "label": []}', "equally long", "text: 1, label: 0"),
    "no rows": ("a.json", b"[]", "no rows", "a.json"),
    "a header alone": ("a.csv", b"text,label\n", "no rows", "a.csv"),
    "no CSV": ("a.csv", b'text,label\nx,joy\n"a" b,joy\n', "no CSV", "line 3"),
    "an open quote": ("a.csv", b'text,label\nx,joy\n"a,joy\nb,joy', "no CSV", "line 3"),
    "a column twice": ("a.csv", b"text,label,label\nx,joy,fear\n", "stands twice", "label"),
    "no Parquet": ("a.parquet", b"PAR1", "no Parquet", "a.parquet"),
    "nothing fits": ("a.csv", b"text,label\nx,glad\n", "No row", "1 unknown label ('glad' 1"),
    "no known column": ("a.csv", b"words,label\nx,joy\n", "hold the text", "words, label"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_file_is_one_error_and_nothing_is_written(kind: str, tmp_path: Path) -> None:
    name, content, problem, detail = BAD[kind]
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=problem) as caught:
        import_file("meld", tmp_path / name, None, tmp_path / "raw")
    assert detail in str(caught.value)
    assert not (tmp_path / "raw").exists()


@pytest.mark.parametrize(
    ("text", "problem", "detail"),
    [
        ("colums: {}", "mapping cannot be used", "colums: Extra inputs"),
        ("columns: [", "no YAML", "line 1"),
        ("- a", "mapping cannot be used", "the file"),
        ("columns: {text: said, emotion: label}", "Missing column", "no said; the file has"),
        ("encoding: ascii", "not ASCII", "line"),
        ("labels: {happy: bliss}", "Unknown emotion", "'bliss'"),
    ],
)
def test_a_bad_mapping_is_one_error(text: str, problem: str, detail: str, tmp_path: Path) -> None:
    write_columns(tmp_path / "data.json")
    (tmp_path / "mapping.yml").write_text(text)
    with pytest.raises(UserError, match=problem) as caught:
        import_file("meld", tmp_path / "data.json", tmp_path / "mapping.yml", tmp_path)
    assert detail in str(caught.value)


def test_another_encoding_is_read_if_it_is_named(tmp_path: Path) -> None:
    (tmp_path / "mapping.yml").write_text("encoding: cp1252\n")
    (tmp_path / "a.csv").write_bytes("text,label\nnaïve,joy\nça,fear\n".encode("cp1252"))
    done = import_file("meld", tmp_path / "a.csv", tmp_path / "mapping.yml", tmp_path)
    [pair] = bank_of(done.bank)
    assert [turn["text"] for turn in pair["completion"]["turns"]] == ["naïve", "ça"]


def test_the_make_target_says_an_error_without_a_traceback() -> None:
    command = ["make", "-n", "import", "FILE=my data.json", "MAPPING=m.yml"]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    wanted = '-m erc_kedro.importing meld "my data.json" --mapping "m.yml"'
    assert wanted in shown
    done = subprocess.run(
        [sys.executable, "-m", "erc_kedro.importing", "meld", "no such.json"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("The file cannot be read.")
    assert "Traceback" not in done.stderr


@pytest.mark.usefixtures("untracked")
def test_a_flat_list_goes_through_the_whole_experiment_as_the_command_says(
    project: Project,
    overlay: Callable[[str, str], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from kedro.framework.cli.utils import _split_params

    monkeypatch.chdir(project.path)
    lines = (ROOT / "src/erc_kedro/bank/meld/balanced.jsonl").read_text("utf-8").splitlines()
    turns = [turn for line in lines[:40] for turn in json.loads(line)["completion"]["turns"]]
    rows = [{"sentence": turn["text"], "label": turn["emotion"].upper()} for turn in turns]
    rows[7]["label"] = "puzzled"
    Path("data.json").write_text(json.dumps(rows))
    monkeypatch.setattr(sys, "argv", ["importing", "meld", "data.json"])
    assert main() == 0
    said = capsys.readouterr().out
    assert "columns guessed: {text: sentence, emotion: label}" in said
    assert "1 unknown label ('puzzled' 1; first in row 8)" in said
    entry = said[said.index("meld.language_model:") : said.index("and run:")]
    overlay("catalog.yml", entry)
    params = _split_params(None, None, said.split("--params=")[1].strip())
    project.run("augment_meld", params)
    made = pd.read_parquet("data/03_primary/meld/synthetic_dialogues.parquet")
    assert set(made["strategy"]) == {"imported"}
    assert set(made["model"]) == {"file:meld_imported"}
    used = {row["sentence"] for row in rows[:7] + rows[8:]}
    assert len(made) > 0.9 * len(used)
    mixed = pd.read_parquet("data/05_model_input/meld/augmented/training_sets.parquet")
    assert (mixed["source"] == "synthetic").any()
    assert b"file:meld_imported" in project.read("08_reporting/meld/generation_report.json")

"""A corpus is added in under sixty lines, and the whole experiment runs on it."""

import inspect
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd

from tests.conftest import ROOT, Project

READER = """
from erc_kedro.core.corpus import SPLITS, Corpus, file_per_split
from erc_kedro.core.labels import LabelSet
from erc_kedro.corpora.tables import finish_table, read_table
LABELS = LabelSet("diner", ("calm", "glad", "cross", "down"), neutral="calm")
COLUMNS = {"scene": "dialogue_id", "number": "utterance_id", "who": "speaker",
           "said": "original_text", "feeling": "emotion"}
def read(path, split):
    table = read_table(path, tuple(COLUMNS)).rename(columns=COLUMNS)
    return finish_table(table.assign(dialogue_id=split + table["dialogue_id"]), LABELS, path)
FILES = {split: f"{split}.csv" for split in SPLITS}
DINER = Corpus("diner", LABELS, (file_per_split("csv", FILES, read),), licence="ours")
"""
ENTRY = """
from erc_kedro.corpora.diner import DINER
    DINER,
"""
CONF = """
diner:
  ingestion: ${meld.ingestion}
  generation:
    seed: 0
    dialogues: {balanced: 12, faithful: 6}
    min_turns: 2
    max_turns: 12
    template: dialogue_v1
    demonstrations: {n: 0}
    speech_register: a roadside diner at night
    definitions: {calm: plain talk, glad: happiness, cross: annoyance, down: sorrow}
    attributes: ${meld.generation.attributes}
  validation: ${meld.validation}
  encoding: ${meld.encoding}
  adaptation: ${meld.adaptation}
  experiment: ${meld.experiment}
  real_only: ${meld.real_only}
  oversampled: ${meld.oversampled}
  augmented: ${meld.augmented}
  synthetic_only: ${meld.synthetic_only}
  training: ${meld.training}
"""


def write_fixture(folder: Path) -> None:
    folder.mkdir(parents=True)
    for n, split in enumerate(("train", "dev", "test")):
        rows = [
            (scene, turn, "AB"[turn % 2], f"{feeling} order {n} {scene} {turn}", feeling)
            for scene in range(30 if split == "train" else 12)
            for turn, feeling in enumerate(("calm", "glad", "cross", "down", "calm"))
        ]
        table = pd.DataFrame(rows, columns=["scene", "number", "who", "said", "feeling"])
        table.to_csv(folder / f"{split}.csv", index=False)


def lines_of(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip()]


def test_a_corpus_in_under_sixty_lines_runs_the_whole_experiment(new_project: Project) -> None:
    added = (READER, ENTRY, CONF, inspect.getsource(write_fixture))
    assert sum(len(lines_of(text)) for text in added) < 60
    project = new_project
    unwanted = shutil.ignore_patterns("__pycache__")
    source = project.path / "src/erc_kedro"
    shutil.copytree(ROOT / "src/erc_kedro", source, ignore=unwanted)
    (source / "corpora/diner.py").write_text(READER)
    registry = source / "corpora/__init__.py"
    imported, listed = lines_of(ENTRY)
    text = registry.read_text().replace("    MELD,\n", f"    MELD,\n{listed}\n")
    first = "from erc_kedro.corpora.emorynlp"
    registry.write_text(text.replace(first, f"{imported}\n{first}"))
    (project.path / "conf/base/parameters_diner.yml").write_text(CONF)
    fake = "{type: erc_kedro.datasets.LanguageModelDataset, backend: fake}"
    (project.path / "conf/test/catalog.yml").write_text(f"diner.language_model: {fake}\n")
    off = "{disable_autologging: true, pipelines: [augment_diner]}"
    (project.path / "conf/test/mlflow.yml").write_text(f"tracking: {{disable_tracking: {off}}}\n")
    write_fixture(project.path / "data/01_raw/diner")
    done = subprocess.run(
        [sys.executable, "-m", "kedro", "run", "--pipeline=augment_diner", "--env=test"],
        cwd=project.path,
        env={**os.environ, "PYTHONPATH": str(project.path / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "18 of 18 synthetic dialogues accepted" in done.stderr
    table = pd.read_csv(project.path / "data/08_reporting/diner/result_table.csv")
    assert list(table["arm"]) == ["real_only", "oversampled", "augmented", "synthetic_only"]
    assert {"f1_calm", "f1_glad", "f1_cross", "f1_down"} <= set(table.columns)

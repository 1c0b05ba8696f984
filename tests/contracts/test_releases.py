"""Every release that is kept: it loads, and holds what the bank holds now."""

import subprocess
from pathlib import Path

import pandas as pd
import pytest

from erc_kedro.core.overlap import TextIndex
from erc_kedro.core.prompts import Request, parse_completion
from erc_kedro.core.release import COLUMNS
from erc_kedro.core.rules import Judge
from erc_kedro.corpora import CORPORA
from erc_kedro.llm.bank import BankLanguageModel
from erc_kedro.releasing.conf import read_parameters
from erc_kedro.reporting.release_card import SAMPLE
from tests.conftest import ROOT
from tests.hugging_face import load_offline

FOLDERS = sorted(path for path in (ROOT / "releases").iterdir() if path.is_dir())
NAMES = [folder.name for folder in FOLDERS]

Row = tuple[str, str, int, str, str, str]


def bank_rows(corpus: str) -> list[Row]:
    """Return strategy, dialogue, turn, speaker, text and emotion of the accepted dialogues."""
    max_words = read_parameters(corpus, ROOT / "conf").validation.max_words
    nothing = TextIndex([])
    label_set = CORPORA[corpus].label_set
    judge = Judge(label_set, held_out=nothing, train=nothing, max_words=max_words)
    bank, rows = BankLanguageModel(corpus), []
    for spec in bank.stored_specs or ():
        [completion] = bank.complete([Request(spec.id, "", "", "")])
        dialogue = parse_completion(completion)
        if not judge.refusals(dialogue, spec):
            rows += [
                (spec.strategy, spec.id, number, turn.speaker, turn.text, turn.emotion)
                for number, turn in enumerate(dialogue.turns)
            ]
    return sorted(rows)


def test_there_are_releases_of_corpora_alone() -> None:
    assert FOLDERS
    assert set(NAMES) <= set(CORPORA)


def test_every_release_loads_without_a_network(tmp_path: Path) -> None:
    found = load_offline(FOLDERS, tmp_path)
    for folder in FOLDERS:
        tables = {path.stem: path for path in (folder / "data").iterdir()}
        assert set(found[str(folder)]) == set(tables)
        for name, (split, n_rows, kinds, _) in found[str(folder)].items():
            assert split == "train"
            assert n_rows == len(pd.read_parquet(tables[name]))
            assert tuple(kinds) == COLUMNS


@pytest.mark.parametrize("folder", FOLDERS, ids=NAMES)
def test_a_release_holds_the_banks_accepted_dialogues(folder: Path) -> None:
    columns = ["strategy", "dialogue_id", "turn", "speaker", "text", "emotion"]
    table = pd.concat(map(pd.read_parquet, sorted((folder / "data").iterdir())))
    found = sorted(table[columns].itertuples(index=False, name=None))
    assert found == bank_rows(folder.name), f"renew it, see CONTRIBUTING.md: {folder.name}"


@pytest.mark.parametrize("folder", FOLDERS, ids=NAMES)
def test_a_release_is_small_whole_and_not_of_the_sample(folder: Path) -> None:
    card = (folder / "README.md").read_text("utf-8")
    assert SAMPLE not in card
    assert "in no commit" not in card
    for name in ("shares", "transitions", "lengths"):
        assert f"(figures/{name}.png)" in card
        assert (folder / f"figures/{name}.png").is_file()
    assert sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) < 2_000_000
    assert str(Path.home()) not in card


def test_releases_are_not_ignored() -> None:
    files = [str(path) for folder in FOLDERS for path in folder.rglob("*")]
    done = subprocess.run(
        ["git", "check-ignore", *files], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stdout == ""

"""Another corpus's train becomes a bank: every utterance accounted for, nothing that leaks."""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from erc_kedro.core.errors import UserError
from erc_kedro.core.import_mapping import ImportMapping, fold_label
from erc_kedro.core.overlap import copy_key
from erc_kedro.corpora import CORPORA
from erc_kedro.corpora.folder import read_raw
from erc_kedro.importing import import_corpus
from erc_kedro.importing.__main__ import main
from erc_kedro.importing.files import read_mapping
from erc_kedro.importing.other_corpus import losses
from tests.conftest import ROOT, Project
from tests.corpora.emory_files import write_emorynlp
from tests.corpora.iemocap_files import Said, Scenes, cut, scenes, write_official

MAPPINGS = ROOT / "conf" / "mappings"
SHIPPED = MAPPINGS / "iemocap_to_emorynlp.yml"
MADE = scenes(n_per_session=8, turns=6)
TRAIN = cut(MADE)["train"]


def make(folder: Path, made: Scenes = MADE) -> Path:
    write_emorynlp(folder / "emorynlp", "json", at_most=30)
    write_official(folder / "iemocap", made)
    return folder


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return make(tmp_path)


def held_out_line(raw: Path, corpus: str, split: str) -> str:
    texts = read_raw(CORPORA[corpus], raw / corpus).splits[split]["text"]
    return next(text for text in texts if copy_key(text))


def replaced(name: str, turn: int, text: str) -> Scenes:
    """Return the scenes with another text in one turn."""
    own = list(MADE[name])
    own[turn] = replace(own[turn], text=text)
    return {**MADE, name: own}


def aside_of(raw: Path) -> pd.DataFrame:
    return pd.read_parquet(raw / "emorynlp_imported" / "refused_rows.parquet")


def dialogues_of(done: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.bank.read_text("utf-8").splitlines()]


def test_every_utterance_is_in_the_bank_or_kept_aside_with_its_reason(raw: Path) -> None:
    done = import_corpus("emorynlp", "iemocap", SHIPPED, raw)
    aside = aside_of(raw)
    n_train = len(read_raw(CORPORA["iemocap"], raw / "iemocap").splits["train"])
    assert done.n_rows == n_train == done.n_utterances + len(aside)
    assert not aside.duplicated("row").any()
    assert done.aside == aside["reason"].value_counts().to_dict()
    turns = [turn for pair in dialogues_of(done) for turn in pair["completion"]["turns"]]
    assert len(turns) == done.n_utterances
    emotions = {turn["emotion"] for turn in turns}
    assert emotions == {"neutral", "joyful", "sad", "mad"}


def test_a_dialogue_is_cut_where_a_label_has_no_counterpart(raw: Path) -> None:
    own = [Said("F", f"Invented line number {i}.", code) for i, code in
           enumerate(("neu", "hap", "xxx", "sad", "oth", "ang"))]  # fmt: skip
    make(raw, {**MADE, TRAIN[0]: own})
    done = import_corpus("emorynlp", "iemocap", SHIPPED, raw)
    parts = [
        [(turn["text"][-2], turn["emotion"]) for turn in pair["completion"]["turns"]]
        for pair in dialogues_of(done)
        if TRAIN[0] in pair["spec"]["id"]
    ]
    assert parts == [[("0", "neutral"), ("1", "joyful")], [("3", "sad")], [("5", "mad")]]


@pytest.mark.parametrize(
    ("corpus", "split"),
    [("emorynlp", "dev"), ("emorynlp", "test"), ("iemocap", "dev"), ("iemocap", "test")],
)
def test_a_dialogue_that_leaks_into_any_corpus_at_hand_is_kept_aside_as_a_whole(
    raw: Path, corpus: str, split: str
) -> None:
    make(raw, replaced(TRAIN[3], 5, held_out_line(raw, corpus, split)))
    done = import_corpus("emorynlp", "iemocap", SHIPPED, raw)
    assert not [pair for pair in dialogues_of(done) if TRAIN[3] in pair["spec"]["id"]]
    aside = aside_of(raw)
    own = aside[aside["reason"] == "overlaps dev or test"]
    assert set(own["detail"]) == {f"dialogue {TRAIN[3]} with {corpus}"}
    left_out = aside["content"].str.contains(f'"dialogue": "{TRAIN[3]}"')
    assert left_out.sum() == len(MADE[TRAIN[3]])


def test_what_train_holds_already_is_kept_aside(raw: Path) -> None:
    known = held_out_line(raw, "emorynlp", "train")
    own = [Said("F", "Such an invented line as this.", "neu"), Said("M", known, "sad")]
    make(raw, {**MADE, TRAIN[0]: own})
    import_corpus("emorynlp", "iemocap", SHIPPED, raw)
    aside = aside_of(raw)
    own_rows = aside[aside["reason"] == "overlaps train"]
    assert own_rows["content"].str.contains(TRAIN[0]).all()
    assert len(own_rows) == 2


@pytest.mark.parametrize("path", sorted(MAPPINGS.glob("*.yml")), ids=lambda path: path.stem)
def test_every_shipped_mapping_says_what_becomes_of_every_emotion(path: Path) -> None:
    taken, own = (CORPORA[name].label_set for name in path.stem.split("_to_"))
    how = read_mapping(path)
    emotions = how.emotions(own)
    assert {fold_label(str(label)) for label in how.labels} == set(taken.emotions)
    assert emotions[fold_label(taken.neutral)] == own.neutral
    assert how.strategy == taken.name


def test_there_is_a_mapping_for_every_pair_of_corpora() -> None:
    pairs = {f"{one}_to_{two}" for one in CORPORA for two in CORPORA if one != two}
    assert {path.stem for path in MAPPINGS.glob("*.yml")} == pairs


def test_losses_are_named() -> None:
    taken, own = (CORPORA[name].label_set for name in ("emorynlp", "meld"))
    labels = {"joyful": "joy", "peaceful": "joy", "powerful": None}
    labels |= {"mad": "anger", "sad": "sadness", "scared": "fear"}
    how = ImportMapping.model_validate({"labels": labels})
    assert losses(taken, how.emotions(own), own) == [
        "without a counterpart: powerful",
        "no longer told apart: joyful, peaceful (all are joy)",
        "nothing becomes: surprise, disgust",
    ]


class TestErrors:
    def test_without_files_it_says_how_to_get_them(self, raw: Path) -> None:
        with pytest.raises(UserError, match="make data CORPUS=meld"):
            import_corpus("emorynlp", "meld", MAPPINGS / "meld_to_emorynlp.yml", raw)
        with pytest.raises(UserError, match="make data CORPUS=meld"):
            import_corpus("meld", "iemocap", MAPPINGS / "iemocap_to_meld.yml", raw)
        assert not (raw / "emorynlp_imported").exists()

    def test_a_mapping_that_forgets_an_emotion_is_refused(self, raw: Path, tmp_path: Path) -> None:
        mapping = tmp_path / "mapping.yml"
        mapping.write_text("labels: {happy: joyful, sad: sad, angry: mad, excited: null}\n")
        with pytest.raises(UserError, match="does not say what becomes of frustrated"):
            import_corpus("emorynlp", "iemocap", mapping, raw)

    def test_a_corpus_is_not_imported_into_itself(self, raw: Path) -> None:
        with pytest.raises(UserError, match="into itself"):
            import_corpus("iemocap", "iemocap", SHIPPED, raw)

    def test_a_pair_without_a_mapping_is_an_error_that_names_the_file(self, raw: Path) -> None:
        with pytest.raises(UserError, match=r"none\.yml"):
            import_corpus("emorynlp", "iemocap", raw / "none.yml", raw)


@pytest.mark.usefixtures("untracked")
def test_what_it_prints_has_the_dialogues_accepted(
    project: Project,
    overlay: Callable[[str, str], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from kedro.framework.cli.utils import _split_params

    monkeypatch.chdir(project.path)
    make(project.path / "data/01_raw")
    monkeypatch.setattr(sys, "argv", ["importing", "emorynlp", "--other", "iemocap"])
    assert main() == 0
    said = capsys.readouterr().out
    assert "labels nothing becomes: peaceful, powerful, scared" in said
    overlay("catalog.yml", said[said.index("emorynlp.language_model:") : said.index("and run:")])
    params = _split_params(None, None, said.split("--params=")[1].strip())
    generation = {"generation": params["emorynlp"]["generation"]}
    project.run("generate_emorynlp", {"emorynlp": generation})
    made = pd.read_parquet("data/03_primary/emorynlp/synthetic_dialogues.parquet")
    assert set(made["strategy"]) == {"iemocap"}

"""Leaks are looked for in every corpus whose files are there, and in no other."""

import logging
from pathlib import Path

import pandas as pd
import pytest
from kedro.io import DatasetError

from erc_kedro.core.errors import UserError
from erc_kedro.corpora import CORPORA
from erc_kedro.corpora.folder import read_raw
from erc_kedro.datasets import OtherCorporaDataset, SecondLabelsDataset
from erc_kedro.pipelines.ingestion.nodes import forbid_texts
from tests.corpora.iemocap_files import scenes as iemocap_scenes
from tests.corpora.iemocap_files import write_official


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    write_official(tmp_path / "iemocap", iemocap_scenes())
    return tmp_path


def others(raw: Path, corpus: str = "meld") -> OtherCorporaDataset:
    return OtherCorporaDataset(corpus=corpus, path=str(raw))


def test_the_others_are_read_and_the_corpus_itself_is_not(raw: Path) -> None:
    assert list(others(raw).load()) == ["iemocap"]
    assert list(others(raw, "iemocap").load()) == []


def test_a_corpus_without_files_or_with_its_sample_alone_is_none_of_them(raw: Path) -> None:
    (raw / "meld").mkdir()
    (raw / "emorynlp").mkdir()
    assert list(others(raw, "emorynlp").load()) == ["iemocap"]


def test_one_that_cannot_be_read_is_passed_over_with_a_warning(
    raw: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (raw / "emorynlp").mkdir()
    (raw / "emorynlp" / "emorynlp_dev_final.csv").write_text("half a corpus")
    with caplog.at_level(logging.WARNING):
        assert list(others(raw).load()) == ["iemocap"]
    [said] = [r.getMessage() for r in caplog.records]
    assert "emorynlp is passed over in the search for leaks" in said
    assert "incomplete" in said


def test_forbidden_are_the_texts_of_dev_and_test_without_labels(raw: Path) -> None:
    other = read_raw(CORPORA["iemocap"], raw / "iemocap")
    own = pd.DataFrame({"split": ["dev", "test"], "text": ["one", "two"], "emotion": ["joy"] * 2})
    found = forbid_texts(own, {"iemocap": other}, {"corpus": "meld"})
    assert list(found.columns) == ["corpus", "split", "text"]
    assert found[found["corpus"] == "meld"]["text"].tolist() == ["one", "two"]
    theirs = found[found["corpus"] == "iemocap"]
    for split in ("dev", "test"):
        wanted = other.splits[split]["text"].tolist()
        assert theirs[theirs["split"] == split]["text"].tolist() == wanted
    assert set(theirs["split"]) == {"dev", "test"}


class TestSecondLabels:
    def test_of_the_bank_are_of_its_dialogues_and_label_set(self) -> None:
        for name, corpus in CORPORA.items():
            labels = SecondLabelsDataset(corpus=name).load()
            assert len(labels) == {"meld": 400, "emorynlp": 300, "iemocap": 200}[name]
            assert not labels.duplicated(["dialogue_id", "turn"]).any()
            corpus.label_set.codes(labels["emotion"])

    def test_are_none_for_a_corpus_without_any(self) -> None:
        assert SecondLabelsDataset(corpus="diner").load().empty

    @pytest.mark.parametrize(
        "content", ["dialogue_id,turn\na,1\n", "dialogue_id,turn,emotion\na,x,joy\n", ""]
    )
    def test_that_cannot_be_read_are_one_error_with_file_and_form(
        self, tmp_path: Path, content: str
    ) -> None:
        path = tmp_path / "labels.csv"
        path.write_text(content)
        with pytest.raises(DatasetError, match="columns dialogue_id, turn, emotion") as caught:
            SecondLabelsDataset(corpus="meld", path=str(path)).load()
        assert isinstance(caught.value.__cause__, UserError)
        assert str(path) in str(caught.value)

    def test_of_a_file_that_is_not_there_are_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(DatasetError, match="cannot be read") as caught:
            SecondLabelsDataset(corpus="meld", path=str(tmp_path / "none.csv")).load()
        assert "none.csv" in str(caught.value)

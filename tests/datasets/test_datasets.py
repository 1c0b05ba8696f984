"""Kedro datasets: what is saved comes back, what is only read refuses to be saved."""

from pathlib import Path

import pytest
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from kedro.io import DatasetError
from pandas.testing import assert_frame_equal

from erc_kedro.core.errors import UserError
from erc_kedro.core.prompts import Request
from erc_kedro.datasets import (
    ClassifierStoreDataset,
    FeatureStoreDataset,
    LanguageModelDataset,
    RawCorpusDataset,
)
from erc_kedro.llm.bank import BankLanguageModel
from erc_kedro.llm.stored import StoredLanguageModel
from erc_kedro.modelling.classifier_store import ClassifierStore
from erc_kedro.modelling.features import FeatureStore
from tests.conftest import make_project


class TestRawCorpus:
    def test_reads_the_sample_from_an_empty_folder(self, tmp_path: Path) -> None:
        dataset = RawCorpusDataset(corpus="meld", path=str(tmp_path))
        raw = dataset.load()
        assert raw.source == "sample"
        assert dataset.source_and_digest() == ("sample", raw.digest)
        assert dataset.exists()

    def test_refuses_to_be_saved_and_says_what_to_do(self, tmp_path: Path) -> None:
        dataset = RawCorpusDataset(corpus="meld", path=str(tmp_path))
        with pytest.raises(DatasetError, match="make data"):
            dataset.save(dataset.load())  # type: ignore[arg-type]
        assert list(tmp_path.iterdir()) == []

    def test_a_part_of_train_is_all_of_it_that_anybody_sees(self, tmp_path: Path) -> None:
        whole = RawCorpusDataset(corpus="meld", path=str(tmp_path)).load()
        dataset = RawCorpusDataset(corpus="meld", path=str(tmp_path), train_fraction=0.25)
        part = dataset.load()
        train, seen = whole.splits["train"], part.splits["train"]
        assert seen["dialogue_id"].nunique() == round(0.25 * train["dialogue_id"].nunique())
        assert list(seen.columns) == list(train.columns)
        kept = train[train["dialogue_id"].isin(seen["dialogue_id"])].reset_index(drop=True)
        assert_frame_equal(seen, kept)
        for split in ("dev", "test"):
            assert_frame_equal(part.splits[split], whole.splits[split])
        assert part.digest != whole.digest
        assert dataset.source_and_digest() == ("sample", part.digest)

    @pytest.mark.parametrize("fraction", [0.0, -0.1, 1.5, float("nan")])
    def test_a_part_that_cannot_be_is_refused_at_once(
        self, tmp_path: Path, fraction: float
    ) -> None:
        with pytest.raises(UserError, match="at most 1"):
            RawCorpusDataset(corpus="meld", path=str(tmp_path), train_fraction=fraction)

    def test_an_unknown_corpus_is_refused_at_once(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="nonsense"):
            RawCorpusDataset(corpus="nonsense", path=str(tmp_path))


class TestLanguageModel:
    def test_opens_the_back_end_with_its_options(self) -> None:
        dataset = LanguageModelDataset(backend="fake", options={"spoil_every": 3})
        assert dataset.load().name == "fake"
        assert dataset.load()._spoil_every == 3  # type: ignore[attr-defined]

    def test_options_may_be_left_out(self) -> None:
        assert LanguageModelDataset(backend="fake").load().stored_specs is None

    def test_keeps_what_a_back_end_writes(self, tmp_path: Path) -> None:
        store = {"path": str(tmp_path / "new" / "completions.db")}
        dataset = LanguageModelDataset(backend="fake", store=store)
        model = dataset.load()
        assert isinstance(model, StoredLanguageModel)
        assert (model.name, model.stored_specs, model.settings) == (
            "fake",
            None,
            {"model": "fake"},
        )
        assert not (tmp_path / "new").exists()
        request = Request("s0", "v1", "Write.", "exactly 1 speaker\n1. joy\n")
        written = list(model.complete([request]))
        spoiling = LanguageModelDataset(backend="fake", options={"spoil_every": 1}, store=store)
        assert list(spoiling.load().complete([request])) != written
        assert list(dataset.load().complete([request])) == written

    def test_a_back_end_that_holds_dialogues_needs_no_store(self, tmp_path: Path) -> None:
        dataset = LanguageModelDataset(
            backend="bank",
            options={"corpus": "meld"},
            store={"path": str(tmp_path / "completions.db")},
        )
        assert isinstance(dataset.load(), BankLanguageModel)

    def test_the_catalog_keeps_the_store_in_the_project(self, tmp_path: Path) -> None:
        project = make_project(tmp_path)
        bootstrap_project(project.path)
        with KedroSession.create(project.path) as session:
            dataset = session.load_context().catalog["meld.language_model"]
        assert dataset._store._path == project.path / "data/03_primary/meld/completions.db"

    def test_refuses_to_be_saved(self) -> None:
        dataset = LanguageModelDataset(backend="fake")
        with pytest.raises(DatasetError, match="not written"):
            dataset.save(dataset.load())  # type: ignore[arg-type]


class TestFeatureStore:
    def test_opens_the_store_without_writing(self, tmp_path: Path) -> None:
        dataset = FeatureStoreDataset(path=str(tmp_path / "store"))
        assert isinstance(dataset.load(), FeatureStore)
        assert not (tmp_path / "store").exists()

    def test_refuses_to_be_saved(self, tmp_path: Path) -> None:
        dataset = FeatureStoreDataset(path=str(tmp_path))
        with pytest.raises(DatasetError, match="not saved"):
            dataset.save(dataset.load())  # type: ignore[arg-type]


class TestClassifierStore:
    def test_opens_the_store_without_writing(self, tmp_path: Path) -> None:
        dataset = ClassifierStoreDataset(path=str(tmp_path / "arm"))
        assert dataset.exists()
        assert isinstance(dataset.load(), ClassifierStore)
        assert not (tmp_path / "arm").exists()

    def test_refuses_to_be_saved(self, tmp_path: Path) -> None:
        dataset = ClassifierStoreDataset(path=str(tmp_path))
        with pytest.raises(DatasetError, match="not saved"):
            dataset.save(dataset.load())  # type: ignore[arg-type]

"""Kedro datasets: what is saved comes back, what is only read refuses to be saved."""

from pathlib import Path

import pytest
from kedro.io import DatasetError

from erc_kedro.core.errors import UserError
from erc_kedro.datasets import (
    ClassifierStoreDataset,
    FeatureStoreDataset,
    LanguageModelDataset,
    RawCorpusDataset,
)
from erc_kedro.modelling.classifier_store import ClassifierStore
from erc_kedro.modelling.features import FeatureStore


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

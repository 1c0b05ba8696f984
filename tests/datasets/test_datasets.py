"""Kedro datasets: what is saved comes back, what is only read refuses to be saved."""

from pathlib import Path
from typing import Any

import pytest
import torch
from kedro.io import DatasetError

from erc_kedro.core.errors import UserError
from erc_kedro.datasets import (
    ClassifiersDataset,
    FeatureStoreDataset,
    LanguageModelDataset,
    RawCorpusDataset,
)
from erc_kedro.modelling.features import FeatureStore

State = dict[str, torch.Tensor]


def states() -> dict[int, State]:
    made: dict[int, State] = {}
    for seed in (10, 2, 0):
        random = torch.Generator().manual_seed(seed)
        made[seed] = {
            "head.a/b.weight": torch.rand(3, 4, generator=random),
            "turned": torch.rand(3, 4, generator=random).T,
            "log_prior": torch.rand(2, 5, generator=random)[0],
            "steps": torch.tensor(seed),
        }
    return made


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "classifiers.safetensors"


class TestClassifiers:
    def test_come_back_bit_for_bit_with_their_seeds_in_order(self, path: Path) -> None:
        saved = states()
        ClassifiersDataset(filepath=str(path)).save(saved)
        loaded = ClassifiersDataset(filepath=str(path)).load()
        assert list(loaded) == [0, 2, 10]
        for seed, state in loaded.items():
            assert state.keys() == saved[seed].keys()
            for name, tensor in state.items():
                assert torch.equal(tensor, saved[seed][name])
                assert tensor.dtype == saved[seed][name].dtype

    def test_nothing_but_the_file_is_left(self, path: Path) -> None:
        dataset = ClassifiersDataset(filepath=str(path))
        assert not dataset.exists()
        dataset.save(states())
        dataset.save(states())
        assert dataset.exists()
        assert [p.name for p in path.parent.iterdir()] == [path.name]

    def test_an_interrupted_save_leaves_the_earlier_file(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import safetensors.torch

        dataset = ClassifiersDataset(filepath=str(path))
        dataset.save(states())
        before = path.read_bytes()

        def broken(_: Any, place: Path) -> None:
            Path(place).write_bytes(b"half a file")
            raise OSError("disk full")

        monkeypatch.setattr(safetensors.torch, "save_file", broken)
        with pytest.raises(DatasetError, match="disk full"):
            dataset.save({0: {"w": torch.zeros(1)}})
        assert path.read_bytes() == before

    def test_saving_again_replaces_all_seeds(self, path: Path) -> None:
        dataset = ClassifiersDataset(filepath=str(path))
        dataset.save(states())
        dataset.save({5: {"w": torch.ones(2)}})
        assert list(dataset.load()) == [5]

    def test_a_file_that_is_not_there_is_a_dataset_error(self, path: Path) -> None:
        with pytest.raises(DatasetError):
            ClassifiersDataset(filepath=str(path)).load()


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

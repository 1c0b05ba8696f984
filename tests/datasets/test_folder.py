"""A folder is replaced as a whole."""

from pathlib import Path

import pytest
from kedro.io import DatasetError

from erc_kedro.datasets import FolderDataset

OLD = {"README.md": b"old", "data/one.parquet": b"1", "data/two.parquet": b"2"}


@pytest.fixture
def dataset(tmp_path: Path) -> FolderDataset:
    return FolderDataset(path=str(tmp_path / "out" / "release"))


def test_what_is_saved_comes_back_and_nothing_of_before(dataset: FolderDataset) -> None:
    assert not dataset.exists()
    dataset.save(OLD)
    assert dataset.exists()
    assert dataset.load() == OLD
    new = {"README.md": b"new", "figures/a.svg": b"<svg/>"}
    dataset.save(new)
    assert dataset.load() == new
    assert [path.name for path in dataset._filepath.parent.iterdir()] == ["release"]


def test_what_cannot_be_written_leaves_the_old_folder(dataset: FolderDataset) -> None:
    dataset.save(OLD)
    with pytest.raises(DatasetError):
        dataset.save({"README.md": b"new", "data/one.parquet": None})  # type: ignore[dict-item]
    assert dataset.load() == OLD
    assert [path.name for path in dataset._filepath.parent.iterdir()] == ["release"]


@pytest.mark.parametrize("name", ["../evil", "/evil", "data/../../evil", ""])
def test_a_path_out_of_the_folder_is_refused(dataset: FolderDataset, name: str) -> None:
    with pytest.raises(DatasetError, match="no path in the folder"):
        dataset.save({name: b"x"})
    assert not dataset._filepath.parent.exists()


def test_what_a_killed_writer_left_is_removed(dataset: FolderDataset) -> None:
    left = dataset._filepath.with_name(".release.99999999.new")
    left.mkdir(parents=True)
    (left / "README.md").write_bytes(b"half")
    dataset.save(OLD)
    assert not left.exists()

"""Files appear whole or not at all: processes are really killed in the middle of a write."""

import inspect
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kedro.io import DataCatalog, DatasetError, Version
from kedro_datasets.json import JSONDataset as InPlaceJSON
from kedro_datasets.pandas import CSVDataset as InPlaceCSV
from kedro_datasets.pandas import ParquetDataset as InPlaceParquet
from kedro_datasets.text import TextDataset as InPlaceText

from erc_kedro import datasets

OLD = pd.DataFrame({"text": [f"words {i}" for i in range(50)], "turn": range(50)})
NEW = pd.DataFrame({"text": ["other words"] * 500, "turn": range(500)})
CASES: dict[str, tuple[type[Any], Any, Any]] = {
    "ParquetDataset": (InPlaceParquet, OLD, NEW),
    "CSVDataset": (InPlaceCSV, OLD, NEW),
    "JSONDataset": (InPlaceJSON, {"old": [1, None, "ü"]}, {"new": list(range(500))}),
    "TextDataset": (InPlaceText, "old text\n", "new text\n" * 500),
}
NAMES = sorted(CASES)

KILLED = """
import os, signal, sys
from tests.datasets.test_whole_files import CASES
from erc_kedro import datasets

class Cut:
    def __init__(self, file): self.file = file
    def __getattr__(self, name): return getattr(self.file, name)
    def __enter__(self): return self
    def __exit__(self, *_): self.file.close()
    def write(self, content):
        self.file.write(content[:2])
        self.file.flush()
        os.kill(os.getpid(), signal.SIGKILL)

class Disk:
    def __init__(self, disk): self.disk = disk
    def __getattr__(self, name): return getattr(self.disk, name)
    def open(self, *args, **kwargs): return Cut(self.disk.open(*args, **kwargs))

name, whole, path = sys.argv[1:]
in_place, _, new = CASES[name]
dataset = (getattr(datasets, name) if whole == "whole" else in_place)(filepath=path)
dataset._fs = Disk(dataset._fs)
dataset.save(new)
"""


def made(name: str, path: Path, **options: Any) -> Any:
    return getattr(datasets, name)(filepath=str(path), **options)


def same(one: Any, two: Any) -> bool:
    return one.equals(two) if isinstance(one, pd.DataFrame) else bool(one == two)


def killed_while_saving(name: str, path: Path, how: str = "whole") -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, name, how, str(path)], check=False, capture_output=True
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()


def beside(path: Path) -> list[str]:
    return sorted(p.name for p in path.parent.iterdir() if p != path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "table.x"


@pytest.mark.parametrize("name", NAMES)
class TestEveryClass:
    def test_gives_back_what_was_saved_and_leaves_nothing_else(self, name: str, path: Path) -> None:
        _, old, new = CASES[name]
        dataset = made(name, path)
        assert not dataset.exists()
        for data in (old, new):
            dataset.save(data)
            assert same(dataset.load(), data)
        assert dataset.exists()
        assert beside(path) == []

    def test_writes_the_same_bytes_as_its_parent(self, name: str, path: Path) -> None:
        in_place, old, _ = CASES[name]
        made(name, path).save(old)
        other = path.with_name("other")
        in_place(filepath=str(other)).save(old)
        assert path.read_bytes() == other.read_bytes()

    def test_killed_in_the_middle_of_a_write_the_old_content_stays(
        self, name: str, path: Path
    ) -> None:
        _, old, new = CASES[name]
        dataset = made(name, path)
        dataset.save(old)
        before = path.read_bytes()
        killed_while_saving(name, path)
        assert path.read_bytes() == before
        assert same(dataset.load(), old)
        [left] = beside(path)
        assert left.startswith(".")
        assert left.endswith(".new")
        dataset.save(new)
        assert same(dataset.load(), new)
        assert beside(path) == []

    def test_killed_in_the_middle_of_the_first_write_there_is_no_file(
        self, name: str, path: Path
    ) -> None:
        killed_while_saving(name, path)
        assert not made(name, path).exists()

    def test_its_parent_is_cut_by_the_same_kill(self, name: str, path: Path) -> None:
        """Else the tests above would show nothing."""
        in_place, old, _ = CASES[name]
        in_place(filepath=str(path)).save(old)
        before = path.read_bytes()
        killed_while_saving(name, path, "in place")
        assert path.read_bytes() != before

    def test_what_cannot_be_saved_leaves_the_old_content(self, name: str, path: Path) -> None:
        _, old, _ = CASES[name]
        dataset = made(name, path)
        dataset.save(old)
        with pytest.raises(DatasetError, match=path.name):
            dataset.save(threading.Lock())
        assert same(dataset.load(), old)
        assert beside(path) == []

    def test_kedro_viz_previews_it_as_its_parent(self, name: str, path: Path) -> None:
        in_place, old, _ = CASES[name]
        if not hasattr(in_place, "preview"):
            return
        made(name, path).save(old)
        shown = made(name, path, metadata={"kedro-viz": {"layer": "raw"}})
        parent = in_place(filepath=str(path))
        assert shown.preview() == parent.preview()
        assert inspect.signature(shown.preview) == inspect.signature(parent.preview)
        assert shown.metadata == {"kedro-viz": {"layer": "raw"}}

    def test_the_catalog_makes_it_and_versions_work(self, name: str, path: Path) -> None:
        _, old, new = CASES[name]
        kind = f"erc_kedro.datasets.{name}"
        catalog = DataCatalog.from_config({"x": {"type": kind, "filepath": str(path)}})
        catalog.save("x", old)
        assert same(catalog.load("x"), old)
        place = path.with_name("versioned.x")
        versioned = made(name, place, version=Version(None, None))
        versioned.save(new)
        assert same(versioned.load(), new)
        with pytest.raises(DatasetError, match="must not exist"):
            made(name, place, version=Version(None, versioned.resolve_save_version())).save(new)

    def test_a_link_stays_a_link(self, name: str, path: Path, tmp_path: Path) -> None:
        _, old, new = CASES[name]
        made(name, path).save(old)
        (tmp_path / "link").symlink_to(path)
        made(name, tmp_path / "link").save(new)
        assert (tmp_path / "link").is_symlink()
        assert same(made(name, path).load(), new)

    def test_is_not_appended_to(self, name: str, path: Path) -> None:
        _, old, _ = CASES[name]
        with pytest.raises(DatasetError, match="appended"):
            made(name, path, fs_args={"open_args_save": {"mode": "a"}}).save(old)


def test_other_file_systems_are_written_to_as_ever() -> None:
    dataset = datasets.JSONDataset(filepath="memory://folder/values.json")
    dataset.save({"a": 1})
    assert dataset.load() == {"a": 1}


def test_what_another_process_is_writing_is_left_alone(path: Path) -> None:
    path.parent.mkdir()
    parent = path.with_name(f".{path.name}.{os.getppid()}.new")
    other = path.with_name(f".another.x.{2**22 + 1}.new")
    gone = path.with_name(f".{path.name}.{2**22 + 1}.new")  # beyond the largest process id
    named = path.with_name(f".{path.name}.notes.new")
    for left in (parent, other, gone, named):
        left.write_text("half")
    datasets.TextDataset(filepath=str(path)).save("whole")
    assert beside(path) == sorted(p.name for p in (parent, other, named))


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=8))
def test_any_plain_value_comes_back(tmp_path_factory: pytest.TempPathFactory, value: Any) -> None:
    dataset = datasets.JSONDataset(filepath=str(tmp_path_factory.getbasetemp() / "any.json"))
    if value is not None:  # kedro saves no None
        dataset.save(value)
        assert dataset.load() == value


def test_the_datasets_load_without_heavy_libraries() -> None:
    heavy = ("torch", "transformers", "matplotlib", "great_expectations", "sklearn", "mlflow")
    code = f"import sys, erc_kedro.datasets; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

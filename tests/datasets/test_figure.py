"""A figure is kept as two whole files, and shown in kedro-viz."""

import base64
import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from kedro.io import DatasetError
from matplotlib.figure import Figure

from erc_kedro.datasets.figure import FigureDataset


@pytest.fixture
def figure() -> Figure:
    figure = Figure(figsize=(2, 1))
    figure.subplots().plot([0, 1], [1, 0], label="a < b")
    return figure


@pytest.fixture
def dataset(tmp_path: Path) -> FigureDataset:
    return FigureDataset(filepath=str(tmp_path / "figures" / "one.svg"))


def test_a_figure_is_saved_as_svg_and_png(dataset: FigureDataset, figure: Figure) -> None:
    assert not dataset.exists()
    dataset.save(figure)
    assert dataset.exists()
    assert "<svg" in dataset.load()
    folder = dataset._filepath.parent
    assert sorted(path.name for path in folder.iterdir()) == ["one.png", "one.svg"]
    png = (folder / "one.png").read_bytes()
    assert png.startswith(b"\x89PNG")
    assert int.from_bytes(png[16:20], "big") == 300  # 2 inches at 150 dpi


def test_saving_again_gives_the_same_bytes(dataset: FigureDataset, figure: Figure) -> None:
    dataset.save(figure)
    first = dataset.load(), dataset.preview()
    dataset.save(figure)
    assert (dataset.load(), dataset.preview()) == first


def test_a_figure_that_cannot_be_drawn_leaves_the_old_files(
    dataset: FigureDataset, figure: Figure
) -> None:
    dataset.save(figure)
    old = dataset.load()
    broken = Figure()
    broken.subplots().set_title("$\\nonsense{$")
    with pytest.raises(DatasetError):
        dataset.save(broken)
    assert dataset.load() == old
    assert len(list(dataset._filepath.parent.iterdir())) == 2


def test_kedro_viz_shows_the_png(dataset: FigureDataset, figure: Figure) -> None:
    dataset.save(figure)
    assert base64.b64decode(dataset.preview()).startswith(b"\x89PNG")
    annotation: Any = inspect.signature(dataset.preview).return_annotation
    assert annotation.__name__ == "ImagePreview"  # how kedro-viz tells


def test_the_class_loads_without_matplotlib() -> None:
    code = "import sys, erc_kedro.datasets.figure; print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"

"""The notebook runs from top to bottom on a finished project, and only reads."""

import json
import shutil
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

from tests.conftest import ROOT, Project

NOTEBOOK = ROOT / "notebooks" / "first_experiment.ipynb"


def files(folder: Path) -> dict[str, int]:
    """Return every file below a folder with its modification time."""
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("started_in", [".", "notebooks"])
def test_it_runs_and_writes_nothing(
    finished: tuple[Project, Any], started_in: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, done = finished
    assert done.returncode == 0, done.stderr
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    folder = project.path / "notebooks"
    folder.mkdir(exist_ok=True)
    shutil.copy(NOTEBOOK, folder)
    before = files(project.path / "data")

    notebook = nbformat.read(folder / NOTEBOOK.name, as_version=4)
    kernels = KernelSpecManager(kernel_dirs=[])  # leaves the interpreter that runs this test
    NotebookClient(
        notebook,
        timeout=120,
        km=AsyncKernelManager(kernel_name="python3", kernel_spec_manager=kernels),
        resources={"metadata": {"path": str(project.path / started_in)}},
    ).execute(cleanup_kc=True)  # or the kernel, ours, would be left

    assert files(project.path / "data") == before
    said = json.dumps(notebook.cells)
    for part in (
        "from sample files",
        "Nothing follows from this run",
        "image/svg+xml",
        "real_only",
    ):
        assert part in said


def test_it_is_kept_without_outputs() -> None:
    for cell in nbformat.read(NOTEBOOK, as_version=4).cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None

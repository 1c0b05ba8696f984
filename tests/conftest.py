"""A project of its own for every test that runs pipelines: conf copied, data and MLflow apart."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]


@dataclass
class Project:
    """A copy of the project's configuration in a folder of its own."""

    path: Path

    @property
    def store(self) -> str:
        return f"sqlite:///{self.path / 'mlflow.db'}"

    def kedro(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a kedro command as a user would."""
        return subprocess.run(
            [sys.executable, "-m", "kedro", *arguments],
            cwd=self.path,
            env=os.environ | {"MLFLOW_TRACKING_URI": ""},
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )

    def run(self, pipeline: str, params: dict[str, Any] | None = None, env: str = "test") -> Any:
        """Run a pipeline in this process."""
        from kedro.framework.session import KedroSession
        from kedro.framework.startup import bootstrap_project

        bootstrap_project(self.path)
        with KedroSession.create(self.path, env=env, runtime_params=params) as session:
            return session.run(pipeline_names=[pipeline])

    def read(self, name: str) -> bytes:
        return (self.path / "data" / name).read_bytes()

    def runs(self) -> list[Any]:
        """Return all MLflow runs, the newest first."""
        from mlflow import MlflowClient

        client = MlflowClient(self.store)
        experiment = client.get_experiment_by_name("erc_kedro")
        return list(client.search_runs([experiment.experiment_id])) if experiment else []


def make_project(path: Path) -> Project:
    shutil.copytree(ROOT / "conf", path / "conf", ignore=shutil.ignore_patterns("local"))
    (path / "conf" / "local").mkdir()
    (path / "src").mkdir()
    for name in ("pyproject.toml", ".telemetry"):
        shutil.copy(ROOT / name, path / name)
    return Project(path)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, Any]:
    """A project in which a user ran the main job once, and what the command printed."""
    project = make_project(tmp_path_factory.mktemp("finished"))
    return project, project.kedro("run", "--pipeline=augment_meld", "--env=test")


@pytest.fixture
def project(finished: tuple[Project, Any], tmp_path: Path, monkeypatch: Any) -> Project:
    """A project with features and an MLflow store from before, but no outputs."""
    project = make_project(tmp_path / "project")
    kept = finished[0].path
    shutil.copytree(kept / "data" / "04_feature" / "store", project.path / "data/04_feature/store")
    shutil.copy(_empty_store(kept), project.path / "mlflow.db")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return project


def _empty_store(kept: Path) -> Path:
    """Return an MLflow store without runs: its tables take seconds to make."""
    empty = kept / "empty.db"
    if not empty.exists():
        from mlflow import MlflowClient

        MlflowClient(f"sqlite:///{empty}").search_experiments()
    return empty


@pytest.fixture(autouse=True)
def _no_open_run() -> Iterator[None]:
    """Leave no MLflow run or error hook behind."""
    hook = sys.excepthook
    yield
    sys.excepthook = hook
    if "mlflow" in sys.modules:
        sys.modules["mlflow"].end_run()


@pytest.fixture
def overlay(project: Project) -> Callable[[str, str], None]:
    """Write a file into the project's test overlay."""

    def write(name: str, text: str) -> None:
        (project.path / "conf" / "test" / name).write_text(text)

    return write

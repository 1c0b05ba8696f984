"""A project of its own for every test that runs pipelines: conf copied, data and MLflow apart."""

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import thread as pools
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
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

    def run(
        self,
        pipeline: str | None,
        params: dict[str, Any] | None = None,
        env: str = "test",
        **chosen: Any,
    ) -> Any:
        """Run a pipeline in this process, or what `KedroSession.run` is told to choose of it."""
        from kedro.framework.session import KedroSession
        from kedro.framework.startup import bootstrap_project

        bootstrap_project(self.path)
        with KedroSession.create(self.path, env=env, runtime_params=params) as session:
            return session.run(pipeline_names=pipeline and [pipeline], **chosen)

    def read(self, name: str) -> bytes:
        return (self.path / "data" / name).read_bytes()

    def runs(self) -> list[Any]:
        """Return all MLflow runs, the newest first."""
        from mlflow import MlflowClient

        client = MlflowClient(self.store)
        experiment = client.get_experiment_by_name("erc_kedro")
        return list(client.search_runs([experiment.experiment_id])) if experiment else []


def make_project(path: Path, store: Path | None = None) -> Project:
    """Make a project without data; with a copy of an MLflow store, or none."""
    shutil.copytree(ROOT / "conf", path / "conf", ignore=shutil.ignore_patterns("local"))
    (path / "conf" / "local").mkdir()
    (path / "src").mkdir()
    for name in ("pyproject.toml", ".telemetry"):
        shutil.copy(ROOT / name, path / name)
    if store:
        shutil.copy(store, path / "mlflow.db")
    return Project(path)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, Any]:
    """A project in which a user ran the main job once, and what the command printed."""
    project = make_project(tmp_path_factory.mktemp("finished"))
    return project, project.kedro("run", "--pipeline=augment_meld", "--env=test")


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow store without runs: its tables take seconds to make."""
    from mlflow import MlflowClient

    empty = tmp_path_factory.mktemp("store") / "mlflow.db"
    MlflowClient(f"sqlite:///{empty}").search_experiments()
    return empty


@pytest.fixture
def new_project(empty_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project without data, and with an MLflow store without runs."""
    import kedro.framework.project  # noqa: F401  # sets up logging: before a test listens to it

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return make_project(tmp_path / "project", empty_store)


@pytest.fixture
def project(finished: tuple[Project, Any], new_project: Project) -> Project:
    """A project with features from before, but no outputs and no runs."""
    store = Path("data/04_feature/store")
    shutil.copytree(finished[0].path / store, new_project.path / store)
    return new_project


@pytest.fixture
def copied(finished: tuple[Project, Any], project: Project) -> Project:
    """A project to go on in: it holds what `finished` made, but no runs."""
    first, own = finished[0].path, project.path
    shutil.copytree(first / "data", own / "data", dirs_exist_ok=True)
    for path in (own / "data").rglob("*.json"):  # some say where things lie
        path.write_text(path.read_text("utf-8").replace(str(first), str(own)), "utf-8")
    return project


@pytest.fixture
def untracked(overlay: Callable[[str, str], None]) -> None:
    """Let runs of the project go without MLflow, which takes half of their time."""
    pipelines = "[prepare_meld, generate_meld, augment_meld]"
    disabled = f"{{disable_autologging: true, pipelines: {pipelines}}}"
    overlay("mlflow.yml", f"tracking: {{disable_tracking: {disabled}}}\n")


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


@pytest.fixture(autouse=True, scope="session")
def _nothing_goes_on() -> Iterator[None]:
    """Fail if a thread or a process is left at the end: with such a thread, Python never ends."""
    yield
    deadline = time.monotonic() + 5
    while (left := _left()) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not left, f"left by a test, which has to end it: {left}"


def _left() -> list[str]:
    """Return threads that Python waits for at its end, and processes that tests started."""
    ending = {threading.main_thread(), *pools._threads_queues}  # idle workers of a pool end
    left = [own.name for own in threading.enumerate() if not own.daemon and own not in ending]
    for process in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):  # it ended now
            command = " ".join(process.cmdline())
            if "multiprocessing" not in command:  # its helpers end with this process
                left.append(command)
    return left


@pytest.hookimpl(trylast=True)
def pytest_unconfigure() -> None:
    """End in spite of a thread that was left: it has been said, and the run has failed."""
    if _left():
        sys.stdout.flush()
        os._exit(1)

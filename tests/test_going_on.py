"""A run is killed in many nodes; each time the next one goes on, and nothing is half."""

import json
import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

from tests.conftest import Project

PRELOADED = [
    "kedro.framework.session", "erc_kedro.settings", "erc_kedro.pipeline_registry",
    "erc_kedro.quality.data_docs", "erc_kedro.modelling.open", "erc_kedro.reporting.report",
    "erc_kedro.serving.log", "mlflow.store.tracking.sqlalchemy_store",
]  # fmt: skip
"""Imported once, not by every run."""


class KillIn:
    """A hook that kills the process in one node: its work done, none or some of it saved."""

    def __init__(self, node: str, after_saving: bool) -> None:
        from kedro.framework.hooks import hook_impl

        def before_dataset_saved(dataset_name: str, node: Any) -> None:
            if node.name == self.node and not after_saving:
                os.kill(os.getpid(), signal.SIGKILL)

        def after_dataset_saved(dataset_name: str, node: Any) -> None:
            if node.name == self.node and after_saving:
                os.kill(os.getpid(), signal.SIGKILL)

        self.node = node
        self.before_dataset_saved = hook_impl(before_dataset_saved)
        self.after_dataset_saved = hook_impl(after_dataset_saved)


def run(path: Path, node: str | None, after_saving: bool, log: Path) -> None:
    """Run the main job in this process, and be killed in a node."""
    from kedro.framework.session import KedroSession
    from kedro.framework.startup import bootstrap_project

    with log.open("a") as file:
        os.dup2(file.fileno(), 2)
    os.chdir(path)
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    bootstrap_project(path)
    with KedroSession.create(path, env="test") as session:
        if node:
            session._hook_manager.register(KillIn(node, after_saving))
        session.run(pipeline_names=["augment_meld"])


def nodes() -> list[str]:
    """Return every fourth node, and one of every stage.

    With ERC_ALL_NODES in the environment, all of them.
    """
    from erc_kedro.pipeline_registry import register_pipelines

    names = [node.name for node in register_pipelines()["augment_meld"].nodes]
    if os.environ.get("ERC_ALL_NODES"):
        return names
    by_stage = {name.split(".")[-2]: name for name in names}
    by_stage |= {name.split(".")[-2]: name for name in names[1::4]}
    return [name for name in names if name in {*names[1::4], *by_stage.values()}]


def test_killed_in_nodes_of_every_stage_the_next_run_goes_on(
    finished: tuple[Project, Any], project: Project, tmp_path: Path
) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    log = tmp_path / "log"
    for number, node in enumerate([*nodes(), None]):
        worker = context.Process(target=run, args=(project.path, node, number % 2 == 1, log))
        worker.start()
        worker.join(120)
        assert worker.exitcode == (-signal.SIGKILL if node else 0), (node, log.read_text()[-3000:])
        _check_files_are_whole(project.path / "data")
    reference = finished[0]
    for name in ("comparison.json", "result_table.csv"):
        assert project.read(f"08_reporting/meld/{name}") == reference.read(
            f"08_reporting/meld/{name}"
        )
    said = log.read_text()
    assert "Traceback" not in said
    assert "damaged" not in said
    last = said[said.rindex("Corpus meld: SAMPLE", 0, said.rindex("Done in")) :]
    assert " encoded" not in last
    assert last.count("classifiers kept") == 4
    states = [run.info.status for run in project.runs()]
    assert set(states) == {"FINISHED", "KILLED"}
    assert not list((project.path / "data").rglob("*.new"))


def _check_files_are_whole(data: Path) -> None:
    import pandas as pd
    from safetensors import safe_open

    for path in data.rglob("*"):
        if path.name.startswith(".") or path.is_dir():
            continue
        if path.suffix == ".parquet":
            pd.read_parquet(path)
        elif path.suffix == ".json":
            json.loads(path.read_text())
        elif path.suffix == ".safetensors":
            with safe_open(path, "pt") as file:
                assert list(file.keys())
        elif path.suffix == ".html":
            assert path.read_text().rstrip().endswith("</html>")

"""A generation is killed again and again: what it ends with is what an undisturbed one makes."""

import multiprocessing
import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from tests.conftest import Project, make_project
from tests.llm.fault_server import SAYINGS, TRANSPORT_FAULTS, Faults, FaultServer
from tests.llm.test_pipeline import ENTRY

PRELOADED = [
    "kedro.framework.session", "erc_kedro.settings", "erc_kedro.pipeline_registry",
    "erc_kedro.quality.data_docs", "erc_kedro.llm.wire", "openai", "erc_kedro.modelling.encoders",
    "mlflow.store.tracking.sqlalchemy_store",
]  # fmt: skip


def generate(path: Path, log: Path) -> None:
    from kedro.framework.session import KedroSession
    from kedro.framework.startup import bootstrap_project

    with log.open("a") as file:
        os.dup2(file.fileno(), 2)
    os.chdir(path)
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    bootstrap_project(path)
    with KedroSession.create(path, env="test") as session:
        session.run(pipeline_names=["generate_meld"])


def set_up(project: Project, url: str) -> Project:
    (project.path / "conf/test/catalog_generation.yml").write_text(
        ENTRY.format(url=url).replace("  credentials: language_model\n", "")
    )
    return project


@pytest.fixture
def server() -> Iterator[FaultServer]:
    rates = dict.fromkeys(TRANSPORT_FAULTS, 0.03) | dict.fromkeys(SAYINGS, 0.06)
    with FaultServer(Faults(rates=rates, seed=5, retry_after="0.02", latency=0.02)) as server:
        yield server


def test_killed_at_random_moments_it_ends_like_an_undisturbed_one(
    server: FaultServer, project: Project, empty_store: Path, tmp_path: Path
) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    logs = {name: tmp_path / name for name in ("killed", "undisturbed")}
    set_up(project, server.url)
    rng, kills = random.Random(2), 0
    for _ in range(12):
        worker = context.Process(target=generate, args=(project.path, logs["killed"]))
        goal = server.given.total() + rng.randint(1, 30)
        worker.start()
        while worker.is_alive() and (kills == 4 or server.given.total() < goal):
            time.sleep(0.002)
        worker.kill()
        worker.join()
        if worker.exitcode == 0:
            break
        assert worker.exitcode == -9, logs["killed"].read_text()[-3000:]
        kills += 1
    assert kills == 4
    asked = Counter(str([body["messages"], body["seed"]]) for body in server.bodies)
    answered = server.given["good"] + sum(server.given[name] for name in SAYINGS)
    assert answered - len(asked) <= kills * 64  # no more than was under way at each kill

    undisturbed = set_up(make_project(tmp_path / "undisturbed_project", empty_store), server.url)
    worker = context.Process(target=generate, args=(undisturbed.path, logs["undisturbed"]))
    worker.start()
    worker.join(120)
    assert worker.exitcode == 0, logs["undisturbed"].read_text()[-3000:]
    ended = [
        pd.read_parquet(own.path / "data/03_primary/meld/synthetic_dialogues.parquet")
        for own in (project, undisturbed)
    ]
    pd.testing.assert_frame_equal(*ended)
    assert ended[0]["dialogue_id"].nunique() == 52
    said = logs["killed"].read_text()
    assert "parameters unchanged" in said
    assert "Traceback" not in said

"""`mlflow models serve`, as a user starts it."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests

from tests.builders import EMOTIONS
from tests.serving.conftest import Trained

START_SECONDS = 180


@pytest.fixture(scope="module")
def server(uri: str, tracking: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server that is stopped, with all that it started, at the end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("server") / "log"
    command = [
        sys.executable, "-m", "mlflow", "models", "serve", "-m", uri, "--env-manager", "local",
        "--host", "127.0.0.1", "--port", str(port),
    ]  # fmt: skip
    own = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # uvicorn is looked for
    with log.open("w") as file:
        process = subprocess.Popen(
            command,
            env=os.environ | {"MLFLOW_TRACKING_URI": tracking, "PATH": own},
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait(f"http://127.0.0.1:{port}/ping", process, log)
        yield f"http://127.0.0.1:{port}/invocations"
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(20)


def _wait(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    stop = time.monotonic() + START_SECONDS
    while time.monotonic() < stop and process.poll() is None:
        try:
            if requests.get(address, timeout=5).ok:
                return
        except requests.ConnectionError:
            pass
        time.sleep(0.2)
    raise AssertionError(f"the server did not start:\n{log.read_text()}")


def records(trained: Trained) -> list[dict[str, Any]]:
    return trained.request.to_dict("records")


def post(server: str, body: dict[str, Any]) -> requests.Response:
    return requests.post(server, json=body, timeout=60)


@pytest.mark.parametrize("orient", ["records", "split"])
def test_it_answers_every_turn(server: str, trained: Trained, orient: str) -> None:
    mixed = trained.request.sample(frac=1, random_state=2).reset_index(drop=True)
    data = mixed.to_dict(orient)  # type: ignore[call-overload]
    answer = post(server, {f"dataframe_{orient}": data})
    assert answer.status_code == 200, answer.text
    rows = answer.json()["predictions"]
    keys = list(zip(mixed["dialogue_id"], mixed["turn"], strict=True))
    assert [(row["dialogue_id"], row["turn"]) for row in rows] == keys
    found = np.array([[row[f"p_{name}"] for name in EMOTIONS] for row in rows])
    assert np.abs(found - trained.expected.loc[keys].to_numpy()).max() < 1e-6
    assert [row["emotion"] for row in rows] == [EMOTIONS[i] for i in found.argmax(1)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"text": "  "}, "expected: a text that is not blank"),
        ({"text": None}, "A text is missing"),
        ({"text": "\ud83d"}, "surrogates not allowed"),
        ({"turn": 0}, "A turn stands twice in one dialogue"),
        ({"turn": None}, "convert column turn"),
        ({"turn": "second"}, "convert column turn"),
    ],
)
def test_a_bad_row_is_the_callers_error(
    server: str, trained: Trained, changes: dict[str, Any], message: str
) -> None:
    bad = records(trained)
    bad[1] |= changes
    answer = post(server, {"dataframe_records": bad})
    assert answer.status_code == 400
    assert answer.json()["error_code"] in {"INVALID_PARAMETER_VALUE", "BAD_REQUEST"}
    assert message in answer.json()["message"]


def test_no_rows_or_a_missing_column_is_the_callers_error(server: str, trained: Trained) -> None:
    columns = list(trained.request.columns)
    empty = post(server, {"dataframe_split": {"columns": columns, "data": []}})
    assert empty.status_code == 400
    assert "The request is empty" in empty.json()["message"]
    assert post(server, {"dataframe_records": []}).status_code == 400
    short = [{k: v for k, v in row.items() if k != "speaker"} for row in records(trained)]
    answer = post(server, {"dataframe_records": short})
    assert answer.status_code == 400
    assert "speaker" in answer.json()["message"]

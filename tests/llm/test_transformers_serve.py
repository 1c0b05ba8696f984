"""The openai back-end against a server of others: `transformers serve`, with a tiny model."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from erc_kedro.llm.openai_server import OpenAILanguageModel
from tests.llm.tiny_llama import make_requests, tiny_llama


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("serve") / "log"
    command = [
        Path(sys.executable).with_name("transformers"), "serve", tiny_llama(),
        "--device", "cpu", "--host", "127.0.0.1", "--port", str(port),
    ]  # fmt: skip
    offline = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    with (
        log.open("w") as file,
        subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, env=offline) as process,
    ):
        try:
            _wait(f"http://127.0.0.1:{port}/health", process, log)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.kill()


def _wait(address: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    stop = time.monotonic() + 120
    while time.monotonic() < stop and process.poll() is None:
        try:
            if requests.get(address, timeout=5).ok:
                return
        except requests.ConnectionError:
            pass
        time.sleep(0.2)
    raise AssertionError(f"the server did not start:\n{log.read_text()}")


@pytest.mark.parametrize("json_mode", ["schema", "plain"])
def test_it_answers_every_request_with_text_and_token_counts(address: str, json_mode: str) -> None:
    asked = make_requests(6)
    model = OpenAILanguageModel(
        address, str(tiny_llama()), json_mode=json_mode, max_tokens=30, max_concurrency=3
    )  # the server knows json_schema and does not keep to it
    got = {completion.spec_id: completion for completion in model.complete(asked)}
    assert got.keys() == {request.spec_id for request in asked}
    for completion in got.values():
        assert completion.finish_reason in {"stop", "length"}
        assert completion.text
        assert (completion.prompt_tokens or 0) > 100
        assert 0 < (completion.completion_tokens or 0) <= 30
        assert (completion.latency or 0) > 0

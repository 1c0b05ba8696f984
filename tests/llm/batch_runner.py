"""Answers batch files as `vllm run-batch` does, with the fake's words."""

import json
import shlex
from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path
from typing import Any

from erc_kedro.core.prompts import Request
from erc_kedro.llm.fake import FakeLanguageModel

_NUMBERS = count()


def result(custom_id: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the line of a good answer."""
    system, user = (message["content"] for message in body["messages"])
    (completion,) = FakeLanguageModel().complete([Request(custom_id, "", system, user)])
    message = {"role": "assistant", "content": completion.text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    usage = {"prompt_tokens": len(user.split()), "completion_tokens": len(completion.text.split())}
    chat = {"id": "x", "object": "chat.completion", "choices": [choice], "usage": usage}
    return _line(custom_id, {"status_code": 200, "request_id": "x", "body": chat}, None)


def failure(custom_id: str, words: str = "out of memory") -> dict[str, Any]:
    """Return the line of an answer that failed, as vLLM writes it."""
    error = {"error": {"message": words, "type": "InternalServerError", "code": 500}}
    return _line(custom_id, {"status_code": 500, "request_id": "x", "body": None}, error)


def _line(custom_id: str, response: Any, error: Any) -> dict[str, Any]:
    number = f"vllm-{next(_NUMBERS)}"
    return {"id": number, "custom_id": custom_id, "response": response, "error": error}


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Return the values of a JSON lines file."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def asked_in(folder: Path) -> list[dict[str, Any]]:
    """Return what the request files in a batch folder ask."""
    return [line for path in sorted((folder / "requests").iterdir()) for line in read_lines(path)]


def write_lines(path: Path, lines: list[dict[str, Any]]) -> None:
    """Write values as JSON lines."""
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))


def run_batch(
    command: str, answer: Callable[[str, Mapping[str, Any]], Any] = result
) -> list[dict[str, Any]]:
    """Do what a command line `vllm run-batch ...` asks for; return what was answered."""
    program, verb, *options = shlex.split(command)
    assert (program, verb, options[::2]) == ("vllm", "run-batch", ["-i", "-o", "--model"])
    source, target, model = options[1::2]
    lines = read_lines(Path(source))
    assert {(line["method"], line["url"]) for line in lines} == {("POST", "/v1/chat/completions")}
    assert {line["body"]["model"] for line in lines} == {model}
    results = [answer(line["custom_id"], line["body"]) for line in lines]
    write_lines(Path(target), results)
    return results


def run_all(
    folder: Path, answer: Callable[[str, Mapping[str, Any]], Any] = result, model: str = "tiny"
) -> None:
    """Run every request file of a batch folder."""
    for path in sorted((folder / "requests").iterdir()):
        target = folder / "results" / path.name
        assert not target.exists(), "results that the next run needs would be overwritten"
        files = ["-i", str(path), "-o", str(target)]
        run_batch(shlex.join(["vllm", "run-batch", *files, "--model", model]), answer)

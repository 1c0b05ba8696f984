"""The openai back-end against a server that misbehaves as told."""

import json
import logging
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from erc_kedro.core.errors import UserError
from erc_kedro.core.prompts import Completion, ParseError, Request, parse_completion
from erc_kedro.llm.openai_server import OpenAILanguageModel
from tests.llm.fault_server import TRANSPORT_FAULTS, Faults, FaultServer

KEY = "sk-very-secret-1234"
PLAN = ("joy", "fear", "neutral")


@pytest.fixture(autouse=True)
def no_key_around(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def make_requests(n: int) -> list[Request]:
    turns = "\n".join(f"{i}. speaker {'AB'[i % 2]}, {e}" for i, e in enumerate(PLAN, start=1))
    user = f"Write one dialogue between exactly 2 speakers.\n\n{turns}\n"
    return [Request(f"toy-{i}", "t", "You write.", f"{user}Scenario {i}.") for i in range(n)]


def open_model(server: FaultServer, **options: Any) -> OpenAILanguageModel:
    return OpenAILanguageModel(server.url, "tiny", **options)


def complete(faults: Faults, n: int, **options: Any) -> tuple[list[Completion], FaultServer]:
    with FaultServer(faults) as server:
        return list(open_model(server, **options).complete(make_requests(n))), server


def threads() -> set[str]:
    return {t.name for t in threading.enumerate() if t.name == "language-model"}


def writes_the_plan(completion: Completion) -> bool:
    return tuple(turn.emotion for turn in parse_completion(completion).turns) == PLAN


class TestAllGoesWell:
    def test_every_request_is_answered_to_its_plan(self) -> None:
        completions, server = complete(Faults(), 30)
        assert sorted(c.spec_id for c in completions) == sorted(f"toy-{i}" for i in range(30))
        assert all(writes_the_plan(c) for c in completions)
        assert server.given == {"good": 30}
        assert {c.finish_reason for c in completions} == {"stop"}
        assert {c.model for c in completions} == {"openai:tiny"}

    def test_counts_tokens_and_seconds(self) -> None:
        (completion,), _ = complete(Faults(latency=0.2), 1)
        assert completion.prompt_tokens is not None and completion.prompt_tokens > 10
        assert completion.completion_tokens == len(completion.text.split())
        assert completion.latency is not None and 0.2 <= completion.latency < 2

    def test_sends_sampling_schema_and_a_seed_of_the_request(self) -> None:
        requests = make_requests(2)
        again = Request(**{**requests[0].__dict__, "attempt": 1})
        with FaultServer() as server:
            model = open_model(server, temperature=0.7, top_p=0.9, max_tokens=99, max_concurrency=1)
            list(model.complete([*requests, again]))
            list(open_model(server, max_concurrency=1).complete(requests))
        first = server.bodies[0]
        assert (first["model"], first["temperature"], first["top_p"]) == ("tiny", 0.7, 0.9)
        assert first["max_tokens"] == 99
        assert [m["role"] for m in first["messages"]] == ["system", "user"]
        schema = first["response_format"]["json_schema"]
        assert schema["strict"] is True
        turn = schema["schema"]["properties"]["turns"]["items"]
        assert turn["required"] == ["speaker", "text", "emotion"]
        assert turn["additionalProperties"] is False
        seeds = [body["seed"] for body in server.bodies]
        assert len(set(seeds[:3])) == 3
        assert seeds[:2] == seeds[3:]

    def test_plain_mode_sends_no_schema_and_extra_adds_and_takes_out(self) -> None:
        extra = {"seed": None, "max_tokens": None, "max_completion_tokens": 7}
        _, server = complete(Faults(), 1, json_mode="plain", temperature=None, extra=extra)
        body = server.bodies[0]
        assert set(body) == {"model", "messages", "max_completion_tokens"}
        assert body["max_completion_tokens"] == 7

    def test_settings_tell_what_decides_a_completion_and_no_more(self) -> None:
        def settings(url: str = "http://a/v1", model: str = "m", **options: Any) -> str:
            model_ = OpenAILanguageModel(url, model, **options)
            return json.dumps(model_.settings, sort_keys=True)

        base = settings()
        for change in (
            {"model": "n"},
            {"temperature": 0.5},
            {"top_p": 0.5},
            {"max_tokens": 5},
            {"json_mode": "plain"},
            {"extra": {"min_p": 0.1}},
        ):
            assert settings(**change) != base  # type: ignore[arg-type]
        assert settings("http://b/v1", credentials={"api_key": KEY}) == base
        assert settings(timeout=3, max_concurrency=2, max_retries=9) == base


class TestFaultsThatHeal:
    @pytest.mark.parametrize("fault", TRANSPORT_FAULTS)
    def test_each_is_healed_by_asking_again(self, fault: str) -> None:
        completions, server = complete(Faults({fault: 0.4}, seed=1), 12, max_retries=10)
        assert server.given[fault] > 0
        assert all(writes_the_plan(c) for c in completions)
        assert len(completions) == 12

    def test_a_slow_answer_is_asked_for_again(self) -> None:
        faults = Faults({"slow": 0.4}, slow=30)
        completions, server = complete(faults, 10, timeout=0.5, max_retries=10)
        assert server.given["good"] == 10
        assert all(writes_the_plan(c) for c in completions)

    def test_under_30_percent_faults_500_requests_end_complete_within_a_minute(self) -> None:
        began = time.monotonic()
        rates = {**dict.fromkeys(TRANSPORT_FAULTS, 0.055), "slow": 0.025}
        faults = Faults(rates, seed=11, latency=0.01, slow=30)
        completions, server = complete(faults, 500, timeout=1.0, max_retries=12)
        assert sorted(c.spec_id for c in completions) == sorted(f"toy-{i}" for i in range(500))
        assert all(writes_the_plan(c) for c in completions)
        assert server.given["good"] == 500
        assert server.given.total() - 500 > 200
        assert time.monotonic() - began < 60

    def test_everybody_waits_as_long_as_the_server_asks(self) -> None:
        with FaultServer(Faults(always=(429, {"error": {}}), retry_after="1.5")) as server:
            answers = open_model(server, max_retries=9).complete(make_requests(8))
            thread = threading.Thread(target=lambda: next(answers, None))
            thread.start()
            wait_until(lambda: len(server.arrivals) >= 4)
            server.faults = Faults()
            thread.join()
            assert len(list(answers)) == 7
        burst, late = server.arrivals[:4], server.arrivals[4:]
        assert burst[-1] - burst[0] < 1
        assert min(late) - burst[0] >= 1.4


class TestBadAnswers:
    @pytest.mark.parametrize(
        ("fault", "reason"), [("white_space", "length"), ("wrong_label", "stop")]
    )
    def test_are_passed_on_as_they_are(self, fault: str, reason: str) -> None:
        completions, server = complete(Faults({fault: 1.0}), 3, max_tokens=50)
        assert [c.finish_reason for c in completions] == [reason] * 3
        assert server.given == {fault: 3}

    def test_a_filtered_request_is_no_end_of_the_run(self) -> None:
        error = {"error": {"message": "no", "code": "content_filter"}}
        completions, _ = complete(Faults(always=(400, error)), 3)
        assert [c.finish_reason for c in completions] == ["content_filter"] * 3

    def test_a_request_that_fails_for_good_is_refused_and_the_run_goes_on(self) -> None:
        completions, _ = complete(Faults({"failure": 0.3}, seed=2), 30, max_retries=0)
        failed = [c for c in completions if c.finish_reason == "error"]
        assert 0 < len(failed) < 20
        assert len(completions) == 30
        for completion in failed:
            with pytest.raises(ParseError):
                parse_completion(completion)


class TestErrorsThatDoNotHeal:
    @pytest.mark.parametrize(
        ("status", "error", "says"),
        [
            (401, {"message": f"Incorrect API key: {KEY}"}, "refuses the key"),
            (403, {"message": "not for you"}, "refuses the key"),
            (404, {"message": "no model tiny"}, "no such model"),
            (400, {"message": "unknown field"}, "does not take the request"),
            (422, {"message": "unknown field"}, "does not take the request"),
            (402, {"message": "pay"}, "quota"),
            (429, {"message": "more money", "code": "insufficient_quota"}, "quota"),
        ],
    )
    def test_stop_at_once_with_one_message(
        self, status: int, error: dict[str, str], says: str
    ) -> None:
        with FaultServer(Faults(always=(status, {"error": error}))) as server:
            model = open_model(server, credentials={"api_key": KEY})
            with pytest.raises(UserError, match=says) as caught:
                list(model.complete(make_requests(50)))
        message = str(caught.value)
        assert len(server.arrivals) <= 8
        assert server.url in message and "'tiny'" in message and "what to do" in message
        assert error["message"].replace(KEY, "***") in message
        assert KEY not in message
        assert threads() == set()

    @pytest.mark.parametrize("body", [{"detail": "no such field"}, {"message": "no such field"}])
    def test_repeat_the_words_of_every_kind_of_server(self, body: dict[str, str]) -> None:
        with pytest.raises(UserError, match=r"400: no such field\n"):
            complete(Faults(always=(400, body)), 1)

    def test_the_quota_may_end_on_the_way(self) -> None:
        seen = []
        with FaultServer(Faults(quota=20)) as server:
            model = open_model(server, max_concurrency=2)
            with pytest.raises(UserError, match="quota is used up"):
                for completion in model.complete(make_requests(100)):
                    seen.append(completion)
        assert 15 <= len(seen) <= 21  # one more may be under way when the server counts 20
        assert len(server.arrivals) <= 24

    def test_a_wrong_address_is_told_from_a_wrong_key(self) -> None:
        with FaultServer() as server:
            model = OpenAILanguageModel(server.url.removesuffix("/v1"), "tiny")
            with pytest.raises(UserError, match="mostly ends in /v1"):
                list(model.complete(make_requests(3)))

    def test_twenty_failures_in_a_row_mean_that_the_server_is_gone(self) -> None:
        with FaultServer(Faults({"failure": 1.0})) as server:
            with pytest.raises(UserError, match=r"does not answer(.|\n)*20 requests in a row"):
                list(open_model(server, max_retries=0).complete(make_requests(100)))
            assert len(server.arrivals) < 100

    def test_a_server_that_never_answered_is_told_even_with_few_requests(self) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
            model = OpenAILanguageModel(url, "tiny", max_retries=1)
            with pytest.raises(UserError, match=r"does not answer(.|\n)*no connection"):
                list(model.complete(make_requests(3)))

    def test_a_wait_of_hours_is_an_end(self) -> None:
        with pytest.raises(UserError, match="left alone for 120 minutes"):
            complete(Faults({"busy": 1.0}, retry_after="7200"), 3)


class TestTheWire:
    def test_compressed_answers_are_read(self) -> None:
        completions, _ = complete(Faults(packed=True), 3)
        assert all(writes_the_plan(c) for c in completions)

    def test_the_time_limit_is_for_the_whole_answer(self) -> None:
        began = time.monotonic()
        with pytest.raises(UserError, match=r"no answer in 0\.5 s"):
            complete(Faults({"trickle": 1.0}), 2, timeout=0.5, max_retries=0)
        assert time.monotonic() - began < 10

    def test_a_proxy_of_the_environment_is_used_where_it_applies(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with FaultServer() as proxy:
            monkeypatch.setenv("http_proxy", proxy.url.removesuffix("/v1"))
            monkeypatch.setenv("no_proxy", "127.0.0.1")
            model = OpenAILanguageModel("http://models.invalid/v1", "tiny")
            assert writes_the_plan(next(iter(model.complete(make_requests(1)))))
            assert proxy.headers[0]["host"] == "models.invalid"
            _, server = complete(Faults(), 2)
            assert (len(proxy.headers), len(server.headers)) == (1, 2)

    def test_half_a_surrogate_pair_is_replaced(self) -> None:
        choice = {"message": {"content": "so \ud83d \ud83d\ude00"}}
        (completion,), _ = complete(Faults(always=(200, {"choices": [choice]})), 1)
        assert completion.text == "so \ufffd \U0001f600"


class TestThePace:
    def test_the_ceiling_is_never_passed_and_is_reached(self) -> None:
        completions, server = complete(Faults(latency=0.02), 300, max_concurrency=16)
        assert len(completions) == 300
        assert server.most == 16

    def test_it_finds_what_the_server_bears(self) -> None:
        faults = Faults(latency=0.02, busy_above=8)
        completions, server = complete(faults, 300, max_concurrency=64, max_retries=20)
        assert all(writes_the_plan(c) for c in completions)
        assert server.given["busy"] < 100

    def test_requests_are_taken_no_further_ahead_than_the_window(self) -> None:
        taken = 0

        def endless() -> Iterator[Request]:
            nonlocal taken
            for request in make_requests(10_000):
                taken += 1
                yield request

        with FaultServer() as server:
            answers = open_model(server, max_concurrency=4).complete(endless())
            for number in range(1, 41):
                next(answers)
                assert taken <= number + 8
            answers.close()  # type: ignore[attr-defined]


def wait_until(done: Any, seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not done() and time.monotonic() < end:
        time.sleep(0.01)
    assert done()


class TestTheEnd:
    def test_closing_cancels_what_is_under_way_and_ends_the_thread(self) -> None:
        with FaultServer(Faults({"slow": 0.5}, slow=60)) as server:
            answers = open_model(server).complete(make_requests(100))
            next(answers)
            assert threads() == {"language-model"}
            began = time.monotonic()
            answers.close()  # type: ignore[attr-defined]
            assert time.monotonic() - began < 5
            assert threads() == set()

    def test_an_error_of_the_requests_ends_it(self) -> None:
        def broken() -> Iterator[Request]:
            yield from make_requests(3)
            raise RuntimeError("no more")

        with FaultServer() as server, pytest.raises(RuntimeError, match="no more"):
            list(open_model(server).complete(broken()))
        assert threads() == set()

    def test_ctrl_c_ends_it(self) -> None:
        code = (
            "import sys, threading\n"
            "from erc_kedro.llm.openai_server import OpenAILanguageModel\n"
            "from tests.llm.test_openai_server import make_requests\n"
            "print('begin', flush=True)\n"
            "try:\n"
            "    list(OpenAILanguageModel(sys.argv[1], 'tiny').complete(make_requests(50)))\n"
            "except KeyboardInterrupt:\n"
            "    print([t.name for t in threading.enumerate()])\n"
        )
        with FaultServer(Faults({"slow": 1.0}, slow=60)) as server:
            command = [sys.executable, "-c", code, server.url]
            process = subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                text=True,
                # a background job is started with the signal ignored
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
            )
            wait_until(lambda: server.arrivals, 60)
            process.send_signal(signal.SIGINT)
            out, _ = process.communicate(timeout=20)
        assert out.splitlines() == ["begin", "['MainThread']"]
        assert process.returncode == 0


class TestTheKey:
    def test_comes_from_credentials_or_the_environment_and_is_nowhere(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        faults = Faults({"failure": 0.3})
        by_credentials = {"credentials": {"api_key": KEY}}
        completions, server = complete(faults, 5, **by_credentials)
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        _, second = complete(faults, 5)
        monkeypatch.setenv("MY_KEY", "other")
        _, third = complete(Faults(), 1, api_key_env="MY_KEY")
        sent = {headers["authorization"] for headers in server.headers + second.headers}
        assert sent == {f"Bearer {KEY}"}
        assert {headers["authorization"] for headers in third.headers} == {"Bearer other"}
        model = OpenAILanguageModel(server.url, "tiny", credentials={"api_key": KEY})
        shown = f"{caplog.text} {completions} {model!r} {vars(model)} {model.settings}"
        assert KEY not in shown

    def test_a_server_without_keys_gets_none(self) -> None:
        _, server = complete(Faults(), 1)
        assert server.headers[0]["authorization"] == "Bearer none"

    @pytest.mark.parametrize(
        "options",
        [
            {"base_url": "localhost:8000/v1"},
            {"base_url": f"https://me:{KEY}@host/v1"},
            {"json_mode": "yaml"},
            {"timeout": 0},
            {"max_concurrency": 0},
            {"max_retries": -1},
            {"extra": {"stream": True}},
        ],
    )
    def test_wrong_options_are_told_without_it(self, options: dict[str, Any]) -> None:
        with pytest.raises(UserError, match=next(iter(options))) as caught:
            OpenAILanguageModel(**{"base_url": "http://a/v1", "model": "m", **options})
        assert KEY not in str(caught.value)


def test_the_client_is_imported_only_when_used() -> None:
    code = "import sys, erc_kedro.llm.openai_server; print({'openai', 'aiohttp'} & {*sys.modules})"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout == "set()\n"

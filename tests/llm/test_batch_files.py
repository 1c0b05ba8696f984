"""The batch back-end: what its files ask, and what it makes of every kind of result."""

import json
import logging
import random
import re
import tracemalloc
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from erc_kedro.core.errors import UserError
from erc_kedro.core.prompts import FAILED, Completion, Request, parse_completion
from erc_kedro.llm import batch_files
from erc_kedro.llm.batch_files import BatchLanguageModel
from erc_kedro.llm.openai_server import OpenAILanguageModel
from erc_kedro.llm.store import CompletionStore
from erc_kedro.llm.stored import StoredLanguageModel
from tests.llm.batch_runner import (
    asked_in,
    failure,
    read_lines,
    result,
    run_all,
    run_batch,
    write_lines,
)
from tests.llm.fault_server import FaultServer

PLAN = ("joy", "fear", "neutral")


def make_requests(n: int, **changes: Any) -> list[Request]:
    turns = "\n".join(f"{i}. speaker {'AB'[i % 2]}, {e}" for i, e in enumerate(PLAN, start=1))
    user = f"Write one dialogue between exactly 2 speakers.\n\n{turns}\n"
    requests = [Request(f"toy-{i}", "t", "You write.", f"{user}Scenario {i}.") for i in range(n)]
    return [replace(request, **changes) for request in requests]


def open_model(folder: Path, **options: Any) -> BatchLanguageModel:
    return BatchLanguageModel(folder, "tiny", **options)


def complete(model: Any, requests: list[Request]) -> tuple[list[Completion], str]:
    """Return the completions, and the message at the end if there was one."""
    completions = []
    try:
        for completion in model.complete(iter(requests)):
            completions.append(completion)
    except UserError as error:
        return completions, str(error)
    return completions, ""


def sizes(folder: Path) -> list[int]:
    return [len(read_lines(path)) for path in sorted((folder / "requests").iterdir())]


def ids(completions: list[Completion]) -> list[str]:
    return [completion.spec_id for completion in completions]


class TestThereAndBack:
    def test_the_first_run_ends_with_the_command_the_second_has_every_dialogue(
        self, tmp_path: Path
    ) -> None:
        folder, requests = tmp_path / "my batches", make_requests(5)
        nothing, message = complete(open_model(folder), requests)
        assert nothing == []
        assert message.startswith("5 requests are to be answered: run them")
        assert f"{folder}/results, run again" in message
        (command,) = re.findall("what to do: (.*)", message)
        run_batch(command)
        names = [[p.name for p in (folder / f).iterdir()] for f in ("requests", "results")]
        assert names[0] == names[1]  # other requests have another name: nothing is overwritten
        completions, message = complete(open_model(folder), requests)
        assert message == ""
        assert ids(completions) == ids(requests)  # type: ignore[arg-type]
        for completion in completions:
            emotions = tuple(turn.emotion for turn in parse_completion(completion).turns)
            assert emotions == PLAN
        assert {(c.model, c.finish_reason) for c in completions} == {("batch:tiny", "stop")}
        assert all(c.prompt_tokens and c.completion_tokens for c in completions)
        assert list((folder / "requests").iterdir()) == []

    def test_it_asks_what_the_openai_back_end_asks(self, tmp_path: Path) -> None:
        requests = [*make_requests(2), *make_requests(3, attempt=1)[2:]]
        options: dict[str, Any] = {
            "temperature": 0.7, "top_p": None, "max_tokens": 99, "extra": {"min_p": 0.1},
        }  # fmt: skip
        for json_mode in ("schema", "plain"):
            more = options | {"json_mode": json_mode}
            batch = open_model(tmp_path / json_mode, **more)
            complete(batch, requests)
            with FaultServer() as server:
                online = OpenAILanguageModel(server.url, "tiny", **more)
                list(online.complete(requests))
            asked = [line["body"] for line in asked_in(tmp_path / json_mode)]
            assert sorted(asked, key=str) == sorted(server.bodies, key=str)
            assert batch.settings == online.settings

    @pytest.mark.parametrize(
        "spec_id", ["toy-1", "a/b c", "é" * 200, "x" * 63, "half \ud83d", "n:" + "0" * 70]
    )
    def test_ids_are_such_as_every_service_takes(self, tmp_path: Path, spec_id: str) -> None:
        request = make_requests(1, spec_id=spec_id)
        complete(open_model(tmp_path), request)
        run_all(tmp_path)
        (line,) = asked_in(tmp_path)
        assert re.fullmatch("[A-Za-z0-9_-]{1,64}", line["custom_id"])
        assert re.sub("[^A-Za-z0-9_-]", "-", spec_id[-31:]) in line["custom_id"]
        completions, _ = complete(open_model(tmp_path), request)
        assert ids(completions) == [spec_id]

    def test_no_requests_ask_for_nothing(self, tmp_path: Path) -> None:
        complete(open_model(tmp_path), make_requests(3))
        assert complete(open_model(tmp_path), []) == ([], "")
        assert asked_in(tmp_path) == []


class TestRequestFiles:
    @pytest.mark.parametrize(
        ("n", "options", "expected"),
        [
            (10, {"shards": 3}, [4, 3, 3]),
            (2, {"shards": 3}, [1, 1]),
            (10, {"requests_per_file": 4}, [4, 4, 2]),
            (10, {"shards": 2, "requests_per_file": 3}, [3, 3, 2, 2]),
        ],
    )
    def test_are_split(self, tmp_path: Path, n: int, options: Any, expected: list[int]) -> None:
        _, message = complete(open_model(tmp_path, **options), make_requests(n))
        assert sizes(tmp_path) == expected
        assert f"{tmp_path}/requests, {len(expected)} files" in message
        assert f"and so on for all {len(expected)} files" in message
        assert len({line["custom_id"] for line in asked_in(tmp_path)}) == n

    def test_no_file_is_larger_than_services_take(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(batch_files, "_MOST_BYTES", 3000)
        complete(open_model(tmp_path), make_requests(10))
        files = list((tmp_path / "requests").iterdir())
        assert len(asked_in(tmp_path)) == 10
        assert len(files) > 2
        assert max(path.stat().st_size for path in files) <= 3000

    def test_one_larger_than_that_stands_alone(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(batch_files, "_MOST_BYTES", 10)
        complete(open_model(tmp_path), make_requests(3))
        assert sizes(tmp_path) == [1, 1, 1]

    def test_are_what_is_to_be_asked_now_and_no_more(self, tmp_path: Path) -> None:
        complete(open_model(tmp_path, shards=3), make_requests(9))
        note = tmp_path / "requests" / "job.sh"
        note.write_text("{}")
        leftover = tmp_path / ".requests.new" / "0"
        leftover.parent.mkdir()
        leftover.write_text("half a li")
        complete(open_model(tmp_path), make_requests(2))
        assert note.read_text() == "{}"
        note.unlink()
        assert sizes(tmp_path) == [2]
        assert sorted(path.name for path in tmp_path.iterdir()) == ["requests", "results"]

    def test_stay_as_they_are_while_nothing_changes(self, tmp_path: Path) -> None:
        def content() -> dict[str, str]:
            return {path.name: path.read_text() for path in (tmp_path / "requests").iterdir()}

        complete(open_model(tmp_path, shards=2), make_requests(5))
        before = content()
        complete(open_model(tmp_path, shards=2), make_requests(5))
        assert content() == before

    def test_a_run_that_is_stopped_leaves_the_old_ones(self, tmp_path: Path) -> None:
        complete(open_model(tmp_path), make_requests(4))
        lines = asked_in(tmp_path)
        answered = [result(line["custom_id"], line["body"]) for line in lines[:3]]
        write_lines(tmp_path / "results" / "some.jsonl", answered)
        answers = open_model(tmp_path).complete(make_requests(4))
        next(answers)
        answers.close()  # type: ignore[attr-defined]
        assert asked_in(tmp_path) == lines
        assert sorted(path.name for path in tmp_path.iterdir()) == ["requests", "results"]


class TestWhatIsAsked:
    @pytest.mark.parametrize(
        ("changes", "options"),
        [
            ({"user": "Else."}, {}),
            ({"system": "Else."}, {}),
            ({"attempt": 1}, {}),
            ({"fields": ("speaker", "thought", "text", "emotion")}, {}),
            ({}, {"temperature": 0.1}),
            ({}, {"max_tokens": 9}),
            ({}, {"json_mode": "plain"}),
            ({}, {"extra": {"min_p": 0.5}}),
        ],
    )
    @pytest.mark.parametrize("seed", [{}, {"seed": None}])
    def test_an_old_result_never_answers_another_request(
        self, tmp_path: Path, changes: Any, options: dict[str, Any], seed: dict[str, None]
    ) -> None:
        def opened(extra: Any = None, **options: Any) -> BatchLanguageModel:
            return open_model(tmp_path, extra={**seed, **(extra or {})}, **options)

        complete(opened(), make_requests(2))
        run_all(tmp_path)
        completions, message = complete(opened(**options), make_requests(2, **changes))
        assert completions == []
        assert message.startswith("2 requests")
        assert len(complete(opened(), make_requests(2))[0]) == 2

    def test_a_longer_plan_asks_for_the_rest(self, tmp_path: Path) -> None:
        complete(open_model(tmp_path), make_requests(3))
        run_all(tmp_path)
        completions, message = complete(open_model(tmp_path), make_requests(5))
        assert ids(completions) == ["toy-0", "toy-1", "toy-2"]
        assert message.startswith("2 requests")
        run_all(tmp_path)
        assert len(complete(open_model(tmp_path), make_requests(5))[0]) == 5


ERRORS = {
    "vllm": (failure("?", "out of memory"), "500: out of memory"),
    "older vllm": (
        {"response": {"status_code": 400, "body": None}, "error": {"message": "too long"}},
        "400: too long",
    ),
    "vllm's own": (
        {"response": {"status_code": 400, "body": None}, "error": "no such field"},
        "400: no such field",
    ),
    "hosted": (
        {"response": {"status_code": 429, "body": {"error": {"message": "slow"}}}, "error": None},
        "429: slow",
    ),
    "expired": (
        {"response": None, "error": {"code": "batch_expired", "message": "window expired"}},
        "the first: window expired",
    ),
    "no completion": (
        {"response": {"status_code": 200, "body": {"choices": []}}, "error": None},
        "no chat completion",
    ),
    "no body": ({"response": None, "error": None}, "no chat completion: None"),
    "ended with an error": (
        {
            "response": {
                "status_code": 200,
                "body": {"choices": [{"message": {"content": "a"}, "finish_reason": "error"}]},
            }
        },
        "ended it with an error",
    ),
}


class TestErrors:
    @pytest.mark.parametrize("kind", ERRORS)
    def test_of_every_kind_are_asked_again_and_told(self, tmp_path: Path, kind: str) -> None:
        line, said = ERRORS[kind]
        complete(open_model(tmp_path), make_requests(3))
        first = asked_in(tmp_path)[1]["custom_id"]

        def answer(custom_id: str, body: Any) -> Any:
            return (
                {**line, "custom_id": custom_id} if custom_id == first else result(custom_id, body)
            )

        run_all(tmp_path, answer)
        completions, message = complete(open_model(tmp_path), make_requests(3))
        assert ids(completions) == ["toy-0", "toy-2"]
        assert "1 request is to be answered" in message
        assert "1 failed before" in message
        assert said in message
        assert [asked["custom_id"] for asked in asked_in(tmp_path)] == [first]

    def test_three_are_the_end_of_a_request(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        for said in ("3 requests", "3 failed before", "3 failed before"):
            completions, message = complete(open_model(tmp_path), make_requests(3))
            assert completions == []
            assert said in message
            run_all(tmp_path, lambda custom_id, _: failure(custom_id))
        completions, message = complete(open_model(tmp_path), make_requests(4))
        assert [(c.spec_id, c.finish_reason, c.text) for c in completions] == [
            (f"toy-{i}", FAILED, "") for i in range(3)
        ]
        assert message.startswith("1 request ")
        assert "failed before" not in message
        assert "3 requests failed 3 times and are given up (500: out of memory)" in caplog.text

    def test_a_good_result_wins_and_of_good_ones_the_first_by_file_name(
        self, tmp_path: Path
    ) -> None:
        complete(open_model(tmp_path), make_requests(1))
        (line,) = asked_in(tmp_path)
        names = list("abcdefgh")
        random.Random(0).shuffle(names)  # as written, so that no folder lists them in order
        for name in names:
            values = result(line["custom_id"], line["body"])
            values["response"]["body"]["choices"][0]["message"]["content"] = f"text {name}"
            if name in "abgh":
                values = failure(line["custom_id"])
            write_lines(tmp_path / "results" / f"{name}.jsonl", [values])
        (completion,), _ = complete(open_model(tmp_path), make_requests(1))
        assert completion.text == "text c"


class TestDamage:
    def answered(self, folder: Path, n: int) -> list[str]:
        complete(open_model(folder), make_requests(n))
        return [json.dumps(result(line["custom_id"], line["body"])) for line in asked_in(folder)]

    @pytest.mark.parametrize(
        "broken",
        [
            b"{not json",
            b"[]",
            b"17",
            b'{"response": {}}',
            b'{"custom_id": 5}',
            b'{"custom_id": "\\ud83d"}',
            b'{"custom_id": "x", "response": 5}',
            b"\xff\xfe\x00",
            b"[" * 100_000,
        ],
        ids=lambda line: line[:30],
    )
    def test_a_broken_line_is_named_and_the_rest_taken(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture, broken: bytes
    ) -> None:
        one, two, _ = self.answered(tmp_path, 3)
        path = tmp_path / "results" / "any name.jsonl"
        path.write_bytes(b"\n".join([one.encode(), b"", broken, broken, two.encode()]))
        completions, message = complete(open_model(tmp_path), make_requests(3))
        assert ids(completions) == ["toy-0", "toy-1"]
        assert message.startswith("1 request ")
        (warning,) = [r for r in caplog.records if r.levelno == logging.WARNING]
        assert f"{path}, line 3: no result" in warning.getMessage()
        assert "2 such lines" in warning.getMessage()

    def test_every_whole_line_of_a_file_half_written_counts(self, tmp_path: Path) -> None:
        lines = self.answered(tmp_path, 5)
        content = "\n".join(lines) + "\n"
        for cut in (0, 1, len(lines[0]), len(content) // 2, len(content) - 2, len(content)):
            (tmp_path / "results" / "half.jsonl").write_text(content[:cut])
            completions, _ = complete(open_model(tmp_path), make_requests(5))
            whole = [i for i in range(5) if cut >= sum(map(len, lines[: i + 1])) + i]
            assert ids(completions) == [f"toy-{i}" for i in whole]

    def test_a_file_that_changes_under_it_is_no_end(self, tmp_path: Path) -> None:
        lines = self.answered(tmp_path, 4)
        path = tmp_path / "results" / "a.jsonl"
        path.write_text("\n".join(lines))
        answers = open_model(tmp_path).complete(make_requests(4))
        assert next(answers).spec_id == "toy-0"
        path.write_text("\n".join([lines[3], lines[1]]))
        with pytest.raises(UserError, match="3 requests"):
            list(answers)

    def test_other_files_are_none_of_its_business(self, tmp_path: Path) -> None:
        self.answered(tmp_path, 1)
        (tmp_path / "results" / "log.txt").write_text("broken")
        (tmp_path / "results" / "folder.jsonl").mkdir()
        assert complete(open_model(tmp_path), make_requests(1))[0] == []

    def test_a_folder_that_cannot_be_one_is_the_users_error(self, tmp_path: Path) -> None:
        (tmp_path / "results").write_text("a file")
        with pytest.raises(UserError, match="cannot be used") as caught:
            list(open_model(tmp_path).complete(make_requests(1)))
        assert str(tmp_path) in str(caught.value)

    @pytest.mark.parametrize(
        "options",
        [
            {"shards": 0},
            {"requests_per_file": 0},
            {"json_mode": "yaml"},
            {"extra": {"messages": []}},
        ],
    )
    def test_wrong_options_are_told(self, tmp_path: Path, options: dict[str, Any]) -> None:
        with pytest.raises(UserError, match=next(iter(options))):
            open_model(tmp_path, **options)


@settings(deadline=None, max_examples=60)
@given(data=st.data(), shards=st.integers(1, 4))
def test_any_split_of_the_results_in_any_order_gives_the_same(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, shards: int
) -> None:
    folder, requests = tmp_path_factory.mktemp("batches"), make_requests(6)
    complete(open_model(folder, shards=shards), requests)
    asked = {line["custom_id"]: line["body"] for line in asked_in(folder)}
    good = data.draw(st.lists(st.booleans(), min_size=6, max_size=6))
    failures = data.draw(st.lists(st.integers(0, 4), min_size=6, max_size=6))
    lines, expected, by_user = [], {}, {r.user: (i, r.spec_id) for i, r in enumerate(requests)}
    for custom_id, body in asked.items():
        i, spec_id = by_user[body["messages"][1]["content"]]
        lines += [result(custom_id, body)] * good[i] + [failure(custom_id)] * failures[i]
        if good[i] or failures[i] >= 3:
            expected[spec_id] = "stop" if good[i] else FAILED
    lines = data.draw(st.permutations(lines))
    names = data.draw(st.lists(st.sampled_from("abcde"), min_size=len(lines), max_size=len(lines)))
    for name in set(names):
        own = [line for line, at in zip(lines, names, strict=True) if at == name]
        write_lines(folder / "results" / f"{name}.jsonl", own)
    completions, message = complete(open_model(folder, shards=2), requests)
    assert {c.spec_id: c.finish_reason for c in completions} == expected
    assert len(completions) == len(expected)
    assert message.startswith(f"{6 - len(expected)} request") == (len(expected) < 6)
    assert len(asked_in(folder)) == 6 - len(expected)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**32), shards=st.integers(1, 4), stored=st.booleans())
def test_to_and_fro_every_request_is_answered_once_and_never_asked_after(
    tmp_path_factory: pytest.TempPathFactory, seed: int, shards: int, stored: bool
) -> None:
    folder, rng, requests = (
        tmp_path_factory.mktemp("batches"),
        random.Random(seed),
        make_requests(8),
    )
    good: Counter[str] = Counter()
    bad: Counter[str] = Counter()

    def answer(custom_id: str, body: Any) -> Any:
        if rng.random() < 0.4:
            bad[custom_id] += 1
            return failure(custom_id)
        good[custom_id] += 1
        return result(custom_id, body)

    for _ in range(4):
        model: Any = open_model(folder, shards=shards)
        if stored:
            model = StoredLanguageModel(model, CompletionStore(folder / "store.db"))
        completions, message = complete(model, requests)
        if not message:
            break
        run_all(folder, answer)
        for path in (folder / "results").iterdir():  # in any order, half of a line at the end
            lines = path.read_text().splitlines()
            rng.shuffle(lines)
            path.write_text("\n".join([*lines, '{"custom_id": "to']))
    assert message == ""
    assert sorted(ids(completions)) == [f"toy-{i}" for i in range(8)]
    assert good.total() == sum(c.finish_reason == "stop" for c in completions)
    assert set(good.values()) <= {1}
    assert max(bad.values(), default=0) <= 3
    assert sum(n == 3 for n in bad.values()) == sum(c.finish_reason == FAILED for c in completions)


class TestWithAStore:
    def stored(self, folder: Path, **options: Any) -> StoredLanguageModel:
        return StoredLanguageModel(open_model(folder, **options), CompletionStore(folder / "s.db"))

    def test_what_results_hold_is_kept_and_they_are_needed_no_more(self, tmp_path: Path) -> None:
        requests = make_requests(9)
        complete(self.stored(tmp_path, shards=3), requests)
        paths = sorted((tmp_path / "requests").iterdir())
        shard = tmp_path / "results" / "shard.jsonl"
        write_lines(shard, [result(a["custom_id"], a["body"]) for a in read_lines(paths[1])])
        some, message = complete(self.stored(tmp_path, shards=2), requests)
        assert ids(some) == ["toy-1", "toy-4", "toy-7"]
        assert message.startswith("6 requests")
        shard.unlink()
        again, message = complete(self.stored(tmp_path, shards=2), requests)
        assert again == some
        assert message.startswith("6 requests")
        assert sizes(tmp_path) == [3, 3]
        run_all(tmp_path)
        assert len(complete(self.stored(tmp_path), requests)[0]) == 9
        for path in (tmp_path / "results").iterdir():
            path.unlink()
        completions, message = complete(self.stored(tmp_path), requests)
        assert (len(completions), message) == (9, "")
        assert asked_in(tmp_path) == []

    def test_requests_that_say_the_same_are_asked_once(self, tmp_path: Path) -> None:
        twins = make_requests(4, user=make_requests(1)[0].user)
        complete(self.stored(tmp_path), twins)
        assert len(asked_in(tmp_path)) == 1
        run_all(tmp_path)
        assert len(complete(self.stored(tmp_path), twins)[0]) == 4

    def test_what_an_online_server_wrote_with_the_same_settings_is_not_asked(
        self, tmp_path: Path
    ) -> None:
        with FaultServer() as server:
            online = OpenAILanguageModel(server.url, "tiny")
            store = CompletionStore(tmp_path / "s.db")
            list(StoredLanguageModel(online, store).complete(make_requests(3)))
        completions, message = complete(self.stored(tmp_path), make_requests(4))
        assert len(completions) == 3
        assert message.startswith("1 request ")


def test_memory_does_not_grow_with_requests_or_results(tmp_path: Path) -> None:
    size, n = 10_000, 2_000
    requests = (Request(f"s{i}", "t", "", f"{i:{size}}") for i in range(n))
    again = (Request(f"s{i}", "t", "", f"{i:{size}}") for i in range(n))

    def answer(path: Path) -> None:
        with path.open() as lines, (tmp_path / "results" / path.name).open("w") as results:
            for line in lines:
                chat = {"choices": [{"message": {"content": f"{0:{size}}"}}]}
                answered = {"custom_id": json.loads(line)["custom_id"], "response": {"body": chat}}
                results.write(json.dumps(answered) + "\n")

    for asked, answered in ((requests, 0), (again, n)):
        tracemalloc.start()
        try:
            assert sum(1 for _ in open_model(tmp_path).complete(asked)) == answered
        except UserError as error:
            assert not answered, error
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < size * n / 10
        for path in (tmp_path / "requests").iterdir():
            answer(path)

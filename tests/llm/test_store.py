"""The completion store: what is kept comes back, what is not is asked for, and it says why."""

import sqlite3
import tracemalloc
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from erc_kedro.core.errors import UserError
from erc_kedro.core.prompts import Completion, Request
from erc_kedro.llm.protocol import HoldsNothing
from erc_kedro.llm.store import CompletionStore
from erc_kedro.llm.stored import StoredLanguageModel
from tests.llm.writer import Place, Writer, make_requests


class Answering(HoldsNothing):
    """Answers with given completions, the last first."""

    name, stored_specs, settings = "given", None, {"model": "given"}

    def __init__(self, completions: Sequence[Completion]) -> None:
        self._completions = {c.spec_id: c for c in completions}

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        for request in reversed(list(requests)):
            yield self._completions[request.spec_id]


any_text = st.text(st.characters(exclude_categories=()))  # also half surrogate pairs
completions = st.builds(
    Completion,
    spec_id=st.text(min_size=1),
    text=any_text,
    model=st.text(),
    finish_reason=st.sampled_from(["stop", "length"]),
    prompt_tokens=st.none() | st.integers(0, 2**40),
    completion_tokens=st.none() | st.integers(0, 2**40),
    latency=st.none() | st.floats(0, allow_nan=False, allow_infinity=False),
)


@settings(deadline=None, max_examples=40)
@given(wanted=st.lists(completions, max_size=6, unique_by=lambda c: c.spec_id), prompt=any_text)
def test_what_was_written_comes_back_from_the_store(
    tmp_path_factory: pytest.TempPathFactory, wanted: list[Completion], prompt: str
) -> None:
    store = CompletionStore(tmp_path_factory.mktemp("store") / "store.db")
    requests = [Request(c.spec_id, "v1", prompt, f"{i}{prompt}") for i, c in enumerate(wanted)]
    written = list(StoredLanguageModel(Answering(wanted), store).complete(iter(requests)))
    assert written == wanted[::-1]
    assert list(StoredLanguageModel(Answering([]), store).complete(iter(requests))) == wanted


@pytest.mark.parametrize(
    ("request_", "about", "said"),
    [
        ({"template": "v2"}, {}, "template changed (v1 → v2)"),
        ({"template": "v2", "user": "New."}, {}, "template changed (v1 → v2)"),
        ({"system": "Write well."}, {}, "requests changed"),
        ({"user": "Of cats."}, {}, "requests changed"),
        ({"attempt": 1}, {}, "attempt changed (0 → 1)"),
        ({}, {"model": "b"}, "model changed (a → b)"),
        ({}, {"sampling": {"temperature": 0.5, "top_p": 1}}, "temperature changed (0.7 → 0.5)"),
        ({}, {"schema": True}, "schema changed"),
        ({"template": "v2"}, {"model": "b"}, "template changed (v1 → v2), model changed (a → b)"),
    ],
)
def test_every_part_of_what_is_asked_decides(
    place: Place, caplog: pytest.LogCaptureFixture, request_: Any, about: Any, said: str
) -> None:
    at_first = {"model": "a", "sampling": {"temperature": 0.7, "top_p": 1}}
    old = place.complete(make_requests(1), **at_first)
    caplog.clear()
    changed = place.complete(make_requests(1, **request_), **(at_first | about))
    assert changed != old
    assert place.asked() == ["s0", "s0"]
    assert caplog.messages == [f"0 of 1 there: {said}"]
    again = {"sampling": {"top_p": 1, "temperature": 0.7}, "model": "a"}  # in another order
    assert place.complete(make_requests(1), **again) == old
    assert len(place.asked()) == 2


def test_says_how_much_is_there(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    place.complete(make_requests(1200))
    place.complete(make_requests(1500))
    place.complete(make_requests(1500))
    place.complete([*make_requests(900), *make_requests(950, user="Else.", attempt=2)[900:]])
    place.complete([])
    assert caplog.messages == [
        "0 of 1,200 there, 1,200 to write (none was asked before)",
        "1,200 of 1,500 there, 300 to write (parameters unchanged)",
        "1,500 of 1,500 there, none to write",
        "900 of 950 there, 50 to write (attempt changed (0 → 2), requests changed)",
    ]
    assert len(place.asked()) == 1501  # those fifty say the same


def test_requests_that_say_the_same_are_asked_once_and_all_answered(place: Place) -> None:
    twins = [replace(request, user="Twins.") for request in make_requests(3)]
    first = place.complete([*twins[:2], *make_requests(5)[3:]])
    assert sorted(c.spec_id for c in first) == ["s0", "s1", "s3", "s4"]
    assert first[0] == replace(first[1], spec_id="s0")
    assert place.complete(twins)[2] == replace(first[0], spec_id="s2")
    assert place.asked() == ["s0", "s3", "s4"]


def test_half_a_surrogate_pair_is_no_reason_to_lose_an_answer(place: Place) -> None:
    (wanted,) = given_ = [Completion("s0", "half \ud83d and a \0", "given")]
    for completions in (given_, []):
        model = StoredLanguageModel(Answering(completions), CompletionStore(place.path))
        assert list(model.complete(make_requests(1))) == [wanted]


def test_an_answer_to_what_was_not_asked_or_is_answered_is_refused(place: Place) -> None:
    class Babbling(Writer):
        def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
            for completion in super().complete(requests):
                yield completion
                yield replace(completion, spec_id=self.settings.get("spec", completion.spec_id))

    for about, kept in (({}, {"s0"}), ({"spec": "s9"}, {"s0"})):
        model = StoredLanguageModel(Babbling(place.log, **about), CompletionStore(place.path))
        with pytest.raises(ValueError, match="not missing"):
            list(model.complete(make_requests(2)))
        assert place.kept() == kept


def test_two_requests_for_one_spec_in_one_call_are_refused(place: Place) -> None:
    with pytest.raises(ValueError, match="same spec"):
        place.complete(make_requests(1) + make_requests(1, attempt=1))
    assert place.asked() == []


def test_a_completion_is_kept_before_it_is_yielded(place: Place) -> None:
    model = StoredLanguageModel(Writer(place.log), CompletionStore(place.path))
    answers = model.complete(make_requests(50))
    for number in range(1, 11):
        next(answers)
        assert len(place.kept()) == len(place.asked()) == number
    answers.close()  # type: ignore[attr-defined]
    assert len(place.complete(make_requests(50))) == 50
    assert len(place.asked()) == 50


def test_memory_does_not_grow_with_what_is_asked_and_answered(place: Place) -> None:
    size, n = 10_000, 6_000

    class Verbose(Writer):
        def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
            for request in requests:
                yield Completion(request.spec_id, f"{request.spec_id:{size}}", self.name)

    model = StoredLanguageModel(Verbose(place.log), CompletionStore(place.path))
    for _ in ("written", "read"):
        tracemalloc.start()
        answers = model.complete(Request(f"s{i}", "v1", "", f"{i:{size}}") for i in range(n))
        assert sum(1 for _ in answers) == n
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < size * n / 2


def test_what_was_written_before_an_error_is_kept(place: Place) -> None:
    class Failing(Writer):
        def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
            for number, completion in enumerate(super().complete(requests)):
                if number == 7:
                    raise UserError("The server is gone.")
                yield completion

    model = StoredLanguageModel(Failing(place.log), CompletionStore(place.path))
    with pytest.raises(UserError, match="gone"):
        list(model.complete(make_requests(20)))
    assert place.kept() == {f"s{i}" for i in range(7)}


class TestAFileThatIsNoSoundStore:
    def refused(self, place: Place) -> str:
        before = place.path.read_bytes()
        with pytest.raises(UserError) as caught:
            place.complete(make_requests(3))
        assert place.path.read_bytes() == before
        assert place.asked() == []
        assert str(place.path) in str(caught.value)
        return str(caught.value)

    def test_no_database(self, place: Place) -> None:
        place.path.parent.mkdir()
        place.path.write_bytes(b"these are no completions\n" * 100)
        assert "damaged; nothing of it was deleted" in self.refused(place)

    @pytest.mark.parametrize("where", [0.3, 0.6, 0.9])
    def test_overwritten_pages(self, place: Place, where: float) -> None:
        place.complete(make_requests(400))
        content = bytearray(place.path.read_bytes())
        start = int(len(content) * where) // 4096 * 4096
        content[start : start + 4096] = bytes(4096)
        place.path.write_bytes(content)
        place.log.unlink()
        assert "damaged; nothing of it was deleted" in self.refused(place)

    def test_a_file_cut_short(self, place: Place) -> None:
        place.complete(make_requests(400))
        place.path.write_bytes(place.path.read_bytes()[:-20000])
        place.log.unlink()
        assert "damaged" in self.refused(place)

    @pytest.mark.parametrize(
        ("statement", "found"),
        [("CREATE TABLE runs (id)", "other tables"), ("PRAGMA user_version = 7", "format 7")],
    )
    def test_another_database(self, place: Place, statement: str, found: str) -> None:
        place.path.parent.mkdir()
        connection = sqlite3.connect(place.path)
        connection.execute(statement)
        connection.close()
        assert f"found: {found}" in self.refused(place)

    def test_a_folder(self, place: Place) -> None:
        place.path.mkdir(parents=True)
        with pytest.raises(UserError, match="cannot be used"):
            place.complete(make_requests(1))

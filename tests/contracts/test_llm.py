"""What every language-model back-end keeps: one class, every back-end, each with its own specs."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest

from erc_kedro.core.errors import UserError
from erc_kedro.core.overlap import TextIndex
from erc_kedro.core.prompts import (
    Completion,
    ParseError,
    Request,
    load_template,
    parse_completion,
    render_request,
)
from erc_kedro.core.rules import Judge, refusals
from erc_kedro.core.specs import DialogueSpec, plan_specs
from erc_kedro.core.transitions import TransitionModel, speaker_orders
from erc_kedro.corpora import CORPORA
from erc_kedro.corpora.folder import read_raw
from erc_kedro.importing import import_file
from erc_kedro.llm import BACKENDS, open_language_model
from erc_kedro.llm.fake import FakeLanguageModel
from erc_kedro.llm.protocol import LanguageModel
from erc_kedro.llm.store import CompletionStore
from erc_kedro.llm.stored import StoredLanguageModel
from tests.conftest import ROOT
from tests.llm.batch_runner import run_all
from tests.llm.fault_server import FaultServer
from tests.llm.tiny_llama import tiny_llama

MELD = CORPORA["meld"]
LABELS = MELD.label_set
TURN = {"speaker": "Ann", "text": "Well, hello there.", "emotion": "joy"}


@cache
def request_for(spec: DialogueSpec) -> Request:
    return render_request(
        spec,
        "dialogue_v1",
        load_template("dialogue_v1"),
        register="a sitcom",
        definitions=dict.fromkeys(LABELS.emotions, "as one knows it"),
        label_set=LABELS,
    )


def planned_specs() -> list[DialogueSpec]:
    """Specs with speaker orders, as planned from train; and two without, as the bank's are."""
    train = read_raw(MELD, Path("/nowhere")).splits["train"]
    tables = {"scenario": [f"event {i}" for i in range(12)], "relation": ["kin"], "setting": ["it"]}
    planned = plan_specs(
        TransitionModel.fit(train, LABELS),
        speaker_orders(train, 2, 24),
        tables,
        n=12,
        strategy="balanced",
        target=np.full(len(LABELS), 1 / len(LABELS)),
        seed=0,
        prefix="meld",
    )
    bare = DialogueSpec("bare-0", "faithful", "a lost hat", 2, ("joy", "fear", "neutral"))
    alone = DialogueSpec("bare-1", "faithful", "a lost hat", 1, ("anger",), relation="none")
    return [*planned, bare, alone]


Opened = tuple[Callable[[], LanguageModel], Sequence[DialogueSpec]]


def open_bank(_: ExitStack) -> Opened:
    stored = open_language_model("bank", {"corpus": "meld"}).stored_specs
    assert stored is not None
    return lambda: open_language_model("bank", {"corpus": "meld"}), stored


def open_batch(until_the_end: ExitStack) -> Opened:
    folder = Path(until_the_end.enter_context(TemporaryDirectory()))
    options = {"folder": str(folder), "model": "tiny", "shards": 2}
    asking, specs = open_language_model("batch", options), planned_specs()
    with pytest.raises(UserError, match="to be answered"):
        list(asking.complete(request_for(spec) for spec in specs))
    run_all(folder)
    return lambda: open_language_model("batch", options), specs


def open_fake(_: ExitStack) -> Opened:
    return lambda: open_language_model("fake", {}), planned_specs()


def open_stored_fake(until_the_end: ExitStack) -> Opened:
    folder = Path(until_the_end.enter_context(TemporaryDirectory()))

    def open_it() -> LanguageModel:
        store = CompletionStore(folder / "completions.db")
        return StoredLanguageModel(open_language_model("fake", {}), store)

    return open_it, planned_specs()


def open_file(until_the_end: ExitStack) -> Opened:
    folder = Path(until_the_end.enter_context(TemporaryDirectory()))
    table = folder / "data.csv"
    rows = [f"Number {i} of the {i} texts.,{LABELS.emotions[i % 7]}\n" for i in range(40)]
    table.write_text("text,label\n" + "".join(rows))
    bank = str(import_file("meld", table, None, folder).bank.parent)
    stored = open_language_model("file", {"folder": bank}).stored_specs
    assert stored is not None
    return lambda: open_language_model("file", {"folder": bank}), stored


def open_openai(until_the_end: ExitStack) -> Opened:
    server = until_the_end.enter_context(FaultServer())
    options = {"base_url": server.url, "model": "fake"}
    return lambda: open_language_model("openai", options), planned_specs()


def open_transformers(_: ExitStack) -> Opened:
    options = {"model": str(tiny_llama()), "batch_size": 4}
    return lambda: open_language_model("transformers", options), planned_specs()


OPEN: dict[str, Callable[[ExitStack], Opened]] = {
    "bank": open_bank,
    "batch": open_batch,
    "fake": open_fake,
    "file": open_file,
    "openai": open_openai,
    "transformers": open_transformers,
}
OPEN_STORED = {"fake with a store": open_stored_fake}


def test_every_back_end_is_held_to_the_contract() -> None:
    assert set(OPEN) == set(BACKENDS)


@pytest.fixture(scope="module", params=[*OPEN, *OPEN_STORED])
def opened(request: pytest.FixtureRequest) -> Iterator[Opened]:
    with ExitStack() as until_the_end:
        yield (OPEN | OPEN_STORED)[request.param](until_the_end)


@pytest.fixture(scope="module")
def requests(opened: Opened) -> list[Request]:
    return [request_for(spec) for spec in opened[1]]


@pytest.fixture(scope="module")
def completions(opened: Opened, requests: list[Request]) -> list[Completion]:
    return list(opened[0]().complete(requests))


class TestEveryBackEnd:
    def test_yields_one_completion_per_request(
        self, requests: list[Request], completions: list[Completion]
    ) -> None:
        asked = [request.spec_id for request in requests]
        assert len(asked) > 0
        assert sorted(completion.spec_id for completion in completions) == sorted(asked)

    def test_yields_nothing_for_no_requests(self, opened: Opened) -> None:
        assert list(opened[0]().complete([])) == []

    def test_takes_a_generator_and_answers_part_of_the_specs(
        self, opened: Opened, requests: list[Request], completions: list[Completion]
    ) -> None:
        some = requests[::-3]
        wanted = {c.spec_id: c for c in completions}
        answered = list(opened[0]().complete(r for r in some))
        assert {c.spec_id for c in answered} == {r.spec_id for r in some}
        assert all(wanted[c.spec_id] == c for c in answered)

    def test_completions_parse_to_the_planned_dialogue(
        self, opened: Opened, completions: list[Completion]
    ) -> None:
        specs = {spec.id: spec for spec in opened[1]}
        for completion in completions:
            spec, dialogue = specs[completion.spec_id], parse_completion(completion)
            assert dialogue.id == spec.id
            assert tuple(turn.emotion for turn in dialogue.turns) == spec.emotions
            assert len(dialogue.speakers) == spec.n_speakers
            assert all(turn.text and turn.speaker for turn in dialogue.turns)
            if spec.speaker_order is not None:
                heard = [dialogue.speakers.index(turn.speaker) for turn in dialogue.turns]
                assert tuple(heard) == spec.speaker_order

    def test_asked_twice_a_new_one_says_the_same(
        self, opened: Opened, requests: list[Request], completions: list[Completion]
    ) -> None:
        again = {c.spec_id: c for c in opened[0]().complete(requests)}
        assert again == {c.spec_id: c for c in completions}

    def test_says_who_wrote_and_that_it_was_finished(
        self, opened: Opened, completions: list[Completion]
    ) -> None:
        assert {c.finish_reason for c in completions} == {"stop"}
        assert {c.model for c in completions} == {opened[0]().name}
        assert opened[0]().name

    def test_says_what_decides_a_completion_in_plain_values(self, opened: Opened) -> None:
        said = dict(opened[0]().settings)
        assert json.loads(json.dumps(said)) == said
        assert said["model"]

    def test_stored_specs_are_unique_if_there_are_any(self, opened: Opened) -> None:
        stored = opened[0]().stored_specs
        if stored is not None:
            assert len({spec.id for spec in stored}) == len(stored)
            assert all(set(spec.emotions) <= set(LABELS.emotions) for spec in stored)


SIZES = {
    "meld": {"balanced": 1760, "faithful": 520},
    "emorynlp": {"balanced": 560, "faithful": 160},
    "iemocap": {"balanced": 160, "faithful": 160},
}


@pytest.mark.parametrize("corpus", SIZES)
class TestEveryShippedBank:
    def test_holds_both_strategies_with_the_label_set_of_its_corpus(self, corpus: str) -> None:
        stored = open_language_model("bank", {"corpus": corpus}).stored_specs or ()
        assert Counter(spec.strategy for spec in stored) == SIZES[corpus]
        for spec in stored:
            CORPORA[corpus].label_set.codes(spec.emotions, where=spec.id)

    def test_every_dialogue_passes_every_rule(self, corpus: str) -> None:
        bank = open_language_model("bank", {"corpus": corpus})
        stored = {spec.id: spec for spec in bank.stored_specs or ()}
        asked = [Request(spec_id, "", "", "") for spec_id in stored]
        verdicts = refusals(
            [parse_completion(completion) for completion in bank.complete(asked)],
            stored,
            Judge(
                CORPORA[corpus].label_set,
                held_out=TextIndex([]),
                train=TextIndex([]),
                max_words=80,
            ),
        )
        assert len(verdicts) == sum(SIZES[corpus].values())
        assert {spec_id: found for spec_id, found in verdicts.items() if found} == {}

    def test_every_spec_is_written_as_the_project_writes_it(self, corpus: str) -> None:
        for path in (ROOT / "src/erc_kedro/bank" / corpus).glob("*.jsonl"):
            for line in path.read_text("utf-8").splitlines():
                kept = json.loads(line)["spec"]
                own = DialogueSpec.from_dict(kept).to_dict()
                assert {k: v for k, v in own.items() if v is not None} == {
                    k: v for k, v in kept.items() if v is not None
                }

    def test_balanced_is_what_the_card_says(self, corpus: str) -> None:
        stored = open_language_model("bank", {"corpus": corpus}).stored_specs or ()
        balanced = [e for spec in stored if spec.strategy == "balanced" for e in spec.emotions]
        shares = CORPORA[corpus].label_set.shares(balanced)
        assert np.ptp(shares) < 0.002


def test_what_was_written_with_a_tenth_of_train_passes_every_rule_too() -> None:
    folder = ROOT / "src/erc_kedro/bank/meld/tenth"
    bank = open_language_model("bank", {"corpus": "meld", "folder": str(folder)})
    stored = {spec.id: spec for spec in bank.stored_specs or ()}
    assert len(stored) == 300 and {spec.strategy for spec in stored.values()} == {"balanced"}
    found = refusals(
        [parse_completion(own) for own in bank.complete(map(request_for, stored.values()))],
        stored,
        Judge(LABELS, held_out=TextIndex([]), train=TextIndex([]), max_words=80),
    )
    assert not any(found.values())
    shares = LABELS.shares([e for spec in stored.values() for e in spec.emotions])
    assert shares.min() > 0.13 and shares.max() < 0.155


class TestTheShippedBank:
    @pytest.fixture(scope="class")
    def bank(self) -> LanguageModel:
        return open_language_model("bank", {"corpus": "meld"})

    def test_hardly_a_dialogue_overlaps_the_sample(self, bank: LanguageModel) -> None:
        raw = read_raw(MELD, Path("/nowhere"))
        held_out = [text for split in ("dev", "test") for text in raw.splits[split]["text"]]
        stored = {spec.id: spec for spec in bank.stored_specs or ()}
        completions = bank.complete(request_for(spec) for spec in stored.values())
        verdicts = refusals(
            [parse_completion(completion) for completion in completions],
            stored,
            Judge(
                LABELS,
                held_out=TextIndex(held_out),
                train=TextIndex(raw.splits["train"]["text"]),
                max_words=80,
            ),
        )
        refused = [spec_id for spec_id, found in verdicts.items() if found]
        assert len(refused) <= 0.01 * len(stored)

    def test_refuses_a_spec_that_it_does_not_hold(self, bank: LanguageModel) -> None:
        foreign = DialogueSpec("meld-balanced-none", "balanced", "x", 1, ("joy",))
        with pytest.raises(UserError, match="meld-balanced-none"):
            list(bank.complete([request_for(foreign)]))


def bank_line(spec_id: str, text: str = TURN["text"]) -> str:
    spec = DialogueSpec(spec_id, "balanced", "a hat", 1, ("joy",)).to_dict()
    pair = {"spec": spec, "completion": {"turns": [TURN | {"text": text}]}}
    return json.dumps(pair, ensure_ascii=False)


def open_folder(folder: Path) -> LanguageModel:
    return open_language_model("bank", {"corpus": "meld", "folder": str(folder)})


class TestABankElsewhere:
    def test_reads_all_its_files_in_order_of_name(self, tmp_path: Path) -> None:
        (tmp_path / "b.jsonl").write_text(bank_line("b0") + "\n", encoding="utf-8")
        (tmp_path / "a.jsonl").write_text(bank_line("a0") + "\n" + bank_line("a1") + "\n")
        (tmp_path / "README.md").write_text("no bank\n")
        stored = open_folder(tmp_path).stored_specs
        assert [spec.id for spec in stored or ()] == ["a0", "a1", "b0"]

    def test_keeps_letters_beyond_ascii(self, tmp_path: Path) -> None:
        (tmp_path / "a.jsonl").write_text(bank_line("a0", "Ça va, Zoë?") + "\n", encoding="utf-8")
        model = open_folder(tmp_path)
        (completion,) = model.complete([request_for((model.stored_specs or [])[0])])
        assert parse_completion(completion).turns[0].text == "Ça va, Zoë?"

    @pytest.mark.parametrize(
        "broken",
        [
            "{not json",
            '{"completion": {"turns": []}}',
            '{"spec": {"id": "x"}, "completion": {}}',
            '{"spec": null, "completion": {}}',
            "[]",
            bank_line("x").replace('"completion"', '"answer"'),
        ],
        ids=["no JSON", "no spec", "half a spec", "null spec", "a list", "no completion"],
    )
    def test_a_broken_line_is_named_with_file_and_number(self, tmp_path: Path, broken: str) -> None:
        path = tmp_path / "broken.jsonl"
        path.write_text("\n".join([bank_line("a0"), bank_line("a1"), broken]) + "\n")
        with pytest.raises(UserError) as caught:
            open_folder(tmp_path)
        assert f"{path}, line 3" in str(caught.value)

    def test_an_empty_folder_is_no_bank(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="no bank") as caught:
            open_folder(tmp_path)
        assert str(tmp_path) in str(caught.value)

    def test_a_corpus_without_a_bank_is_refused(self) -> None:
        with pytest.raises(UserError, match="no bank"):
            open_language_model("bank", {"corpus": "nonsense"})

    def test_a_line_separator_inside_a_text_does_not_end_the_line(self, tmp_path: Path) -> None:
        text = bank_line("a0", "One\u2028two\u0085three.") + "\n"
        (tmp_path / "a.jsonl").write_text(text, encoding="utf-8")
        assert len(open_folder(tmp_path).stored_specs or ()) == 1

    def test_a_spec_id_that_stands_twice_is_refused(self, tmp_path: Path) -> None:
        lines = [bank_line("a0", "Good morning to you all."), bank_line("a0", "Something else.")]
        (tmp_path / "a.jsonl").write_text("\n".join(lines) + "\n")
        with pytest.raises(UserError, match="a0"):
            open_folder(tmp_path)

    def test_a_bank_that_is_not_utf8_is_a_user_error(self, tmp_path: Path) -> None:
        (tmp_path / "a.jsonl").write_bytes(bank_line("a0", "Zo\xeb").encode("latin-1") + b"\n")
        with pytest.raises(UserError, match=r"a\.jsonl"):
            open_folder(tmp_path)


class TestTheFake:
    def test_can_write_to_any_spec(self) -> None:
        assert FakeLanguageModel().stored_specs is None

    def test_spoils_every_nth_completion_and_no_other(self) -> None:
        requests = [request_for(spec) for spec in planned_specs()[:7]]
        spoilt = []
        for number, completion in enumerate(FakeLanguageModel(spoil_every=3).complete(requests), 1):
            try:
                parse_completion(completion)
            except ParseError:
                spoilt.append(number)
        assert spoilt == [3, 6]

    def test_different_specs_get_different_words(self) -> None:
        requests = [request_for(spec) for spec in planned_specs()]
        texts = {completion.text for completion in FakeLanguageModel().complete(requests)}
        assert len(texts) == len(requests)

    def test_what_it_writes_is_accepted_by_the_rules(self) -> None:
        specs = {spec.id: spec for spec in planned_specs()}
        completions = FakeLanguageModel().complete(request_for(s) for s in specs.values())
        nothing = TextIndex([])
        verdicts = refusals(
            [parse_completion(c) for c in completions],
            specs,
            Judge(LABELS, held_out=nothing, train=nothing, max_words=80),
        )
        assert not any(verdicts.values())


class TestOpening:
    def test_an_unknown_back_end_is_refused_with_the_list(self) -> None:
        with pytest.raises(UserError) as caught:
            open_language_model("telepathy", {})
        for part in ("'telepathy'", *BACKENDS):
            assert part in str(caught.value)

    @pytest.mark.parametrize(
        ("backend", "options"), [("fake", {"volume": 11}), ("bank", {}), ("bank", {"corpse": "x"})]
    )
    def test_options_it_does_not_take_are_named(self, backend: str, options: dict) -> None:
        with pytest.raises(UserError, match="does not take these options") as caught:
            open_language_model(backend, options)
        assert f"'{backend}'" in str(caught.value)

    def test_options_of_another_type_are_named_with_what_they_must_be(self) -> None:
        given = {"base_url": "http://127.0.0.1:1/v1", "model": "m", "timeout": "30"}
        with pytest.raises(UserError, match="timeout: Input should be a valid number"):
            open_language_model("openai", given | {"credentials": {"api_key": "s3cret"}})
        with pytest.raises(UserError, match="json_mode: Input should be 'schema' or 'plain'"):
            open_language_model("batch", {"folder": "x", "model": "m", "json_mode": "yes"})

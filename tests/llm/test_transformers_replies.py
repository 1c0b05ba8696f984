"""Bound replies and their sampling, without a model: any scores at all stand for one."""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, trainers
from tools.train_tiny_llama import examples, make_tokenizer
from transformers import PreTrainedTokenizerFast

from erc_kedro.core.errors import UserError
from erc_kedro.core.prompts import Completion, Request, parse_completion
from erc_kedro.core.rules import RULES
from erc_kedro.core.specs import DialogueSpec
from erc_kedro.corpora import CORPORA
from erc_kedro.llm.local.batches import Batches
from erc_kedro.llm.local.constrained import BoundReply, Grammar
from erc_kedro.llm.local.sampling import PlainReply, Sampler
from erc_kedro.llm.local.vocabulary import token_bytes
from tests.llm.tiny_llama import EMOTIONS

LABELS = CORPORA["meld"].label_set
RULES_OF_FORM = ("turns", "speakers", "emotions", "placeholder")


def byte_level() -> PreTrainedTokenizerFast:
    return make_tokenizer([text for pair in list(examples())[:60] for text in pair], 1200)


def with_byte_fallback() -> PreTrainedTokenizerFast:
    """A tokenizer in the manner of SentencePiece, as Llama 2's, Mistral's and Gemma's."""
    inner = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
    inner.normalizer = normalizers.Replace(" ", "▁")
    inner.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback()])
    special = ["<unk>", "</s>", *(f"<0x{code:02X}>" for code in range(256))]
    trainer = trainers.BpeTrainer(vocab_size=1200, special_tokens=special, show_progress=False)
    inner.train_from_iterator([text for _, text in list(examples())[:60]], trainer)
    values = json.loads(inner.to_str())
    values["added_tokens"] = values["added_tokens"][:2]  # bytes are ordinary tokens
    inner = Tokenizer.from_str(json.dumps(values))
    return PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="</s>", unk_token="<unk>")


@cache
def tokenizer(kind: str) -> PreTrainedTokenizerFast:
    return {"byte_level": byte_level, "with_byte_fallback": with_byte_fallback}[kind]()


@cache
def grammar(kind: str) -> Grammar:
    tokens = tokenizer(kind)
    return Grammar(tokens, len(tokens) + 3, tokens.eos_token_id, "cpu")


KINDS = st.sampled_from(["byte_level", "with_byte_fallback"])


@dataclass(frozen=True)
class Planned(Request):
    """A request that says who speaks."""

    speaker_order: tuple[int, ...] = ()


@st.composite
def plans(draw: st.DrawFn) -> Planned:
    emotions = draw(st.lists(st.sampled_from(EMOTIONS), min_size=1, max_size=5))
    fields = draw(st.permutations(["speaker", "text", "emotion", "note"]))
    order: list[int] = []
    for _ in emotions:
        order.append(draw(st.integers(0, max(order, default=-1) + 1)))
    return Planned(
        "x", "t", "s", "u", emotions=tuple(emotions), fields=tuple(fields), speaker_order=(*order,)
    )


def sample(
    replies: Sequence[Any],
    grammar_: Grammar | None,
    seed: int,
    temperature: float = 1.0,
    limit: int = 10**6,
    bias: torch.Tensor | None = None,
) -> Sampler:
    """Let random scores choose until all is said."""
    size = grammar_.masks.shape[1] if grammar_ else 50
    streams = [random.Random(seed + row) for row in range(len(replies))]
    sampler = Sampler(replies, streams, [limit] * len(replies), temperature, None, grammar_)
    noise = torch.Generator().manual_seed(seed)
    while not all(reply.done for reply in replies):
        scores = torch.randn((len(replies), size), generator=noise) * 3
        chosen = sampler(torch.empty(0), scores if bias is None else scores + bias)
        assert (chosen.isfinite().sum(-1) == 1).all()
    return sampler


def write(request: Request, kind: str, seed: int, temperature: float = 1.0) -> str:
    reply = BoundReply(grammar(kind), request)
    sample([reply], grammar(kind), seed, temperature)
    return reply.text


class TestBoundReplies:
    @settings(max_examples=60, deadline=None)
    @given(plans(), KINDS, st.integers(0, 10**6), st.sampled_from([0.0, 1.0, 50.0]))
    def test_parse_and_keep_to_the_plan_whatever_the_model_prefers(
        self, request: Planned, kind: str, seed: int, temperature: float
    ) -> None:
        text = write(request, kind, seed, temperature)
        order = request.speaker_order
        spec = DialogueSpec("x", "s", "", max(order) + 1, request.emotions, speaker_order=order)
        dialogue = parse_completion(Completion("x", text, "m"))
        found = [d for name in RULES_OF_FORM for d in RULES[name](dialogue, spec, LABELS, 10**6)]
        assert not found
        assert all(tuple(turn) == request.fields for turn in json.loads(text)["turns"])
        assert not list(RULES["text_length"](dialogue, spec, LABELS, 10**6))

    def test_without_an_order_every_name_is_written(self) -> None:
        request = Request("x", "t", "s", "u", emotions=EMOTIONS)
        dialogue = parse_completion(Completion("x", write(request, "byte_level", 3), "m"))
        assert len(dialogue.speakers) > 1

    def test_strings_do_not_run_on(self) -> None:
        quotes = torch.zeros(grammar("byte_level").masks.shape[1])
        quotes[grammar("byte_level").closing] = -1e4
        reply = BoundReply(grammar("byte_level"), Request("x", "t", "s", "u", emotions=("joy",)))
        sample([reply], grammar("byte_level"), 0, bias=quotes)
        (turn,) = json.loads(reply.text)["turns"]
        assert 20 < len(turn["speaker"]) < 60
        assert 300 < len(turn["text"]) < 600

    def test_a_token_that_ends_the_string_and_goes_on_as_planned_may_be_taken(self) -> None:
        grammar_ = grammar("byte_level")
        (token,) = (n for n, value in grammar_.bytes.items() if value == b'","')
        bias = torch.zeros(grammar_.masks.shape[1])
        bias[token] = 1e4
        reply = BoundReply(grammar_, Request("x", "t", "s", "u", emotions=("joy", "fear")))
        sample([reply], grammar_, 0, bias=bias)
        assert reply.tokens.count(token) >= 4
        assert [turn["emotion"] for turn in json.loads(reply.text)["turns"]] == ["joy", "fear"]

    def test_beyond_its_limit_a_reply_is_cut(self) -> None:
        request = Request("x", "t", "s", "u", emotions=EMOTIONS)
        replies = [BoundReply(grammar("byte_level"), request) for _ in range(2)]
        sampler = sample(replies, grammar("byte_level"), 0, limit=30)
        assert sampler.full == {0, 1}
        assert [len(reply.tokens) for reply in replies] == [30, 30]

    def test_few_automata_serve_all_plans(self) -> None:
        tokens = tokenizer("byte_level")
        grammar_ = Grammar(tokens, len(tokens), tokens.eos_token_id, "cpu")
        for seed in range(20):
            emotions = tuple(random.Random(seed).choices(EMOTIONS, k=4))
            reply = BoundReply(grammar_, Request("x", "t", "s", "u", emotions=emotions))
            sample([reply], grammar_, seed)
        assert len(grammar_._indexes) == 2
        assert len(grammar_.masks) < 60

    def test_a_vocabulary_without_quotes_is_refused(self) -> None:
        inner = Tokenizer(models.WordLevel({"a": 0, "</s>": 1}, unk_token="a"))
        tokens = PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="</s>")
        with pytest.raises(UserError, match="vocabulary cannot write JSON"):
            BoundReply(Grammar(tokens, 2, 1, "cpu"), Request("x", "t", "", "", emotions=("joy",)))


@settings(max_examples=50, deadline=None)
@given(KINDS, st.text(st.characters(exclude_categories=["Cs"])))
def test_tokens_stand_for_the_bytes_of_what_they_encode(kind: str, text: str) -> None:
    said = token_bytes(tokenizer(kind))
    text = text.replace("▁", "").replace("<", "")
    ids = tokenizer(kind)(text, add_special_tokens=False)["input_ids"]
    assert b"".join(said[number] for number in ids).decode() == text


class TestSampler:
    SCORES = torch.tensor([2.0, 1.0, 0.0, -1.0])

    def choices(self, n: int, temperature: float, top_p: float | None = None) -> torch.Tensor:
        replies = [PlainReply([99]) for _ in range(n)]
        streams = [random.Random(row) for row in range(n)]
        sampler = Sampler(replies, streams, [9] * n, temperature, top_p, None)
        return sampler(torch.empty(0), self.SCORES.repeat(n, 1)).argmax(-1)

    @pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
    def test_draws_with_the_shares_of_the_softmax(self, temperature: float) -> None:
        counts = torch.bincount(self.choices(4000, temperature), minlength=4) / 4000
        expected = torch.softmax(self.SCORES / temperature, -1)
        assert (counts - expected).abs().max() < 0.03

    def test_temperature_0_takes_the_likeliest(self) -> None:
        assert set(self.choices(50, 0.0).tolist()) == {0}

    def test_top_p_leaves_out_the_tail(self) -> None:
        assert set(self.choices(500, 1.0, top_p=0.8).tolist()) == {0, 1}
        assert set(self.choices(500, 1.0, top_p=0.01).tolist()) == {0}
        assert set(self.choices(2000, 1.0, top_p=1.0).tolist()) == {0, 1, 2, 3}

    def test_what_a_row_draws_does_not_depend_on_the_others(self) -> None:
        scores = torch.randn((20, 5, 50), generator=torch.Generator().manual_seed(0))

        def run(rows: list[int]) -> dict[int, list[int]]:
            replies = [PlainReply([99]) for _ in rows]
            streams = [random.Random(row) for row in rows]
            sampler = Sampler(replies, streams, [99] * len(rows), 1.0, None, None)
            for step in scores:
                sampler(torch.empty(0), step[rows])
            return {row: reply.tokens for row, reply in zip(rows, replies, strict=True)}

        together, apart = run([0, 1, 2, 3, 4]), run([4, 1])
        assert together[4] == apart[4] and together[1] == apart[1]
        assert together[0] != together[1]


class TestBatches:
    @settings(max_examples=60)
    @given(st.integers(0, 40), st.integers(1, 40), st.integers(1, 40))
    def test_shrink_to_what_the_memory_bears_and_lose_nothing(
        self, n: int, size: int, bears: int
    ) -> None:
        worked: list[int] = []

        def work(batch: Sequence[int]) -> list[int]:
            if len(batch) > bears:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")
            worked.append(len(batch))
            return [item * 2 for item in batch]

        said: list[str] = []
        batches = Batches(size, said.append)
        assert list(batches.run(list(range(n)), work)) == [item * 2 for item in range(n)]
        assert max(worked, default=0) <= bears
        assert bool(said) == (min(n, size) > bears)
        assert batches.size == size or 2 * batches.size >= min(bears, size) / 2

    def test_of_the_processor_s_memory_too_and_one_that_is_too_much_is_the_user_s(self) -> None:
        def work(batch: Sequence[int]) -> list[int]:
            return [torch.empty(2**60) and 0 for _ in batch]  # more than there is

        with pytest.raises(UserError, match="one dialogue at a time"):
            list(Batches(4, lambda _: None).run([1, 2, 3], work))

    @pytest.mark.parametrize(
        "says",
        [
            "CUDA error: out of memory",
            "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        ],
    )
    def test_whoever_says_so(self, says: str) -> None:
        def work(batch: Sequence[int]) -> Sequence[int]:
            if len(batch) > 1:
                raise RuntimeError(says)
            return batch

        assert list(Batches(4, lambda _: None).run([1, 2, 3], work)) == [1, 2, 3]

    @pytest.mark.parametrize(
        "says", ["shapes do not match", "CUDA error: an illegal memory access was encountered"]
    )
    def test_other_errors_are_not_taken_for_it(self, says: str) -> None:
        tries: list[int] = []

        def work(batch: Sequence[int]) -> list[int]:
            tries.append(len(batch))
            raise RuntimeError(says)

        with pytest.raises(RuntimeError, match=says):
            list(Batches(4, lambda _: None).run([1, 2], work))
        assert tries == [2]

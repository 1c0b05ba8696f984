"""Writes batches of replies with a causal language model of transformers."""

import hashlib
import json
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jinja2
import psutil
import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    LogitsProcessorList,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from erc_kedro.core.errors import UserError
from erc_kedro.core.prompts import Completion, Request
from erc_kedro.llm.local.batches import Batches
from erc_kedro.llm.local.constrained import BoundReply, Grammar
from erc_kedro.llm.local.sampling import PlainReply, Sampler

Encoded = tuple[Request, list[int]]

_ON_CPU, _ON_GPU = 32, 256
_PROMPT_TOKENS, _REPLY_TOKENS = 600, 700  # of a long dialogue, to guess what a batch needs
_SHARE_OF_MEMORY = 0.7


class Writer:
    """A loaded model.

    Args:
        options: Those of `TransformersLanguageModel`.
        say: Is told what a user should know.

    Raises:
        UserError: If it cannot be loaded.
    """

    def __init__(self, options: Mapping[str, Any], say: Callable[[str], None]) -> None:
        self._options = options
        try:
            self._load()
        except Exception as error:  # whatever libraries and damaged files make of it
            raise UserError(
                "The language model cannot be loaded.",
                where=options["model"],
                expected="a causal language model with its tokenizer: a folder, or a hub name",
                found=" ".join(f"{type(error).__name__}: {error}".split())[:400],
                remedy="check the name; without a network (or with HF_HUB_OFFLINE set) the model"
                " must be on this machine; one that asks for consent needs HF_TOKEN",
            ) from error
        config = self._model.config.get_text_config()
        self._longest = getattr(config, "max_position_embeddings", None) or 2**31
        ends = self._model.generation_config.eos_token_id or self._tokenizer.eos_token_id or 0
        self._ends: list[int] = ends if isinstance(ends, list) else [ends]
        # A model's own settings, such as a penalty, would be filled in unseen.
        self._model.generation_config = GenerationConfig(eos_token_id=ends)
        self._grammar: Grammar | None = None
        if options["json_mode"] == "constrained":
            end, device = self._ends[0], self._model.device
            self._grammar = Grammar(self._tokenizer, config.vocab_size, end, device)
        size = options["batch_size"]
        self.batches = Batches(self._batch_size(config) if size == "auto" else size, say)

    def _load(self) -> None:
        name, revision = self._options["model"], self._options["revision"]
        device, dtype = self._options["device"], self._options["dtype"]
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        if dtype == "auto" and device.startswith("cuda"):
            dtype = torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
        elif dtype == "auto":
            dtype = torch.float32
        config = AutoConfig.from_pretrained(name, revision=revision)
        classes = set(config.architectures or [])
        if classes and not classes & set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values()):
            # An encoder would load all the same, and write with a random head.
            raise ValueError(f"{', '.join(classes)} is no causal language model")
        self._tokenizer = AutoTokenizer.from_pretrained(name, revision=revision)
        attention = self._options["attention"]
        chosen = {} if attention == "auto" else {"attn_implementation": attention}
        model = AutoModelForCausalLM.from_pretrained(name, revision=revision, dtype=dtype, **chosen)
        self._model = model.to(device).eval()

    def _batch_size(self, config: Any) -> int:
        heads = getattr(config, "num_attention_heads", None) or 1  # of none: more than it needs
        width = getattr(config, "head_dim", None) or config.hidden_size // heads
        heads = getattr(config, "num_key_value_heads", None) or heads
        per_token = 2 * config.num_hidden_layers * heads * width * self._model.dtype.itemsize
        tokens = _PROMPT_TOKENS + min(self._options["max_tokens"], _REPLY_TOKENS)
        per_row = tokens * per_token + 40 * config.vocab_size  # scores, some in double precision
        if self._model.device.type == "cuda":
            most, (free, _) = _ON_GPU, torch.cuda.mem_get_info(self._model.device)
        else:
            most, free = _ON_CPU, psutil.virtual_memory().available
        return max(1, min(most, int(_SHARE_OF_MEMORY * free / per_row)))

    @property
    def description(self) -> str:
        """What was loaded, to where."""
        millions = self._model.num_parameters() / 1e6
        dtype = str(self._model.dtype).removeprefix("torch.")
        return (
            f"{millions:,.1f} million parameters on {self._model.device}, {dtype},"
            f" {self._model.config._attn_implementation} attention,"
            f" {self.batches.size} dialogues at a time"
        )

    def write(self, requests: Sequence[Request]) -> Iterator[Completion]:
        """Yield a completion per request; those of like length are written together.

        Raises:
            UserError: If a request is too long for the model, or there is no plan to bind it to.
        """
        asked = [(request, self._encoded(request)) for request in requests]
        asked.sort(key=lambda pair: (-len(pair[0].emotions), -len(pair[1])))
        return self.batches.run(asked, self._write_batch)

    def _encoded(self, request: Request) -> list[int]:
        if self._grammar and not request.emotions:
            raise UserError(
                "The request has no plan that a reply could be bound to.",
                where=request.spec_id,
                remedy="json_mode: plain",
            )
        chats = self._tokenizer.chat_template is not None  # it sets the special tokens itself
        tokens = self._tokenizer(self._prompt(request), add_special_tokens=not chats)
        prompt: list[int] = tokens["input_ids"]
        if len(prompt) >= self._longest:
            raise UserError(
                "The request is too long for the model.",
                where=request.spec_id,
                expected=f"fewer than {self._longest} tokens",
                found=f"{len(prompt)}",
                remedy="take another model, or a shorter template",
            )
        return prompt

    def _prompt(self, request: Request) -> str:
        whole = f"{request.system}\n\n{request.user}"
        if self._tokenizer.chat_template is None:
            return f"{whole}\n\n"
        user = {"role": "user", "content": request.user}
        try:
            return self._chat([{"role": "system", "content": request.system}, user])
        except jinja2.TemplateError:  # as templates say that they know no system message
            return self._chat([{"role": "user", "content": whole}])

    def _chat(self, messages: list[dict[str, str]]) -> str:
        text: str = self._tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True, enable_thinking=False
        )
        return text

    def _write_batch(self, batch: Sequence[Encoded]) -> list[Completion]:
        began = time.monotonic()
        options, device, end = self._options, self._model.device, self._ends[0]
        longest = max(len(prompt) for _, prompt in batch)
        padding = [longest - len(prompt) for _, prompt in batch]
        limits = [min(options["max_tokens"], self._longest - len(prompt)) for _, prompt in batch]
        sampler = Sampler(
            [self._reply(request) for request, _ in batch],
            [self._stream(request) for request, _ in batch],
            limits,
            temperature=options["temperature"],
            top_p=options["top_p"],
            grammar=self._grammar,
        )
        pairs = list(zip(padding, (prompt for _, prompt in batch), strict=True))
        self._model.generate(
            torch.tensor([[end] * n + prompt for n, prompt in pairs], device=device),
            attention_mask=torch.tensor([[0] * n + [1] * (longest - n) for n in padding]).to(
                device
            ),
            generation_config=GenerationConfig(
                max_new_tokens=max(limits) + 1,
                do_sample=False,  # the sampler chooses
                eos_token_id=self._ends,
                pad_token_id=end,
            ),
            logits_processor=LogitsProcessorList([sampler]),
        )
        seconds = time.monotonic() - began
        return [
            Completion(
                request.spec_id,
                self._text(reply),
                f"transformers:{options['model']}",
                finish_reason="length" if row in sampler.full else "stop",
                prompt_tokens=len(prompt),
                completion_tokens=len(reply.tokens),
                latency=seconds,
            )
            for row, ((request, prompt), reply) in enumerate(
                zip(batch, sampler.replies, strict=True)
            )
        ]

    def _reply(self, request: Request) -> BoundReply | PlainReply:
        return BoundReply(self._grammar, request) if self._grammar else PlainReply(self._ends)

    def _text(self, reply: BoundReply | PlainReply) -> str:
        if isinstance(reply, BoundReply):
            return reply.text
        text: str = self._tokenizer.decode(reply.tokens, skip_special_tokens=True)
        return text

    def _stream(self, request: Request) -> random.Random:
        asked = [request.spec_id, request.system, request.user, request.attempt]
        said = json.dumps([self._options["seed"], asked])
        return random.Random(hashlib.sha256(said.encode()).digest())

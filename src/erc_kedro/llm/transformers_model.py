"""The transformers back-end: any causal language model of the Hugging Face hub, or from a folder.

It runs in a process of its own, so the GPU's memory is free again as soon as it has written.
"""

import json
import logging
import os
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from itertools import chain, islice
from typing import Any, Literal

from erc_kedro.core.errors import UserError
from erc_kedro.core.prompts import Completion, Request
from erc_kedro.core.specs import DialogueSpec

logger = logging.getLogger(__name__)

_BATCHES_AHEAD = 16  # among so many, requests of like length are put together


class TransformersLanguageModel:
    """Writes with a causal language model, many dialogues at a time.

    A bound reply always parses and has the planned turns and emotions. Every reply draws from
    random numbers of its own, seeded by its request: what else is in a batch changes a text only
    where rounding does, which is rare in 32 bits and usual in 16.

    Args:
        model: A name on the hub, or a folder.
        revision: Branch, tag or commit on the hub.
        device: "auto" (a GPU if there is one), "cpu", "cuda", "cuda:1", ...
        dtype: "auto" (16 bits on a GPU, 32 on a CPU), "bfloat16", "float16", "float32".
        attention: "auto" (the best that the model and torch have), "sdpa", "eager",
            "flash_attention_2", ...
        batch_size: How many dialogues are written at a time; "auto" takes what the GPU's memory
            bears. If it does not suffice, batches get smaller.
        temperature: Of sampling; 0 always takes the likeliest token.
        top_p: Of sampling; None leaves no token out.
        max_tokens: A longer completion is cut off.
        json_mode: "constrained" binds the reply to the dialogue's plan; "plain" asks for JSON in
            the prompt alone.
        seed: Another one gives other texts.

    Raises:
        UserError: If an option is none.
    """

    def __init__(
        self,
        model: str,
        *,
        revision: str | None = None,
        device: str = "auto",
        dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto",
        attention: str = "auto",
        batch_size: int | Literal["auto"] = "auto",
        temperature: float = 1.0,
        top_p: float | None = None,
        max_tokens: int = 2000,
        json_mode: Literal["constrained", "plain"] = "constrained",
        seed: int = 0,
    ) -> None:
        demands = {
            "dtype: auto, bfloat16, float16 or float32": dtype
            in ("auto", "bfloat16", "float16", "float32"),
            "batch_size: auto, or 1 or more": batch_size == "auto"
            or (isinstance(batch_size, int) and batch_size >= 1),
            "temperature: 0 or more": temperature >= 0,
            "top_p: above 0, at most 1": top_p is None or 0 < top_p <= 1,
            "max_tokens: 1 or more": max_tokens >= 1,
            "json_mode: constrained or plain": json_mode in ("constrained", "plain"),
        }
        if broken := [demand for demand, kept in demands.items() if not kept]:
            raise UserError(
                "Options of the transformers back-end are wrong.",
                where="language_model in the catalog",
                expected="; ".join(broken),
            )
        self.name = f"transformers:{model}"
        self.stored_specs: Sequence[DialogueSpec] | None = None
        sampling = {"temperature": temperature, "top_p": top_p, "max_tokens": max_tokens}
        decides = {"model": model, "revision": revision, "json_mode": json_mode, "dtype": dtype}
        self.settings: Mapping[str, Any] = {**decides, "sampling": {**sampling, "seed": seed}}
        place = {"device": device, "attention": attention, "batch_size": batch_size}
        self._process: _Process | None = None
        self._end: Callable[[], object] = lambda: None
        self._options = {**decides, **sampling, "seed": seed, **place}

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """Yield a completion per request, batch by batch.

        Requests are drawn some batches ahead. Without any, no model is loaded; once it is, it stays
        for the next call, until `close`, an error, or an iterator that is left before its end.

        Raises:
            UserError: If the model cannot be loaded, or not write.
        """
        remaining = iter(requests)
        first = list(islice(remaining, 1))
        if not first:
            return
        remaining = chain(first, remaining)
        try:
            process = self._process = self._process or self._load()
            while window := list(islice(remaining, _BATCHES_AHEAD * process.batch_size)):
                process.send([asdict(request) for request in window])
                for _ in window:
                    yield Completion(**process.receive("completion"))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the process, so that its memory is free; the next call loads the model anew."""
        self._end()
        self._process = None

    def _load(self) -> "_Process":
        model = self._options["model"]
        logger.info("loading %s; what is not on this machine is downloaded", model)
        process = _Process(self._options)
        self._end = weakref.finalize(self, process.close)
        ready = process.receive("ready")
        logger.info("%s: %s", model, ready["description"])
        process.batch_size = ready["batch_size"]
        return process


class _Process:
    """The process that writes, until it is closed."""

    batch_size = 1

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._model = options["model"]
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - a pipe that nobody reads fills up
        self._process = subprocess.Popen(
            [sys.executable, "-m", "erc_kedro.llm.local.process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            env=os.environ | {"TOKENIZERS_PARALLELISM": "false"},
            start_new_session=True,  # Ctrl-C is for this process, which ends that one
        )
        self.send(options)

    def send(self, message: Any) -> None:
        """Send a message; that nobody is there any more shows when an answer is wanted."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()

    def receive(self, kind: str) -> Any:
        """Return the next message of a kind.

        Raises:
            UserError: If the process says so, or is gone.
        """
        assert self._process.stdout is not None
        for line in self._process.stdout:
            message = json.loads(line)
            if kind in message:
                return message[kind]
            if "error" in message:
                raise UserError(message["error"])
            logger.info("%s: %s", self._model, message["say"])
        code = self._process.wait()
        self._said.seek(0)
        last = self._said.read().decode(errors="replace").split("\n")[-6:]
        raise UserError(
            "The process of the language model broke off.",
            where=self._model,
            found="\n    ".join([f"exit code {code}", *filter(None, map(str.rstrip, last))]),
            remedy="if it was killed (-9), the memory did not suffice: take a smaller model, dtype"
            " or batch_size",
        )

    def close(self) -> None:
        """End the process, whatever it does, and wait until it is gone."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdout.close()
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._said.close()

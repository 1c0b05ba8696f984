"""Measure how fast the transformers back-end writes: `python -m benchmarks.generation`.

Side by side, with one model and as many new tokens each: what one would write first (`generate`
for one dialogue after the other, not bound to anything), transformers' continuous batching (not
bound either), and the back-end with its bound replies. On a GPU with random weights of the shape
of Llama 3.1 8B in 16 bits, else with the tiny Llama of `tools.train_tiny_llama`.
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from tools.train_tiny_llama import BANK, FOLDER, render, train
from transformers import AutoTokenizer, GenerationConfig, LlamaConfig, LlamaForCausalLM

from erc_kedro.core.prompts import Completion, Request
from erc_kedro.core.specs import DialogueSpec
from erc_kedro.llm.local.writer import Writer
from erc_kedro.llm.transformers_model import TransformersLanguageModel


class RandomLlama(Writer):
    """A writer with random weights of the shape of Llama 3.1 8B, on the GPU."""

    def _load(self) -> None:
        self._tokenizer = AutoTokenizer.from_pretrained(self._options["model"])
        config = LlamaConfig(
            vocab_size=128_256,
            hidden_size=4096,
            intermediate_size=14_336,
            num_hidden_layers=32,
            num_attention_heads=32,
            num_key_value_heads=8,
            max_position_embeddings=8192,
            eos_token_id=self._tokenizer.eos_token_id,
        )
        before = torch.get_default_dtype()
        torch.set_default_dtype(torch.bfloat16)
        with torch.device("cuda"):
            self._model = LlamaForCausalLM(config).eval()
        torch.set_default_dtype(before)


def make_requests(n: int) -> list[Request]:
    """Return requests for the bank's specs, again and again with another id if need be."""
    lines = [line for path in sorted(BANK.glob("*.jsonl")) for line in path.open(encoding="utf-8")]
    specs = [DialogueSpec.from_dict(json.loads(line)["spec"]) for line in lines]
    return [
        render(replace(specs[i % len(specs)], id=f"{specs[i % len(specs)].id}-{i // len(specs)}"))
        for i in range(n)
    ]


def timed(work: Callable[[], object]) -> float:
    """Return the seconds of some work."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def one_by_one(writer: Writer, asked: Sequence[tuple[list[int], int]]) -> None:
    """Write so many tokens to each prompt, one after the other."""
    for prompt, n in asked:
        inputs = torch.tensor([prompt], device=writer._model.device)
        options = {"do_sample": True, "min_new_tokens": n, "max_new_tokens": n}
        writer._model.generate(
            inputs, attention_mask=torch.ones_like(inputs), pad_token_id=0, **options
        )


def continuously(writer: Writer, asked: Sequence[tuple[list[int], int]]) -> None:
    """Write with continuous batching, in groups by length: it knows one length per call."""
    ordered = sorted(asked, key=lambda pair: pair[1])
    for start in range(0, len(ordered), 32):
        group = ordered[start : start + 32]
        n = sum(n for _, n in group) // len(group)
        config = GenerationConfig(do_sample=True, max_new_tokens=n, eos_token_id=-1, pad_token_id=0)
        done = writer._model.generate_batch([prompt for prompt, _ in group], config)
        if len(done) < len(group):
            raise RuntimeError(f"{len(done)} of {len(group)} came back")


def main() -> None:
    """Print dialogues and tokens per second of each."""
    gpu = torch.cuda.is_available()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=FOLDER, help="the tiny Llama's folder")
    parser.add_argument("--dialogues", type=int, default=512 if gpu else 96)
    parser.add_argument("--one-by-one", type=int, default=8 if gpu else 24, help="of them")
    parser.add_argument("--batch-size", type=lambda x: x if x == "auto" else int(x), default="auto")
    parser.add_argument("--threads", type=int, default=1, help="on a CPU")
    parser.add_argument("--bandwidth", type=float, help="of the memory, nominal, in GB/s")
    parser.add_argument("--continuous", action="store_true", help="measure that too")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    model = TransformersLanguageModel(
        str(train(arguments.model)), batch_size=arguments.batch_size, max_tokens=1000
    )
    writer = (RandomLlama if gpu else Writer)(model._options, print)
    print(writer.description)
    requests = make_requests(arguments.dialogues)
    list(writer.write(requests[:2]))  # what is made once
    one_by_one(writer, [(writer._encoded(requests[0]), 8)])

    completions: list[Completion] = []
    seconds = timed(lambda: completions.extend(writer.write(requests)))
    counts = {c.spec_id: c.completion_tokens or 0 for c in completions}
    asked = [(writer._encoded(request), counts[request.spec_id]) for request in requests]
    some = asked[:: max(1, len(asked) // arguments.one_by_one)]
    rows = {
        "one by one": (some, timed(lambda: one_by_one(writer, some))),
        "back-end": (asked, seconds),
    }
    if arguments.continuous:
        rows["continuous batching"] = (asked, timed(lambda: continuously(writer, asked)))
    _show(rows, writer, arguments.bandwidth)


def _show(rows: dict[str, Any], writer: Writer, bandwidth: float | None) -> None:
    first = None
    for name, (asked, seconds) in rows.items():
        tokens = sum(n for _, n in asked)
        speed = tokens / seconds
        first = first or speed
        print(
            f"{name:20} {len(asked) / seconds:8.2f} dialogues/s {speed:10,.0f} tokens/s"
            f" {speed / first:6.1f} times"
            f"  ({len(asked)} dialogues, {tokens} tokens, {seconds:.1f} s)"
        )
    if bandwidth:
        asked, seconds = rows["back-end"]
        lengths, size = sorted((n for _, n in asked), reverse=True), writer.batches.size
        steps = sum(lengths[start] for start in range(0, len(lengths), size))
        weights = sum(p.numel() * p.element_size() for p in writer._model.parameters())
        share = steps * weights / seconds / bandwidth / 1e9
        print(f"weights alone are read with at least {share:.0%} of {bandwidth:g} GB/s")


if __name__ == "__main__":
    main()

"""Train a tiny Llama for tests and benchmarks: `python -m tools.train_tiny_llama [folder]`.

A minute or two on one thread makes it, tokenizer and all, from the bank of dialogues that ships
with the package, rendered as the pipeline asks for them. What it says makes no sense.
"""

import argparse
import hashlib
import json
import random
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
import yaml
from tokenizers import ByteLevelBPETokenizer
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from erc_kedro.core.prompts import Request, load_template, render_request
from erc_kedro.core.specs import DialogueSpec
from erc_kedro.corpora import CORPORA

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "data" / "06_models" / "tiny_llama"
CORPUS = next(iter(CORPORA))
BANK = ROOT / "src" / "erc_kedro" / "bank" / CORPUS
START, WRITER, END = "<|start|>", "<|writer|>", "<|end|>"
CHAT = (
    "{{ '" + START + "' }}{% for message in messages %}{{ message.content }}\n\n{% endfor %}"
    "{% if add_generation_prompt %}{{ '" + WRITER + "' }}{% endif %}"
)
UNTOLD = -100


def render(spec: DialogueSpec) -> Request:
    """Return the request for a spec, as the configuration words it."""
    generation = _parameters()
    return render_request(
        spec,
        generation["template"],
        load_template(generation["template"]),
        register=generation["speech_register"],
        definitions=generation["definitions"],
        label_set=CORPORA[CORPUS].label_set,
    )


@cache
def _parameters() -> dict[str, Any]:
    text = (ROOT / "conf/base/parameters_generation.yml").read_text(encoding="utf-8")
    parameters: dict[str, Any] = yaml.safe_load(text)[CORPUS]["generation"]
    return parameters


def examples() -> Iterator[tuple[str, str]]:
    """Yield the bank's dialogues as prompt and reply, who speaks when being part of the plan."""
    for path in sorted(BANK.glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            pair = json.loads(line)
            turns = pair["completion"]["turns"]
            names = list(dict.fromkeys(turn["speaker"] for turn in turns))
            order = tuple(names.index(turn["speaker"]) for turn in turns)
            request = render(replace(DialogueSpec.from_dict(pair["spec"]), speaker_order=order))
            reply = json.dumps({"turns": turns}, ensure_ascii=False, separators=(",", ":"))
            yield f"{START}{request.system}\n\n{request.user}\n\n{WRITER}", f"{reply}{END}"


def make_tokenizer(texts: list[str], size: int) -> PreTrainedTokenizerFast:
    """Return a byte-level tokenizer trained on the texts, with a chat template."""
    inner = ByteLevelBPETokenizer()
    inner.train_from_iterator(texts, size, special_tokens=[START, WRITER, END], show_progress=False)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner._tokenizer, bos_token=START, eos_token=END, pad_token=END
    )
    tokenizer.add_special_tokens({"additional_special_tokens": [WRITER]})
    tokenizer.chat_template = CHAT
    return tokenizer


def make_model(tokenizer: PreTrainedTokenizerFast, width: int = 128, layers: int = 3) -> Any:
    """Return a Llama with random weights."""
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=3 * width,
        num_hidden_layers=layers,
        num_attention_heads=width // 32,
        num_key_value_heads=max(1, width // 64),
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    torch.manual_seed(0)
    return LlamaForCausalLM(config)


def train(folder: Path, steps: int = 150, vocabulary: int = 3000, rows: int = 8) -> Path:
    """Train a model and save it, unless the folder holds one that was made in the same way.

    Args:
        folder: Where it is saved, with its tokenizer.
        steps: Of the optimiser; 0 leaves the weights random.
        vocabulary: Tokens.
        rows: Dialogues per step.

    Returns:
        The folder.
    """
    material = [Path(__file__), *sorted(BANK.glob("*.jsonl"))]
    digest = hashlib.sha256(repr((steps, vocabulary, rows)).encode())
    digest.update(b"".join(path.read_bytes() for path in material))
    made = folder / "made_from.txt"
    if made.exists() and made.read_text() == digest.hexdigest():
        return folder
    pairs = list(examples())
    tokenizer = make_tokenizer([text for pair in pairs for text in pair], vocabulary)
    model = make_model(tokenizer)
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min(1.0, (step + 1) / 10, (steps - step) / steps * 2)
    )
    encoded = [tuple(tokenizer(text)["input_ids"] for text in pair) for pair in pairs]
    order = random.Random(0)
    for _ in range(steps):
        loss = _loss(model, order.sample(encoded, rows))
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as place:  # never half a model
        model.save_pretrained(f"{place}/new")
        tokenizer.save_pretrained(f"{place}/new")
        Path(place, "new", made.name).write_text(digest.hexdigest())
        if folder.exists():
            folder.rename(f"{place}/old")
        Path(place, "new").rename(folder)
    return folder


def _loss(model: Any, batch: list[tuple[list[int], ...]]) -> torch.Tensor:
    length = max(len(prompt) + len(reply) for prompt, reply in batch)
    ids = torch.zeros((len(batch), length), dtype=torch.long)
    labels = torch.full((len(batch), length), UNTOLD)
    for row, (prompt, reply) in enumerate(batch):
        text = torch.tensor(prompt + reply)
        ids[row, : len(text)] = text
        labels[row, len(prompt) : len(text)] = text[len(prompt) :]
    loss: torch.Tensor = model(input_ids=ids, labels=labels).loss
    return loss


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=FOLDER)
    parser.add_argument("--steps", type=int, default=150)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(train(arguments.folder, arguments.steps))

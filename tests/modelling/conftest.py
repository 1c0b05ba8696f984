"""A tiny random BERT, and an encoder that counts."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel, BertTokenizerFast

WORDS = [f"w{i}" for i in range(60)]
ADAPTATION = {
    "epochs": 1, "most_steps": 1000, "batch_utterances": 16,
    "learning_rate": 1e-2, "head_learning_rate": 1e-2,
    "weight_decay": 0.01, "warmup": 0.1, "frozen_layers": 0, "class_weight_power": 0.25,
    "clip_norm": 1.0, "max_tokens": 32, "precision": "float32", "device": "cpu", "seed": 0,
}  # fmt: skip
"""Settings with which the random BERT learns something in a second."""


def save_bert(folder: Path, seed: int) -> Path:
    """Save a random BERT of width 16 with two layers, and its tokenizer, whose words are w0-w59."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "ann", "bo", ":", "."]
    vocab = [*special, *WORDS]
    config = BertConfig(
        vocab_size=len(vocab),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
        initializer_range=0.5,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        BertModel(config).save_pretrained(folder)
    BertTokenizerFast(vocab={word: i for i, word in enumerate(vocab)}).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_bert(tmp_path_factory.mktemp("bert"), seed=0)


@pytest.fixture(scope="session")
def other_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_bert(tmp_path_factory.mktemp("bert"), seed=1)


class CountingEncoder:
    """Features that follow from the text alone; remembers what it encoded, and can break."""

    def __init__(self, fingerprint: str = "fake", width: int = 3) -> None:
        self.fingerprint = fingerprint
        self.width = width
        self.encoded: list[str] = []
        self.breaks_at: str | None = None

    def row(self, text: str) -> np.ndarray:
        """Return what a text's features should be."""
        seed = list(f"{self.fingerprint} {text}".encode())
        return np.random.default_rng(seed).normal(size=self.width).astype(np.float32)

    def encode(self, texts: Sequence[str]) -> Iterator[tuple[list[int], np.ndarray]]:
        # backwards and in pairs: the positions must be used
        order = list(range(len(texts)))[::-1]
        for start in range(0, len(order), 2):
            chosen = order[start : start + 2]
            if self.breaks_at in [texts[i] for i in chosen]:
                raise RuntimeError("interrupted")
            self.encoded += [texts[i] for i in chosen]
            yield chosen, np.stack([self.row(texts[i]) for i in chosen])

"""A tiny Llama to test with: trained for some seconds, kept until what made it changes."""

from functools import cache
from pathlib import Path

import torch
from tools.train_tiny_llama import render, train

from erc_kedro.core.prompts import Request
from erc_kedro.core.specs import DialogueSpec
from tests.conftest import ROOT

EMOTIONS = ("neutral", "joy", "surprise", "anger", "sadness", "disgust", "fear")


@cache
def tiny_llama() -> Path:
    """Return the folder of a model that ends its sentences mostly, and no more."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return train(ROOT / ".pytest_cache" / "tiny_llama", steps=40, vocabulary=1500, rows=4)
    finally:
        torch.set_num_threads(threads)


def make_requests(n: int, turns: int = 2) -> list[Request]:
    """Return n requests for dialogues of `turns` turns and more."""
    specs = [
        DialogueSpec(
            f"toy-{i}",
            "balanced",
            f"scenario {i}",
            2,
            tuple(EMOTIONS[(i + turn) % 7] for turn in range(turns + i % 2)),
            speaker_order=tuple(turn % 2 for turn in range(turns + i % 2)),
        )
        for i in range(n)
    ]
    return [render(spec) for spec in specs]

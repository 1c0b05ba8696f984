"""Batches no larger than the memory bears."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import torch

from erc_kedro.core.errors import UserError

Item = TypeVar("Item")
Done = TypeVar("Done")

_SAY_SO = ("out of memory", "not enough memory", "can't allocate memory", "ALLOC_FAILED")
"""In torch's errors of other types: a GPU's, a processor's, and those of NVIDIA's libraries."""


class Batches:
    """Cuts work to batches, smaller ones once the memory does not suffice.

    Args:
        size: Of a batch.
        say: Is told when it gets smaller.
    """

    def __init__(self, size: int, say: Callable[[str], None]) -> None:
        self.size = size
        self._say = say

    def run(
        self, items: Sequence[Item], work: Callable[[Sequence[Item]], Sequence[Done]]
    ) -> Iterator[Done]:
        """Yield what `work` makes of batches of the items, in their order.

        Raises:
            UserError: If the memory does not suffice for one.
        """
        while items:
            batch, done = items[: self.size], None
            try:
                done = work(batch)
            except RuntimeError as error:  # what torch raises, on a GPU or not
                if not _is_out_of_memory(error):
                    raise
            if done is not None:
                yield from done
                items = items[len(batch) :]
                continue
            if len(batch) == 1:
                raise UserError(
                    "The memory does not suffice for one dialogue at a time.",
                    remedy="take a smaller model, a dtype of 16 bits, or fewer max_tokens",
                )
            torch.cuda.empty_cache()  # the error is gone by now, and its frames' tensors with it
            self.size = len(batch) // 2
            self._say(f"out of memory: from now on {self.size} dialogues at a time")


def _is_out_of_memory(error: RuntimeError) -> bool:
    says = str(error)
    return isinstance(error, torch.OutOfMemoryError) or any(words in says for words in _SAY_SO)

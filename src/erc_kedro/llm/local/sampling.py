"""How tokens are chosen: bound or free, each reply from random numbers of its own."""

import random
from collections.abc import Sequence
from typing import Any

import torch
from transformers import LogitsProcessor

from erc_kedro.llm.local.constrained import Grammar


class PlainReply:
    """A reply that the model is free to write as it will, to one of its own end tokens."""

    def __init__(self, ends: Sequence[int]) -> None:
        self.tokens: list[int] = []
        self.done = False
        self._ends = ends

    @property
    def required(self) -> int | None:
        """The end, once it was reached."""
        return self._ends[0] if self.done else None

    def add(self, token: int) -> None:
        """Append a token."""
        self.done = token in self._ends
        if not self.done:
            self.tokens.append(token)


class Sampler(LogitsProcessor):
    """Chooses every row's next token, and leaves `generate` no other.

    Each row draws from a stream of random numbers of its own, one number for each choice, so what
    others are in the batch does not matter to it.

    Args:
        replies: One per row.
        streams: One per row.
        limits: The most tokens of each row.
        temperature: 0 takes the likeliest token.
        top_p: Leave out the unlikeliest tokens with less than 1 - `top_p` together.
        grammar: If the replies are bound.
    """

    def __init__(
        self,
        replies: Sequence[Any],
        streams: Sequence[random.Random],
        limits: Sequence[int],
        temperature: float,
        top_p: float | None,
        grammar: Grammar | None,
    ) -> None:
        self.replies, self._streams, self._limits = replies, streams, limits
        self._temperature, self._top_p, self._grammar = temperature, top_p, grammar
        self.full: set[int] = set()

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Return scores, shape (rows, vocabulary), of which one per row is not minus infinity."""
        required = [reply.required for reply in self.replies]
        tokens = torch.tensor([token or 0 for token in required], device=scores.device)
        if free := [row for row, token in enumerate(required) if token is None]:
            tokens[free] = self._choose(free, scores[free])
        for row, (reply, token) in enumerate(zip(self.replies, tokens.tolist(), strict=True)):
            if not reply.done:
                if len(reply.tokens) < self._limits[row]:
                    reply.add(token)
                else:
                    self.full.add(row)
                    reply.done = True
                    tokens[row] = reply.required
        return torch.full_like(scores, -torch.inf).scatter_(1, tokens[:, None], 0)

    def _choose(self, rows: Sequence[int], scores: torch.Tensor) -> torch.Tensor:
        scores = scores.float() if scores.device.type == "mps" else scores.double()
        if self._grammar is not None:
            masks = [self.replies[row].mask_row for row in rows]  # may make new masks: first
            scores = scores.masked_fill(~self._grammar.masks[masks], -torch.inf)
            for place, row in enumerate(rows):
                if banned := self.replies[row].banned:
                    scores[place, banned] = -torch.inf
        best = scores.argmax(-1)
        if not self._temperature:
            return best
        shares = torch.softmax(scores / self._temperature, -1)
        if self._top_p is not None:
            ordered, tokens = shares.sort(descending=True, stable=True)
            ordered[ordered.cumsum(-1) - ordered >= self._top_p] = 0
            shares = torch.zeros_like(shares).scatter_(1, tokens, ordered)
        summed = shares.cumsum(-1)
        drawn = [self._streams[row].random() for row in rows]
        points = torch.tensor(drawn, dtype=shares.dtype, device=shares.device) * summed[:, -1]
        found = torch.searchsorted(summed, points[:, None], right=True)
        found = found.clamp_(max=shares.shape[1] - 1)
        # Sums are rounded: never a token that was ruled out.
        return torch.where(shares.gather(1, found) > 0, found, best[:, None])[:, 0]

"""The network of the contextual classifier, and how dialogues are laid out for it."""

import math
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from erc_kedro.modelling.products import Linear
from erc_kedro.modelling.settings import ContextualSettings

_ROWS_AT_ONCE = 128


class Scratch:
    """Memory that is used again and again: to ask for much and give it back takes time on a CPU."""

    def __init__(self, dtype: torch.dtype) -> None:
        self._room = torch.empty(0, dtype=dtype)

    def of(self, shape: Sequence[int], device: torch.device) -> torch.Tensor:
        """Return a tensor with nothing meaningful in it, which is overwritten by the next one."""
        n = math.prod(shape)
        if self._room.numel() < n or self._room.device != device:
            self._room = self._room.new_empty(n, device=device)
        return self._room[:n].view(*shape)


class SeededDropout(nn.Module):
    """Dropout that draws from a generator of its own, eight random bytes at once.

    So classifiers can be trained side by side, each reproducible. The probability is rounded to
    1/256. The features are wide: one random number per element, as torch's own dropout draws,
    took a third of the training time on a CPU. Its memory is kept from step to step.
    """

    def __init__(self, probability: float, generator: torch.Generator | None) -> None:
        super().__init__()
        self.dropped = round(probability * 256)
        self.generator = generator
        self._words, self._factors = Scratch(torch.int64), Scratch(torch.float32)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Return the values with a share of them zero, the others scaled up, while training.

        Values without a gradient are changed in place.
        """
        if not self.training or not self.dropped:
            return values
        if values.requires_grad:
            return values * self._drawn(values)
        on_cpu = values.device.type == "cpu"  # what is drawn for some rows stays in its cache
        for part in values.split(_ROWS_AT_ONCE) if on_cpu else [values]:
            part.mul_(self._drawn(part))
        return values

    def _drawn(self, values: torch.Tensor) -> torch.Tensor:
        """Return what to multiply values by, until it is drawn again."""
        words = self._words.of((-(-values.numel() // 8),), values.device)
        words.random_(-(2**63), None, generator=self.generator)
        drawn = words.view(torch.uint8)[: values.numel()].view(values.shape)
        factors = self._factors.of(values.shape, values.device)
        factors.copy_(torch.ge(drawn, self.dropped, out=drawn))
        return factors.mul_(256 / (256 - self.dropped))


class TurnConvolution(nn.Module):
    """One residual convolution over the turns of a dialogue, without any padding."""

    def __init__(self, width: int, kernel: int, dropout: nn.Module) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.convolve = Linear(kernel * width, width)
        self.dropout = dropout

    def forward(self, turns: torch.Tensor, neighbours: torch.Tensor) -> torch.Tensor:
        """Map turns (utterances, width) to the same shape; `neighbours` as in `ContextualHead`."""
        rows = F.pad(self.norm(turns), (0, 0, 0, 1))  # the last one is silence
        # not rows[neighbours]: on a GPU the gradients of a row would be added one by one
        heard = F.embedding(neighbours, rows, padding_idx=len(turns))
        return turns + self.dropout(F.gelu(self.convolve(heard.flatten(1))))


class ContextualHead(nn.Module):
    """Features of every turn to logits: project, look at the neighbouring turns, classify both."""

    def __init__(
        self,
        features: int,
        labels: int,
        settings: ContextualSettings,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        width = settings.width
        self.project = nn.Sequential(
            SeededDropout(settings.input_dropout, generator),
            Linear(features, width),
            nn.GELU(),
            nn.LayerNorm(width),
        )
        self.context = TurnConvolution(
            width, settings.kernel, SeededDropout(settings.context_dropout, generator)
        )
        self.norm = nn.LayerNorm(width)
        self.classify = nn.Sequential(
            Linear(2 * width, width),
            nn.GELU(),
            SeededDropout(settings.output_dropout, generator),
            Linear(width, labels),
        )

    def forward(self, features: torch.Tensor, neighbours: torch.Tensor) -> torch.Tensor:
        """Map the features of turns to their logits.

        Args:
            features: Shape (utterances, features): the turns of the dialogues, one after another.
            neighbours: Shape (utterances, kernel): the rows of each turn's neighbours in its
                dialogue, itself in the middle; the number of rows stands for none.

        Returns:
            Logits of shape (utterances, labels).
        """
        own = self.project(features)
        context = self.norm(self.context(own, neighbours))
        return self.classify(torch.cat([own, context], dim=-1))

"""The network of the contextual classifier for several members at once: their weights stacked.

The members' rows lie one after another, equally many for each, the shorter ones filled up. So the
network itself is that of one; only its layers with weights of their own, and dropout, know of
members.
"""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from erc_kedro.modelling.contextual_head import ContextualHead, SeededDropout
from erc_kedro.modelling.products import Linear


def _stack(tensors: Sequence[torch.Tensor]) -> nn.Parameter:
    return nn.Parameter(torch.stack([tensor.detach() for tensor in tensors]))


class StackedLinear(nn.Module):
    """Linear layers, one per member; weight (members, out, in), bias (members, out)."""

    def __init__(self, layers: Sequence[Linear]) -> None:
        super().__init__()
        self.weight = _stack([layer.weight for layer in layers])
        self.bias = _stack([layer.bias for layer in layers])

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Map values (members * rows, in) to (members * rows, out)."""
        own = values.unflatten(0, (len(self.weight), -1))
        return torch.baddbmm(self.bias[:, None], own, self.weight.mT).flatten(0, 1)


class StackedNorm(nn.Module):
    """Layer norms, one per member; weight and bias (members, width)."""

    def __init__(self, layers: Sequence[nn.LayerNorm]) -> None:
        super().__init__()
        self.weight = _stack([layer.weight for layer in layers])
        self.bias = _stack([layer.bias for layer in layers])
        self.eps = layers[0].eps

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Map values (members * rows, width) to the same shape."""
        own = F.layer_norm(values, values.shape[-1:], eps=self.eps)
        own = own.unflatten(0, (len(self.weight), -1))
        return torch.addcmul(self.bias[:, None], own, self.weight[:, None]).flatten(0, 1)


class StackedDropout(nn.Module):
    """Dropouts, each drawing from its member's generator what it would draw alone.

    Attributes:
        sizes: How many rows of each member are its own; the others are fillers.
    """

    sizes: Sequence[int] = ()

    def __init__(self, layers: Sequence[SeededDropout]) -> None:
        super().__init__()
        self.dropped = layers[0].dropped
        self.generators = [layer.generator for layer in layers]

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Return the values with a share of them zero, the others scaled up."""
        if not self.dropped:
            return values
        members, width = len(self.generators), values.shape[1]
        each = values.numel() // members
        words = torch.zeros((members, -(-each // 8)), dtype=torch.int64, device=values.device)
        for row, size, generator in zip(words, self.sizes, self.generators, strict=True):
            if size:
                row[: -(-size * width // 8)].random_(-(2**63), None, generator=generator)
        kept = (words.view(torch.uint8)[:, :each] >= self.dropped).reshape(values.shape)
        return (values * kept).mul_(256 / (256 - self.dropped))


class StackedHead(nn.Module):
    """Several heads of one shape as one, for training alone.

    Args:
        heads: Of the members, on one device; the first one's layers are replaced.
    """

    def __init__(self, heads: Sequence[ContextualHead]) -> None:
        super().__init__()
        self.head = _stacked(heads)
        self.dropouts = [own for own in self.modules() if isinstance(own, StackedDropout)]

    def forward(
        self, features: torch.Tensor, neighbours: torch.Tensor, sizes: Sequence[int]
    ) -> torch.Tensor:
        """Map features of turns to logits, as `ContextualHead.forward`.

        Args:
            features: Shape (members * rows, features).
            neighbours: Shape (members * rows, kernel): positions among all those rows.
            sizes: How many rows of each member are its own.
        """
        for dropout in self.dropouts:
            dropout.sizes = sizes
        return self.head(features, neighbours)

    def flatten(self) -> torch.Tensor:
        """Make all weights of a member one row of a matrix, and return it.

        Shape (members, weights). The parameters become views of it: what is written there, the
        network computes with.
        """
        parameters = list(self.parameters())
        flat = torch.cat([own.detach().flatten(1) for own in parameters], 1)
        widths = [own[0].numel() for own in parameters]
        for own, part in zip(parameters, flat.split(widths, 1), strict=True):
            own.data = part.unflatten(1, own.shape[1:])
        return flat

    def by_name(self, weights: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return a row of such a matrix as a head's weights by name."""
        named = {name: own.shape[1:] for name, own in self.head.named_parameters()}
        parts = weights.split([shape.numel() for shape in named.values()])
        return {
            name: part.unflatten(0, shape).clone()
            for (name, shape), part in zip(named.items(), parts, strict=True)
        }


_STACKED = {Linear: StackedLinear, nn.LayerNorm: StackedNorm, SeededDropout: StackedDropout}


def _stacked(modules: Sequence[nn.Module]) -> nn.Module:
    """Return the first module with every layer of `_STACKED` in it replaced by all members'."""
    first = modules[0]
    if type(first) in _STACKED:
        return _STACKED[type(first)](modules)
    if next(first.parameters(recurse=False), None) is not None:
        raise TypeError(f"no stacked {type(first).__name__}")
    for name, _ in list(first.named_children()):
        setattr(first, name, _stacked([module.get_submodule(name) for module in modules]))
    return first

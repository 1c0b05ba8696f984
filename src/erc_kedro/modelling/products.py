"""Matrix products while a network learns on a CPU: by oneDNN, in float32 like torch's own.

Torch has them computed by MKL, which keeps to AVX2 on processors that are not Intel's. oneDNN, part
of torch too, takes the widest instructions there are: on an AMD EPYC with AVX-512, products of the
sizes that occur here took less than half of the time. It makes code for each shape, so shapes
should be few: batches are filled up to rounded sizes.
"""

from typing import Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable


class Linear(nn.Linear):
    """A linear layer; the same in all but speed and rounding."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Map values of shape (..., in) to (..., out)."""
        if _better_by_onednn(values):
            rows = values.reshape(-1, values.shape[-1])
            product: torch.Tensor = _Product.apply(rows, self.weight, self.bias)
            return product.view(*values.shape[:-1], -1)
        return super().forward(values)


def learn_fast(network: Any, device: torch.device) -> None:
    """Make a transformers model learn fast on a CPU; on other devices leave it as it is.

    Its linear layers become `Linear`. Attention goes step by step: fused, its gradient takes
    several times as long there, on texts as short as utterances.
    """
    if device.type != "cpu":
        return
    network.set_attn_implementation("eager")
    for module in network.modules():
        if type(module) is nn.Linear:
            module.__class__ = Linear


def _better_by_onednn(values: torch.Tensor) -> bool:
    return (
        torch.is_grad_enabled()
        and values.device.type == "cpu"
        and values.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
        and torch.backends.mkl.is_available()
        and torch.backends.mkldnn.is_available()
    )


def _times(values: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """Return values @ weight.T + bias."""
    by_onednn = torch.ops.mkldnn._linear_pointwise  # what torch's compiler has linear layers call
    product: torch.Tensor = by_onednn(values, weight, bias, "none", [], "")
    return product


class _Product(torch.autograd.Function):
    """Values (rows, in) times weight (out, in), plus bias (out,)."""

    @staticmethod
    def forward(
        ctx: Any, values: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None
    ) -> torch.Tensor:
        ctx.save_for_backward(values, weight)
        return _times(values, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        values, weight = ctx.saved_tensors
        of_values, of_weight, of_bias = ctx.needs_input_grad
        return (
            _times(gradient, weight.T, None) if of_values else None,
            _times(gradient.T, values.T, None) if of_weight else None,
            gradient.sum(0) if of_bias else None,
        )

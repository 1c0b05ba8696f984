"""Where a network computes, and how exactly."""

import torch

from erc_kedro.core.errors import UserError

_NATIVE = ("avx512_bf16", "amx_bf16")
"""Instructions of x86 for bfloat16; on others it was not measured."""


def choose_device(device: str, where: str | None = None) -> torch.device:
    """Return the device that "auto" stands for, or the named one.

    Raises:
        UserError: If the named device is not there.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    names = ["cpu", "cuda", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
    there = names if torch.cuda.is_available() else ["cpu"]
    if device not in there:
        raise UserError(
            "The device is not there.",
            where=where,
            expected=f"auto, {', '.join(there)}",
            found=repr(device),
            remedy="set the device to auto" if where is None else f"--params={where}=auto",
        )
    return torch.device(device)


def choose_precision(precision: str, device: torch.device) -> str:
    """Return the precision that "auto" stands for on a device, or the named one.

    It is bfloat16 where the device has instructions of its own for it, which makes a forward pass
    about three times as fast, and float32 elsewhere, where bfloat16 would be several times slower.
    """
    if precision != "auto":
        return precision
    if device.type == "cuda":
        with torch.cuda.device(device):
            native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = any(torch.cpu.get_capabilities().get(name) for name in _NATIVE)
    return "bfloat16" if native else "float32"


def computing_in(precision: str, device: torch.device) -> torch.autocast:
    """Return a context in which networks compute in "bfloat16" or "float32".

    It keeps no cast weights: threads share that cache.
    """
    reduced = choose_precision(precision, device) == "bfloat16"
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=reduced, cache_enabled=False)


def give_back_gpu_memory() -> None:
    """Let go of the GPU memory that torch keeps for later, for other processes to use."""
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()

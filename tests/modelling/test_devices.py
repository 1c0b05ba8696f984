"""Where a network computes, and how exactly."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

from erc_kedro.core.errors import UserError
from erc_kedro.modelling.devices import (
    choose_device,
    choose_precision,
    computing_in,
    give_back_gpu_memory,
)

CPU = torch.device("cpu")


def test_auto_is_the_cpu_where_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == CPU
    with pytest.raises(UserError, match="not there"):
        choose_device("cuda")


@pytest.mark.parametrize("device", ["quantum", "cuda:99"])
def test_a_device_that_is_not_there_is_a_user_error(device: str) -> None:
    with pytest.raises(UserError, match="device is not there"):
        choose_device(device)


@pytest.mark.parametrize(
    ("abilities", "precision"),
    [
        ({"avx512_bf16": True, "avx2": True}, "bfloat16"),
        ({"amx_bf16": True}, "bfloat16"),
        ({"avx512_bf16": False, "avx512_f": True, "avx2": True}, "float32"),
        ({"bf16": True, "neon": True}, "float32"),
        ({}, "float32"),
    ],
)
def test_auto_is_bfloat16_where_the_processor_is_made_for_it(
    abilities: dict[str, bool], precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: abilities)
    assert choose_precision("auto", CPU) == precision
    assert [choose_precision(own, CPU) for own in ("float32", "bfloat16")] == [
        "float32", "bfloat16",
    ]  # fmt: skip


@pytest.mark.parametrize(("native", "precision"), [(True, "bfloat16"), (False, "float32")])
def test_auto_is_bfloat16_on_a_gpu_that_need_not_emulate_it(
    native: bool, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def supported(including_emulation: bool = True) -> bool:
        return native or including_emulation

    asked: list[torch.device] = []

    @contextmanager
    def current(device: torch.device) -> Iterator[None]:
        asked.append(device)
        yield

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    monkeypatch.setattr(torch.cuda, "device", current)
    assert choose_precision("auto", torch.device("cuda:1")) == precision
    assert asked == [torch.device("cuda:1")]


def test_networks_compute_in_what_is_asked() -> None:
    layer, rows = torch.nn.Linear(4, 4), torch.ones(2, 4)
    for precision, dtype in (("bfloat16", torch.bfloat16), ("float32", torch.float32)):
        with computing_in(precision, CPU):
            assert layer(rows).dtype == dtype


@pytest.mark.parametrize("used", [True, False])
def test_the_memory_of_a_gpu_is_given_back_if_it_was_used(
    used: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    emptied: list[int] = []
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: used)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: emptied.append(1))
    give_back_gpu_memory()
    assert bool(emptied) == used

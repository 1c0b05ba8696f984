"""What a worker leaves behind when a trial fails."""

import gc
import os
import sys
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

from erc_kedro.core.tuning import Outcome, Settings
from erc_kedro.tuning import StudyStorage, Timing, search
from erc_kedro.tuning.worker import try_settings
from tests.tuning.builders import open_parabola, reasons, states, workers_of
from tests.tuning.objectives import Misbehaving, lose_the_gpu, parabola


class Large:
    """Stands for what a training holds."""


@pytest.fixture
def no_collector() -> Iterator[None]:
    """Nothing is collected unless somebody asks."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
def emptied(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Say each time that torch, which uses a GPU here, empties its cache: is `Large` there?"""
    seen: list[bool] = []

    def empty() -> None:
        seen.append(any(isinstance(own, Large) for own in gc.get_objects()))

    cuda = SimpleNamespace(is_initialized=lambda: True, empty_cache=empty)
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    return seen


@pytest.mark.usefixtures("no_collector")
def test_a_failed_trial_holds_nothing_any_more(emptied: list[bool]) -> None:
    held: list[weakref.ref[Large]] = []

    def train() -> None:
        large = Large()
        held.append(weakref.ref(large))
        raise MemoryError("too large")

    def objective(settings: Settings) -> Any:
        with ThreadPoolExecutor(1) as pool:
            under_way = pool.submit(train)  # holds the error, whose frames hold it
            return under_way.result()

    tried = try_settings(objective, {})
    assert tried.reason == "MemoryError: too large"
    assert tried.trace is not None and "in train" in tried.trace
    assert held[0]() is None
    assert emptied == [False]


def test_a_good_one_keeps_what_is_at_hand(emptied: list[bool]) -> None:
    assert try_settings(parabola, {"x": 0.3, "kind": "b"}).outcome == Outcome(
        (1.0,), {"f1": [0.9, 1.1]}
    )
    assert not emptied


def test_a_worker_without_a_gpu_any_more_is_replaced(
    journal: StudyStorage, quick: Timing, capfd: pytest.CaptureFixture[str]
) -> None:
    study = open_parabola(journal)
    search(study, Misbehaving(lose_the_gpu, high=0.0), trials=4, workers=1, timing=quick)
    lost = "worker died (RuntimeError: CUDA error: an illegal memory access was encountered)"
    assert reasons(study)[0] == lost
    assert states(study).count("COMPLETE") == 4  # a fresh worker's GPU is as good as new
    assert "in lose_the_gpu" in capfd.readouterr().err
    assert not workers_of(os.getpid())

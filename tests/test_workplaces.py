"""How many workers on which device, and what a listener is told of trials."""

from typing import Any

import pytest
import torch

from erc_kedro.core.tuning import Outcome
from erc_kedro.modelling import devices, threads
from erc_kedro.modelling.settings import ClassifierSettings
from erc_kedro.pipelines.tuning.workplace import ToldInEffect, as_workers_see, workplaces
from tests.modelling.test_recipe_space import STRATEGY, TRAINING, made


def on(device: str) -> ClassifierSettings:
    return TRAINING.model_copy(update={"device": device})


@pytest.fixture
def four_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    def choose(device: str, where: str | None = None) -> torch.device:
        return torch.device("cuda" if device == "auto" else device)

    monkeypatch.setattr(devices, "choose_device", choose)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def test_a_cpu_has_a_worker_per_core_or_as_many_as_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "usable_cores", lambda: 3)
    assert workplaces("auto", on("cpu")) == ([None] * 3, on("cpu"))
    assert workplaces(5, on("cpu")) == ([None] * 5, on("cpu"))
    assert workplaces(0, on("cpu")) == ([], on("cpu"))


@pytest.mark.usefixtures("four_gpus")
class TestGpus:
    def test_have_a_worker_each_that_sees_its_own_alone(self) -> None:
        assert workplaces("auto", on("auto")) == (["0", "1", "2", "3"], on("cuda"))

    def test_are_shared_out_in_turns(self) -> None:
        assert workplaces(6, on("cuda"))[0] == ["0", "1", "2", "3", "0", "1"]

    def test_a_numbered_one_is_the_only_one_its_worker_sees(self) -> None:
        assert workplaces("auto", on("cuda:2")) == (["2"], on("cuda"))

    def test_without_workers_the_numbered_one_stays(self) -> None:
        assert workplaces(0, on("cuda:2")) == ([], on("cuda:2"))

    def test_those_that_a_scheduler_gave_are_used(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5, GPU-7f")
        assert workplaces("auto", on("cuda"))[0] == ["5", "GPU-7f"]
        assert workplaces("auto", on("cuda:1"))[0] == ["GPU-7f"]

    @pytest.mark.parametrize(
        ("visible", "there", "seen"),
        [("0,1,2,3", 2, ["0", "1"]), ("0,-1,1", 1, ["0"]), ("0,1,", 2, ["0", "1"])],
    )
    def test_that_are_named_but_not_there_have_no_worker(
        self, visible: str, there: int, seen: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: there)
        assert workplaces("auto", on("cuda"))[0] == seen


@pytest.mark.parametrize(
    ("device", "workers", "seen"),
    [
        ("cuda:1", ["1"], "cuda"),
        ("cuda:1", [], "cuda:1"),
        ("cpu", ["1"], "cpu"),
        ("auto", [None, None], "auto"),
    ],
)
def test_own_encoders_are_fine_tuned_on_the_gpu_that_a_worker_sees(
    device: str, workers: list[str | None], seen: str
) -> None:
    features = {"path": "here", "adaptation": {"device": device, "epochs": 2}}
    found = as_workers_see(features, workers)
    assert found == {"path": "here", "adaptation": {"device": seen, "epochs": 2}}


class Remembers:
    def __init__(self) -> None:
        self.told: list[Any] = []

    def started(self, number: int, settings: Any) -> str:
        self.told.append((number, settings))
        return "its id"

    def ended(self, *what: Any) -> None:
        self.told.append(what)


def test_a_listener_is_told_what_is_in_effect() -> None:
    listener = Remembers()
    telling = ToldInEffect(listener, made(strategy=STRATEGY))
    assert telling.started(3, {"ratio": 0.512345678, "strategy": "faithful"}) == "its id"  # of .55
    outcome = Outcome((0.5,))
    telling.ended(3, "COMPLETE", outcome, None, 1.5)
    (number, settings), ended = listener.told
    assert number == 3
    assert settings == {
        "real": True, "extra": "synthetic", "strategy": "faithful", "ratio": 0.1397,
        "loss_weight": 0.5, "classifier": "contextual",
    }  # fmt: skip
    assert ended == (3, "COMPLETE", outcome, None, 1.5)

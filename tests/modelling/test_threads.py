"""The random state and the threads of torch."""

import warnings

import pytest
import torch

from erc_kedro.modelling.threads import on_one_thread, seeded


def test_a_training_on_the_cpu_leaves_all_gpus_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def touched(*given: object) -> None:
        raise AssertionError("a GPU is touched")

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 8)
    for name in ("_lazy_init", "get_rng_state", "set_rng_state", "manual_seed_all"):
        monkeypatch.setattr(torch.cuda, name, touched)
    before = torch.random.get_rng_state()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with seeded(5, torch.device("cpu")), seeded(5):
            drawn = torch.rand(3)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(drawn, torch.rand(3, generator=torch.Generator().manual_seed(5)))


def test_one_on_a_gpu_seeds_that_one_and_leaves_its_state_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gpus = tuple(torch.Generator().manual_seed(k) for k in range(3))  # stand for those of GPUs
    before = [own.get_state() for own in gpus]
    monkeypatch.setattr(torch.cuda, "default_generators", gpus)
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda gpu: gpus[gpu].get_state())
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda own, gpu: gpus[gpu].set_state(own))
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 2)
    for name, number in (("cuda:1", 1), ("cuda", 2)):
        with seeded(7, torch.device(name)):
            assert [own.initial_seed() for own in gpus] == [
                7 if k == number else k for k in range(3)
            ]
        assert all(torch.equal(own.get_state(), old) for own, old in zip(gpus, before, strict=True))
        gpus[number].manual_seed(number)


def test_threads_are_as_before_afterwards() -> None:
    threads = torch.get_num_threads()
    with pytest.raises(RuntimeError), on_one_thread():
        assert torch.get_num_threads() == 1
        raise RuntimeError
    assert torch.get_num_threads() == threads

"""Training several in one pass: each is what it would be alone."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from erc_kedro.core.labels import OTHER, VOTES
from erc_kedro.modelling import contextual
from erc_kedro.modelling.classifier import History, State, Training, in_groups
from erc_kedro.modelling.contextual import ContextualClassifier
from erc_kedro.modelling.products import Linear
from erc_kedro.modelling.stacked_head import StackedHead
from tests.modelling.test_contextual import CPU, FEATURES, LABELS, REAL, TEST, WRONG, classifier

UNLIKE = {"steps": 150, "step_scaling": 0.5, "clip_norm": 0.3}
"""As many steps as a fold's size asks for, and gradients that are cut at most steps."""


def folds() -> list[pd.DataFrame]:
    """Return real dialogues without one part or another, the parts of unequal size."""
    ids = REAL["dialogue_id"].unique()
    parts = np.split(ids, [5, 20, 45])
    return [REAL[~REAL["dialogue_id"].isin(part)].reset_index(drop=True) for part in parts]


def work() -> list[Training]:
    """Return trainings by two seeds: real dialogues alone, with added ones, with other classes."""
    few = WRONG[WRONG["dialogue_id"].isin(WRONG["dialogue_id"].unique()[:30])]
    found = []
    for number, real in enumerate(folds()):
        if number == 2:
            real.loc[real.index[::5], "emotion"] = OTHER
        added = [few.assign(weight=0.3)] if number % 2 else []
        found += [Training(pd.concat([real, *added], ignore_index=True), real, s) for s in (0, 7)]
    return found


def stacking(most: int = 10, **changes: Any) -> ContextualClassifier:
    made = classifier(**changes)
    made.together = most
    return made


def check_alike(model: ContextualClassifier, own: list[Training]) -> None:
    """Train alone and in one pass, and hold each against the other."""
    for one, two in zip(fit_each(model, own), model.fit_many(own), strict=True):
        alike(model, one, two)


def alike(
    model: ContextualClassifier, one: tuple[State, History], two: tuple[State, History]
) -> None:
    """Check that two trainings are the same but for rounding."""
    atol = 1e-4
    assert one[0].keys() == two[0].keys()
    for name, value in one[0].items():
        torch.testing.assert_close(two[0][name], value, atol=atol, rtol=1e-3, msg=name)
        assert two[0][name].device == CPU
        assert not two[0][name].requires_grad
    assert [step for step, _ in one[1]] == [step for step, _ in two[1]]
    np.testing.assert_allclose([x for _, x in two[1]], [x for _, x in one[1]], atol=atol)
    judged = [model.probabilities(own[0], TEST) for own in (one, two)]
    np.testing.assert_allclose(judged[1], judged[0], atol=atol, rtol=0)


def fit_each(model: ContextualClassifier, work: list[Training]) -> list[tuple[State, History]]:
    return [model.fit(own.training_set, own.real, seed=own.seed) for own in work]


class TestEachIsAsAlone:
    @pytest.mark.parametrize(
        "changes",
        [
            UNLIKE,
            UNLIKE | {"kernel": 1, "width": 7, "average_decay": 0.0, "weight_decay": 0.5},
            UNLIKE | {"input_dropout": 0.5, "context_dropout": 0.0, "output_dropout": 0.4},
        ],
    )
    def test_whatever_the_sizes_steps_and_sources(self, changes: dict[str, Any]) -> None:
        model, own = stacking(**changes), work()
        steps = [model.steps(each.real) for each in own]
        assert len(set(steps)) > 2
        check_alike(model, own)
        assert [len(history) for _, history in model.fit_many(own)] == steps

    def test_with_soft_labels(self) -> None:
        rng = np.random.default_rng(0)
        model = stacking(**UNLIKE)
        model._objective = model._objective.model_copy(update={"soft_labels": True})
        own = []
        for training_set, real, seed in work():
            votes = rng.dirichlet(np.ones(4), len(real))
            named = {f"{VOTES}{name}": votes[:, i] for i, name in enumerate(LABELS.emotions)}
            voted = real.assign(**named)
            added = training_set[len(real) :]
            own.append(Training(pd.concat([voted, added], ignore_index=True), voted, seed))
        check_alike(model, own)

    def test_whoever_trains_beside_it_even_if_that_one_diverges(self) -> None:
        model, [one, two, *_] = stacking(**UNLIKE), work()
        lost = two._replace(training_set=two.training_set.assign(weight=float("nan")))
        found = model.fit_many([lost, one, lost])
        alike(model, fit_each(model, [one])[0], found[1])
        assert not any(np.isfinite(loss) for _, loss in found[0][1] + found[2][1])

    def test_with_fewer_dialogues_than_a_batch_and_dialogues_of_one_turn(self) -> None:
        model = stacking(steps=5)
        short = REAL[REAL["turn"] == 0].reset_index(drop=True)
        few = REAL[REAL["dialogue_id"].isin(REAL["dialogue_id"].unique()[:2])]
        own = [Training(short, REAL, 0), Training(few.reset_index(drop=True), REAL, 1)]
        check_alike(model, own)


class TestOnePass:
    def test_tells_of_every_step_of_each(self) -> None:
        told: list[int] = []
        model, own = stacking(**UNLIKE), work()
        model.fit_many(own, advance=told.append)
        steps = [model.steps(each.real) for each in own]
        assert len(told) == max(steps)
        assert sum(told) == sum(steps)

    def test_leaves_random_state_and_threads_as_they_were(self) -> None:
        torch.manual_seed(5)
        before, threads = torch.get_rng_state(), torch.get_num_threads()
        stacking(steps=2).fit_many(work()[:3])
        assert torch.equal(torch.get_rng_state(), before)
        assert torch.get_num_threads() == threads

    def test_computes_on_the_device_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The device `meta` refuses to work with what lies elsewhere, or to be read."""
        meta = torch.device("meta")

        class Generator:
            def __init__(self, device: torch.device) -> None:
                assert device == meta

            def manual_seed(self, seed: int) -> None:
                return None

        monkeypatch.setattr(torch, "Generator", Generator)
        told: list[int] = []
        model = stacking(steps=3)
        model._device = meta
        with pytest.raises(NotImplementedError, match="meta tensor"):  # at the end
            model.fit_many(work(), advance=told.append)
        assert len(told) == 3

    def test_is_for_a_gpu_and_on_a_cpu_each_keeps_every_bit(self) -> None:
        model, own = classifier(steps=3), work()[:2]
        assert model.together == 1
        for one, two in zip(fit_each(model, own), model.fit_many(own), strict=True):
            assert all(torch.equal(one[0][name], two[0][name]) for name in one[0])
        gpu = ContextualClassifier(
            FEATURES, LABELS, model._settings, model._objective, torch.device("cuda")
        )
        assert (gpu.workers, gpu.together) == (1, contextual._TOGETHER)

    def test_knows_every_layer_with_weights(self) -> None:
        heads = [nn.Sequential(Linear(2, 2), nn.Conv1d(2, 2, 1)) for _ in range(2)]
        with pytest.raises(TypeError, match="no stacked Conv1d"):
            StackedHead(heads)  # type: ignore[arg-type]


@settings(deadline=None)
@given(st.lists(st.integers()), st.integers(1, 9))
def test_groups_are_few_alike_in_size_and_in_order(items: list[int], most: int) -> None:
    groups = in_groups(items, most)
    assert [item for group in groups for item in group] == items
    sizes = [len(group) for group in groups]
    assert len(groups) == -(-len(items) // most)
    assert max(sizes, default=0) <= most
    assert not sizes or max(sizes) - min(sizes) <= 1

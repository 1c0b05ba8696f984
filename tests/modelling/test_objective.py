"""The loss: class weights from real train alone, one prior per source."""

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from erc_kedro.core.labels import LabelSet
from erc_kedro.modelling.objective import SOURCES, Objective, source_codes
from erc_kedro.modelling.settings import ObjectiveSettings

LABELS = LabelSet("toy", ("neutral", "joy", "fear"))
REAL = [*["neutral"] * 12, *["joy"] * 6, *["fear"] * 2]
SYNTHETIC = [*["neutral"] * 1, *["joy"] * 2, *["fear"] * 5]


def rows(real: list[str], synthetic: list[str]) -> pd.DataFrame:
    sources = ["real"] * len(real) + ["synthetic"] * len(synthetic)
    return pd.DataFrame({"emotion": [*real, *synthetic], "source": sources})


def objective(
    training: pd.DataFrame | None = None, real: pd.DataFrame | None = None, **settings: Any
) -> Objective:
    wanted = {"class_weight_power": 0.5, "prior_correction": True, "prior_smoothing": 1e-9}
    return Objective(
        rows(REAL, SYNTHETIC) if training is None else training,
        rows(REAL, []) if real is None else real,
        LABELS,
        ObjectiveSettings(**(wanted | settings)),
    )


class TestClassWeights:
    @pytest.mark.parametrize("power", [0.0, 0.25, 1.0])
    def test_have_mean_one_over_real_train_utterances(self, power: float) -> None:
        weights = objective(class_weight_power=power).class_weights.numpy()
        assert weights[LABELS.codes(REAL)].mean() == pytest.approx(1, abs=1e-6)

    def test_are_inverse_shares_to_the_power(self) -> None:
        weights = objective(class_weight_power=0.5).class_weights.numpy()
        assert weights[1] / weights[0] == pytest.approx(math.sqrt(12 / 6))
        assert weights[2] / weights[0] == pytest.approx(math.sqrt(12 / 2))

    def test_are_all_one_without_power(self) -> None:
        assert objective(class_weight_power=0.0).class_weights.tolist() == [1, 1, 1]

    def test_do_not_depend_on_the_training_set(self) -> None:
        wanted = objective().class_weights
        for training in (rows([], SYNTHETIC), rows(REAL[:3], []), rows(REAL * 2, SYNTHETIC * 9)):
            assert torch.equal(objective(training).class_weights, wanted)

    def test_are_finite_for_an_emotion_that_real_train_lacks(self) -> None:
        lacking = objective(real=rows(["neutral", "joy"], []), prior_smoothing=1.0)
        assert torch.isfinite(lacking.class_weights).all()
        assert torch.isfinite(lacking.log_priors).all()


class TestPriors:
    def test_are_those_of_each_source(self) -> None:
        priors = objective().log_priors.exp().numpy()
        np.testing.assert_allclose(priors[SOURCES.index("real")], [0.6, 0.3, 0.1], atol=1e-6)
        wanted = [1 / 8, 2 / 8, 5 / 8]
        np.testing.assert_allclose(priors[SOURCES.index("synthetic")], wanted, atol=1e-6)

    @pytest.mark.parametrize("synthetic", [SYNTHETIC, []], ids=["some", "none"])
    def test_sum_to_one_per_source(self, synthetic: list[str]) -> None:
        made = objective(rows(REAL, synthetic), prior_smoothing=1.0)
        np.testing.assert_allclose(made.log_priors.exp().sum(1), [1] * len(SOURCES), atol=1e-6)

    def test_of_real_is_that_of_real_train_even_if_none_is_trained_on(self) -> None:
        alone = objective(rows([], SYNTHETIC))
        assert torch.equal(alone.log_priors, objective().log_priors)

    def test_are_zero_without_correction(self) -> None:
        priors = objective(prior_correction=False).log_priors
        assert priors.shape == (len(SOURCES), 3)
        assert (priors == 0).all()

    def test_are_smoothed_by_that_many_utterances_per_label(self) -> None:
        priors = objective(prior_smoothing=2.0).log_priors.exp()
        np.testing.assert_allclose(priors[0], [14 / 26, 8 / 26, 4 / 26], atol=1e-6)


class TestLoss:
    def test_is_the_weighted_mean_of_corrected_cross_entropies(self) -> None:
        made = objective()
        logits = torch.tensor([[1.0, 0.0, -1.0], [0.0, 2.0, 0.5], [0.3, 0.1, 0.2]])
        codes, sources = torch.tensor([0, 2, 1]), torch.tensor([0, 1, 1])
        weights = torch.tensor([1.0, 0.5, 0.25])
        total, scale = 0.0, 0.0
        for i in range(3):
            shifted = (logits[i] + made.log_priors[sources[i]]).double()
            entropy = float(torch.logsumexp(shifted, 0) - shifted[codes[i]])
            weight = float(weights[i] * made.class_weights[codes[i]])
            total, scale = total + weight * entropy, scale + weight
        loss = made.loss(logits, codes, sources, weights)
        assert float(loss) == pytest.approx(total / scale, rel=1e-5)

    def test_is_moved_as_a_whole(self) -> None:
        made = objective()
        assert made.to(torch.device("cpu")) is made


def test_source_codes_are_positions_in_sources() -> None:
    codes = source_codes(pd.DataFrame({"source": ["synthetic", "real", "synthetic"]}))
    assert [SOURCES[code] for code in codes] == ["synthetic", "real", "synthetic"]
    assert codes.dtype == torch.int64


def test_an_unknown_source_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown source"):
        source_codes(pd.DataFrame({"source": ["real", "imagined"]}))

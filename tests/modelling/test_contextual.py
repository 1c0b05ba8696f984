"""The contextual classifier on made-up features whose emotion is in the text."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from erc_kedro.core.labels import LabelSet
from erc_kedro.modelling.classifier import scaled_steps
from erc_kedro.modelling.contextual import ContextualClassifier
from erc_kedro.modelling.contextual_head import SeededDropout
from erc_kedro.modelling.features import Features, text_key
from erc_kedro.modelling.settings import ContextualSettings, ObjectiveSettings
from erc_kedro.modelling.threads import seeded

LABELS = LabelSet("toy", ("neutral", "joy", "fear", "anger"))
CPU = torch.device("cpu")
WIDTH = 12


def dialogues(n: int, seed: int, source: str = "real", wrong: bool = False) -> pd.DataFrame:
    """Dialogues of 1 to 9 turns; a text says its true emotion; `wrong` labels are shifted."""
    rng = np.random.default_rng([seed, len(source)])
    rows = []
    for i in range(n):
        for turn in range(rng.integers(1, 10)):
            code = int(rng.choice(4, p=[0.4, 0.2, 0.2, 0.2]))
            label = LABELS.emotions[(code + wrong) % 4]
            text = f"{LABELS.emotions[code]} {source} {seed} {i} {turn}"
            rows.append((f"{source}-{seed}-{i}", turn, "Ann", text, label, source, 1.0))
    columns = ["dialogue_id", "turn", "speaker", "text", "emotion", "source", "weight"]
    return pd.DataFrame(rows, columns=columns)


REAL = dialogues(60, seed=0)
TEST = dialogues(150, seed=1)
WRONG = dialogues(180, seed=2, source="synthetic", wrong=True)


def features() -> Features:
    texts = pd.concat([REAL, TEST, WRONG])["text"].tolist()
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(4, WIDTH))
    codes = LABELS.codes(text.split()[0] for text in texts)
    matrix = (centres[codes] + 0.6 * rng.normal(size=(len(texts), WIDTH))) * 5 + 100
    rows = {text_key(text): i for i, text in enumerate(texts)}
    return Features(matrix.astype(np.float32), rows)


FEATURES = features()


def classifier(**settings: Any) -> ContextualClassifier:
    wanted: dict[str, Any] = {
        "steps": 60, "step_scaling": 0.0, "batch_dialogues": 16, "width": 16, "kernel": 3,
        "input_dropout": 0.1, "context_dropout": 0.1, "output_dropout": 0.1,
        "learning_rate": 1e-2, "weight_decay": 1e-2, "average_decay": 0.9, "clip_norm": 1.0,
    }  # fmt: skip
    objective = ObjectiveSettings(
        class_weight_power=0.25, prior_correction=True, prior_smoothing=1.0
    )
    chosen = ContextualSettings(**(wanted | settings))
    return ContextualClassifier(FEATURES, LABELS, chosen, objective, CPU)


def fit(seed: int = 0, training: pd.DataFrame = REAL, **settings: Any) -> dict[str, torch.Tensor]:
    state, _ = classifier(**settings).fit(training, REAL, seed=seed)
    return state


def accuracy(state: dict[str, torch.Tensor], table: pd.DataFrame = TEST) -> float:
    predicted = classifier().probabilities(state, table).argmax(1)
    return float((predicted == LABELS.codes(table["emotion"])).mean())


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    return fit()


def equal(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


class TestFit:
    def test_learns(self, state: dict[str, torch.Tensor]) -> None:
        majority = TEST["emotion"].value_counts(normalize=True).max()
        assert majority < 0.5
        assert accuracy(state) > 0.85

    def test_the_same_seed_gives_the_same_bits(self, state: dict[str, torch.Tensor]) -> None:
        torch.manual_seed(987)
        np.random.seed(987)  # noqa: NPY002
        assert equal(fit(), state)

    def test_another_seed_gives_another_classifier(self, state: dict[str, torch.Tensor]) -> None:
        other = fit(seed=1)
        name = "head.project.1.weight"
        assert not torch.equal(other[name], state[name])
        assert torch.equal(other["mean"], state["mean"])

    def test_leaves_random_state_and_threads_as_they_were(self) -> None:
        torch.manual_seed(5)
        before, threads = torch.get_rng_state(), torch.get_num_threads()
        numbers = np.random.get_state()[1].copy()  # noqa: NPY002
        classifier(steps=2).fit(REAL, REAL, seed=0)
        assert torch.equal(torch.get_rng_state(), before)
        assert torch.get_num_threads() == threads
        assert (np.random.get_state()[1] == numbers).all()  # noqa: NPY002

    @pytest.mark.parametrize(
        ("steps", "n_real", "scaling", "wanted"),
        [
            (20, 10_000, 0.5, 20),
            (20, 2_500, 0.5, 10),
            (20, 2_500, 0.0, 20),
            (1, 10_000, 0.5, 2),
        ],
    )
    def test_takes_the_scaled_number_of_steps(
        self, steps: int, n_real: int, scaling: float, wanted: int
    ) -> None:
        assert scaled_steps(steps, n_real, scaling) == wanted

    def test_takes_the_same_number_of_steps_whatever_the_arm_adds(self) -> None:
        model = classifier(steps=20, step_scaling=0.0)
        for training in (REAL, pd.concat([REAL, WRONG], ignore_index=True)):
            _, history = model.fit(training, REAL, seed=0)
            assert [step for step, _ in history] == list(range(1, 21))
            assert all(np.isfinite(loss) for _, loss in history)

    def test_tells_of_every_step(self) -> None:
        told: list[int] = []
        model = classifier(steps=7)
        model.fit(REAL, REAL, seed=0, advance=told.append)
        assert sum(told) == model.steps(REAL) == 7

    def test_its_loss_falls(self) -> None:
        _, history = classifier().fit(REAL, REAL, seed=0)
        losses = [loss for _, loss in history]
        assert np.mean(losses[-5:]) < 0.6 * np.mean(losses[:5])

    def test_works_with_fewer_dialogues_than_a_batch(self) -> None:
        few = REAL[REAL["dialogue_id"].isin(REAL["dialogue_id"].unique()[:3])]
        few = few.reset_index(drop=True)
        _, history = classifier(steps=4).fit(few, REAL, seed=0)
        assert len(history) == 4

    def test_scales_by_the_real_texts_not_by_the_training_set(
        self, state: dict[str, torch.Tensor]
    ) -> None:
        alone = fit(training=WRONG, steps=2)
        reference = torch.from_numpy(FEATURES.of(REAL["text"]))
        for made in (state, alone):
            torch.testing.assert_close(made["mean"], reference.mean(0))
            torch.testing.assert_close(made["scale"], reference.std(0))

    def test_keeps_the_log_prior_of_real_train(self, state: dict[str, torch.Tensor]) -> None:
        counts = REAL["emotion"].value_counts()[list(LABELS.emotions)].to_numpy() + 1.0
        wanted = np.log(counts / counts.sum())
        np.testing.assert_allclose(state["log_prior"].numpy(), wanted, atol=1e-6)

    def test_the_state_is_on_the_cpu_without_gradients(
        self, state: dict[str, torch.Tensor]
    ) -> None:
        for tensor in state.values():
            assert tensor.device == CPU
            assert not tensor.requires_grad

    def test_the_weight_of_synthetic_utterances_matters(self) -> None:
        """Wrongly labelled synthetic dialogues harm; with next to no weight they do not."""
        found = {}
        for weight in (1.0, 1e-6):
            training = pd.concat([REAL, WRONG.assign(weight=weight)], ignore_index=True)
            found[weight] = accuracy(fit(training=training))
        assert found[1e-6] > 0.8
        assert found[1.0] < 0.6

    def test_learns_from_synthetic_dialogues_alone(self) -> None:
        alone = fit(training=WRONG)
        assert accuracy(alone, WRONG) > 0.8
        assert accuracy(alone, TEST) < 0.3

    def test_rows_of_a_dialogue_that_do_not_follow_each_other_are_refused(self) -> None:
        mixed = REAL.sort_values("turn", kind="stable").reset_index(drop=True)
        with pytest.raises(ValueError, match="do not follow each other"):
            fit(training=mixed)


class TestProbabilities:
    def test_sum_to_one(self, state: dict[str, torch.Tensor]) -> None:
        found = classifier().probabilities(state, TEST)
        assert found.shape == (len(TEST), 4)
        assert found.dtype == np.float64
        np.testing.assert_allclose(found.sum(1), 1, atol=1e-12)
        assert (found >= 0).all()

    def test_do_not_depend_on_the_other_dialogues(self, state: dict[str, torch.Tensor]) -> None:
        model = classifier()
        whole = model.probabilities(state, TEST)
        lengths = TEST.groupby("dialogue_id").size()
        assert lengths.min() == 1
        assert lengths.max() == 9
        for dialogue_id in (lengths.idxmin(), lengths.idxmax(), TEST["dialogue_id"].iloc[-1]):
            own = (TEST["dialogue_id"] == dialogue_id).to_numpy()
            alone = model.probabilities(state, TEST[own].reset_index(drop=True))
            np.testing.assert_allclose(alone, whole[own], atol=1e-6, rtol=0)

    def test_do_not_hear_padding(self, state: dict[str, torch.Tensor]) -> None:
        """Padding is normalised to the bias, which must not reach a dialogue's last turn."""
        loud = state | {"head.context.norm.bias": torch.full((16,), 3.0)}
        model = classifier()
        whole = model.probabilities(loud, TEST)
        own = (TEST["dialogue_id"] == TEST["dialogue_id"].iloc[0]).to_numpy()
        assert own.sum() < TEST.groupby("dialogue_id").size().max()
        alone = model.probabilities(loud, TEST[own].reset_index(drop=True))
        np.testing.assert_allclose(alone, whole[own], atol=1e-6, rtol=0)

    def test_follow_the_rows_when_dialogues_change_places(
        self, state: dict[str, torch.Tensor]
    ) -> None:
        model = classifier()
        whole = model.probabilities(state, TEST)
        order = TEST.sort_values("dialogue_id", ascending=False, kind="stable").index
        assert not (order == TEST.index).all()
        turned = model.probabilities(state, TEST.loc[order])
        np.testing.assert_allclose(turned, whole[order], atol=1e-6, rtol=0)

    def test_depend_on_the_neighbouring_turns_and_on_no_farther_ones(
        self, state: dict[str, torch.Tensor]
    ) -> None:
        longest = TEST.groupby("dialogue_id").size().idxmax()
        own = TEST[TEST["dialogue_id"] == longest].reset_index(drop=True)
        changed = own.copy()
        changed.loc[0, "text"] = next(t for t in TEST["text"] if t[:3] != own["text"][0][:3])
        model = classifier()
        moved = np.abs(model.probabilities(state, own) - model.probabilities(state, changed))
        moved = moved.max(1)
        assert (moved[:2] > 1e-6).all()
        assert (moved[2:] < 1e-9).all()

    def test_apply_no_dropout_and_do_not_change_the_random_state(
        self, state: dict[str, torch.Tensor]
    ) -> None:
        one = classifier().probabilities(state, TEST)
        two = classifier().probabilities(state, TEST)
        assert (one == two).all()

    def test_are_raised_by_the_log_prior(self, state: dict[str, torch.Tensor]) -> None:
        bare = classifier().probabilities(state | {"log_prior": torch.zeros(4)}, TEST)
        wanted = bare * np.exp(state["log_prior"].double().numpy())
        wanted /= wanted.sum(1, keepdims=True)
        np.testing.assert_allclose(classifier().probabilities(state, TEST), wanted, atol=1e-6)


class TestSeededDropout:
    @pytest.mark.parametrize("rows", [1, 128, 300])
    def test_draws_the_same_in_place_and_beside_a_gradient(self, rows: int) -> None:
        found = []
        for learnt in (False, True):
            dropout = SeededDropout(0.3, torch.Generator().manual_seed(5))
            ones = [torch.ones(rows, 16).requires_grad_(learnt) for _ in range(2)]
            found.append([dropout(own).detach() for own in ones])
        assert all(torch.equal(*pair) for pair in zip(*found, strict=True))

    def test_drops_a_share_anew_for_every_row_and_keeps_the_mean(self) -> None:
        found = SeededDropout(0.25, torch.Generator().manual_seed(0))(torch.ones(512, 64))
        assert found.unique().tolist() == pytest.approx([0, 4 / 3])
        assert len({tuple(row) for row in found.tolist()}) == 512
        assert found.mean() == pytest.approx(1, abs=0.02)
        assert found.mean(1).std() == pytest.approx((1 / 3 / 64) ** 0.5, rel=0.15)


def test_seeded_restores_threads_after_an_error() -> None:
    threads, before = torch.get_num_threads(), torch.get_rng_state()
    with pytest.raises(RuntimeError), seeded(1):
        torch.rand(1)
        raise RuntimeError
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), before)


def test_predicting_draws_nothing_that_a_training_beside_it_would_miss(
    state: dict[str, torch.Tensor],
) -> None:
    before = torch.get_rng_state()
    classifier().probabilities(state, TEST)
    assert torch.equal(torch.get_rng_state(), before)

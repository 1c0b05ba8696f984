"""The fine-tuned classifier with a tiny BERT."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from erc_kedro.core.labels import LabelSet
from erc_kedro.modelling.finetuned import FineTunedClassifier, FineTunedHead, utterances_in_context
from erc_kedro.modelling.settings import FineTunedSettings, ObjectiveSettings

LABELS = LabelSet("toy", ("neutral", "joy", "fear"))


def dialogues(n: int, seed: int) -> pd.DataFrame:
    """Dialogues whose first word tells the emotion: w0, w1 or w2."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        for turn in range(rng.integers(1, 6)):
            code = int(rng.integers(3))
            rest = " ".join(f"w{k}" for k in rng.integers(10, 60, size=rng.integers(1, 6)))
            text = f"w{code} w{code} w{code} {rest}"
            speaker = "ann" if turn % 2 else "bo"
            emotion = LABELS.emotions[code]
            rows.append((f"d{seed}-{i}", turn, speaker, text, emotion, "real", 1.0))
    columns = ["dialogue_id", "turn", "speaker", "text", "emotion", "source", "weight"]
    return pd.DataFrame(rows, columns=columns)


TRAIN, TEST = dialogues(30, 0), dialogues(40, 1)


def classifier(encoder: Path, **settings: Any) -> FineTunedClassifier:
    wanted: dict[str, Any] = {
        "encoder": str(encoder), "context_turns": 1, "max_tokens": 48, "steps": 40,
        "step_scaling": 0.0, "batch_utterances": 16, "learning_rate": 1e-2,
        "head_learning_rate": 1e-2, "weight_decay": 0.01, "warmup": 0.1, "dropout": 0.1,
        "clip_norm": 1.0, "precision": "float32",
    }  # fmt: skip
    objective = ObjectiveSettings(
        class_weight_power=0.25, prior_correction=True, prior_smoothing=1.0
    )
    chosen = FineTunedSettings(**(wanted | settings))
    return FineTunedClassifier(LABELS, chosen, objective, torch.device("cpu"))


@pytest.fixture(scope="module")
def fitted(tiny_bert: Path) -> tuple[dict[str, torch.Tensor], list[tuple[int, float]]]:
    return classifier(tiny_bert).fit(TRAIN, TRAIN, seed=0)


Fitted = tuple[dict[str, torch.Tensor], list[tuple[int, float]]]


class TestFit:
    def test_learns(self, fitted: Fitted, tiny_bert: Path) -> None:
        predicted = classifier(tiny_bert).probabilities(fitted[0], TEST).argmax(1)
        assert (predicted == LABELS.codes(TEST["emotion"])).mean() > 0.7

    def test_takes_the_scaled_number_of_steps(self, fitted: Fitted, tiny_bert: Path) -> None:
        assert [step for step, _ in fitted[1]] == list(range(1, 41))
        scaled, told = classifier(tiny_bert, steps=800, step_scaling=1.0), []
        _, history = scaled.fit(TRAIN, TRAIN, seed=0, advance=told.append)
        assert sum(told) == len(history) == scaled.steps(TRAIN)
        assert len(history) == max(2, round(800 * len(TRAIN) / 10_000))

    def test_the_same_seed_gives_the_same_bits(self, tiny_bert: Path) -> None:
        made = []
        for number in (1, 2):
            torch.manual_seed(number)
            model = classifier(tiny_bert, steps=4)
            made.append(model.fit(TRAIN, TRAIN, seed=3))
        assert made[0][1] == made[1][1]
        assert all(torch.equal(made[0][0][name], made[1][0][name]) for name in made[0][0])

    def test_another_seed_gives_another_classifier(self, tiny_bert: Path) -> None:
        model = classifier(tiny_bert, steps=2)
        one, _ = model.fit(TRAIN, TRAIN, seed=0)
        two, _ = model.fit(TRAIN, TRAIN, seed=1)
        assert not torch.equal(one["head.classify.weight"], two["head.classify.weight"])

    def test_leaves_the_random_state_as_it_was(self, tiny_bert: Path) -> None:
        before = torch.get_rng_state()
        classifier(tiny_bert, steps=2).fit(TRAIN, TRAIN, seed=0)
        assert torch.equal(torch.get_rng_state(), before)

    def test_tunes_the_encoder_too_and_leaves_its_files_alone(
        self, fitted: Fitted, tiny_bert: Path
    ) -> None:
        from transformers import AutoModel

        name = "encoder.layer.0.attention.self.query.weight"
        original = AutoModel.from_pretrained(tiny_bert).state_dict()[name]
        assert not torch.equal(fitted[0][f"head.encoder.{name}"], original)


class TestProbabilities:
    def test_have_a_row_per_utterance_and_sum_to_one(self, fitted: Fitted, tiny_bert: Path) -> None:
        found = classifier(tiny_bert).probabilities(fitted[0], TEST)
        assert found.shape == (len(TEST), 3)
        np.testing.assert_allclose(found.sum(1), 1, atol=1e-12)

    def test_do_not_depend_on_the_other_dialogues(self, fitted: Fitted, tiny_bert: Path) -> None:
        model = classifier(tiny_bert)
        whole = model.probabilities(fitted[0], TEST)
        assert len(TEST) > 64
        own = (TEST["dialogue_id"] == TEST["dialogue_id"].iloc[-1]).to_numpy()
        alone = model.probabilities(fitted[0], TEST[own].reset_index(drop=True))
        np.testing.assert_allclose(alone, whole[own], atol=1e-5)

    def test_depend_on_the_turn_before(self, fitted: Fitted, tiny_bert: Path) -> None:
        first, second = ("d", 0, "ann", "w0 w1"), ("d", 1, "bo", "w5")
        columns = ["dialogue_id", "turn", "speaker", "text"]
        model = classifier(tiny_bert)
        one = model.probabilities(fitted[0], pd.DataFrame([first, second], columns=columns))
        two = model.probabilities(
            fitted[0], pd.DataFrame([("c", 0, "ann", "w0 w1"), second], columns=columns)
        )
        assert np.abs(one[1] - two[1]).max() > 1e-5
        np.testing.assert_allclose(one[0], two[0], atol=1e-6)


class TestInput:
    def test_context_never_crosses_a_dialogue_and_holds_the_last_turns(self) -> None:
        table = pd.DataFrame(
            [(d, t, "ann" if t % 2 else "bo", f"{d}{t}") for d in "xyz" for t in range(4)],
            columns=["dialogue_id", "turn", "speaker", "text"],
        )
        for n in range(6):
            pairs = utterances_in_context(table, n)
            assert len(pairs) == len(table)
            for (context, own), (d, t) in zip(pairs, table[["dialogue_id", "turn"]].values):  # noqa: B905
                lines = [f"{'ann' if k % 2 else 'bo'}: {d}{k}" for k in range(t + 1)]
                assert own == lines[t]
                assert context == " ".join(lines[max(0, t - n) : t])

    def test_the_oldest_context_is_cut_off_first(self, tiny_bert: Path) -> None:
        model = classifier(tiny_bert, max_tokens=12)
        tokenizer, _ = model._build()
        batch = model._tokenize(tokenizer, [("w1 w2 w3 w4 w5 w6 w7 w8", "w20 w21 w22")])
        tokens = tokenizer.convert_ids_to_tokens(batch["input_ids"][0])
        assert " ".join(tokens) == "[CLS] w3 w4 w5 w6 w7 w8 [SEP] w20 w21 w22 [SEP]"

    def test_an_utterance_that_is_longer_than_its_context_is_kept_whole(
        self, tiny_bert: Path
    ) -> None:
        model = classifier(tiny_bert, max_tokens=12)
        tokenizer, _ = model._build()
        batch = model._tokenize(tokenizer, [("w1 w2 w3", "w20 w21 w22 w23 w24 w25 w26 w27")])
        tokens = tokenizer.convert_ids_to_tokens(batch["input_ids"][0])
        assert " ".join(tokens) == "[CLS] w3 [SEP] w20 w21 w22 w23 w24 w25 w26 w27 [SEP]"

    def test_an_utterance_that_is_too_long_by_itself_is_cut(self, tiny_bert: Path) -> None:
        model = classifier(tiny_bert, max_tokens=10)
        tokenizer, _ = model._build()
        long = " ".join(f"w{i}" for i in range(40))
        batch = model._tokenize(tokenizer, [(long, long), ("", "w1")])
        assert batch["input_ids"].shape == (2, 10)


@pytest.mark.parametrize("fails", [False, True])
def test_a_network_leaves_its_device_once_it_has_predicted(
    fitted: Fitted, tiny_bert: Path, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    model, places = classifier(tiny_bert), list[str]()
    monkeypatch.setattr(FineTunedHead, "to", lambda own, device: places.append(device.type) or own)
    monkeypatch.setattr(FineTunedHead, "cpu", lambda own: places.append("off") or own)
    if fails:
        monkeypatch.setattr(FineTunedHead, "forward", lambda own, batch: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            model.probabilities(fitted[0], TEST)
    else:
        model.probabilities(fitted[0], TEST)
    assert places == ["cpu", "off"]

"""The adapted encoder with a tiny BERT: what it learns, and that every bit is the same again."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from erc_kedro.core.errors import UserError
from erc_kedro.core.labels import LabelSet
from erc_kedro.modelling import adaptation
from erc_kedro.modelling.adaptation import adapt
from erc_kedro.modelling.encoders import Encoder, Pooling, load_pretrained
from erc_kedro.modelling.settings import AdaptationSettings
from erc_kedro.modelling.threads import seeded
from tests.modelling.conftest import ADAPTATION

LABELS = LabelSet("toy", ("neutral", "joy", "fear"))

Weights = dict[str, torch.Tensor]


def utterances(n: int, seed: int) -> pd.DataFrame:
    """Utterances in which one word among others tells the emotion: w0, w1 or w2."""
    rng = np.random.default_rng(seed)
    codes = rng.choice(3, size=n, p=[0.5, 0.3, 0.2])
    words = [[code, *rng.integers(10, 60, size=rng.integers(4, 9))] for code in codes]
    texts = [" ".join(f"w{k}" for k in rng.permutation(own)) for own in words]
    return pd.DataFrame({"text": texts, "emotion": [LABELS.emotions[code] for code in codes]})


TRAIN, TEST = utterances(160, 0), utterances(200, 1)


def adapted(encoder: Path, rows: pd.DataFrame = TRAIN, **changes: Any) -> tuple[Any, Any]:
    how = AdaptationSettings(**ADAPTATION | changes)
    return adapt(str(encoder), rows, LABELS, how, torch.device("cpu"))


def weights(encoder: Path, rows: pd.DataFrame = TRAIN, **changes: Any) -> Weights:
    return dict(adapted(encoder, rows, **changes)[1].state_dict())


def former(encoder: Path) -> Weights:
    return {name: own.half() for name, own in load_pretrained(str(encoder))[1].state_dict().items()}


def differing(one: Weights, two: Weights) -> set[str]:
    assert one.keys() == two.keys()
    return {name for name in one if not torch.equal(one[name], two[name])}


def told_apart(encoder: Path) -> float:
    """Return how often the nearest mean of TRAIN's features of an emotion is right on TEST."""
    opened = Encoder(str(encoder), [Pooling(-1, "mean")], device="cpu")

    def features(table: pd.DataFrame) -> np.ndarray:
        found = np.empty((len(table), opened.width))
        for positions, rows in opened.encode(table["text"].tolist()):
            found[positions] = rows
        return found

    train, codes = features(TRAIN), LABELS.codes(TRAIN["emotion"])
    means = np.stack([train[codes == code].mean(0) for code in range(len(LABELS))])
    nearest = ((features(TEST)[:, None] - means) ** 2).sum(-1).argmin(1)
    return float((nearest == LABELS.codes(TEST["emotion"])).mean())


def test_emotions_are_told_apart_better_than_before(tiny_bert: Path, tmp_path: Path) -> None:
    for part in adapted(tiny_bert, epochs=12):
        part.save_pretrained(tmp_path)
    before, after = told_apart(tiny_bert), told_apart(tmp_path)
    assert before < 0.6 and after > 0.8


def test_the_loss_falls(tiny_bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    losses, own = [], adaptation.F.cross_entropy

    def listening(*args: Any, **options: Any) -> torch.Tensor:
        losses.append(float(own(*args, **options | {"reduction": "mean"}).detach()))
        return own(*args, **options)

    monkeypatch.setattr(adaptation.F, "cross_entropy", listening)
    adapted(tiny_bert, epochs=6)
    n = len(losses) // 6
    assert np.mean(losses[-n:]) < 0.6 * np.mean(losses[:n])


def test_many_utterances_are_passed_over_less_often(tiny_bert: Path) -> None:
    told: list[int] = []
    how = AdaptationSettings(**ADAPTATION | {"epochs": 3, "most_steps": 12})
    adapt(str(tiny_bert), TRAIN, LABELS, how, torch.device("cpu"), watch=told.append)
    assert told == [0] * 12  # of 30
    told.clear()
    adapt(str(tiny_bert), TRAIN[:32], LABELS, how, torch.device("cpu"), watch=told.append)
    assert told == [0] * 6


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_every_bit_is_the_same_on_one_core_and_two_and_random_states_are_left_alone(
    tiny_bert: Path, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    found = []
    for cores in (1, 2, 2):
        monkeypatch.setattr(adaptation, "usable_cores", lambda n=cores: n)
        torch.manual_seed(len(found))
        state = torch.random.get_rng_state()
        found.append(weights(tiny_bert, precision=precision))
        assert torch.equal(torch.random.get_rng_state(), state)
    assert not differing(found[0], found[1]) and not differing(found[1], found[2])
    assert all(own.dtype == torch.float16 for own in found[0].values())


def test_other_trainings_may_begin_meanwhile(tiny_bert: Path) -> None:
    drawn: list[torch.Tensor] = []

    def draw() -> None:
        with seeded(3):
            drawn.append(torch.rand(4))

    def watch(_: int) -> None:
        if not drawn:
            other = threading.Thread(target=draw, daemon=True)
            other.start()
            other.join(10)
            assert drawn, "it waits"

    how = AdaptationSettings(**ADAPTATION)
    beside = adapt(str(tiny_bert), TRAIN, LABELS, how, torch.device("cpu"), watch=watch)
    assert not differing(dict(beside[1].state_dict()), weights(tiny_bert))


@pytest.mark.parametrize("changes", [{"seed": 1}, {"epochs": 2}, {"precision": "bfloat16"}])
def test_another_setting_gives_another_encoder(tiny_bert: Path, changes: dict[str, Any]) -> None:
    assert differing(weights(tiny_bert), weights(tiny_bert, **changes))


def test_frozen_layers_and_what_lies_below_stay_as_they_are(tiny_bert: Path) -> None:
    before, upper = former(tiny_bert), weights(tiny_bert, frozen_layers=1)
    learnt = differing(before, upper)
    assert learnt and all(name.startswith("encoder.layer.1.") for name in learnt)
    learnt = differing(before, weights(tiny_bert))
    for part in ("embeddings.", "encoder.layer.0.", "encoder.layer.1."):
        assert any(name.startswith(part) for name in learnt)
    assert not any(name.startswith("pooler.") for name in learnt)  # no output depends on it
    with pytest.raises(UserError, match="frozen_layers"):  # it has two
        weights(tiny_bert, frozen_layers=2)


def test_single_utterances_and_long_ones_are_learnt_from(tiny_bert: Path) -> None:
    long = TRAIN.head(3).assign(text=" ".join(["w0"] * 200))
    assert differing(former(tiny_bert), weights(tiny_bert, long, batch_utterances=1))


def test_a_loss_that_is_no_number_is_an_error(tiny_bert: Path) -> None:
    with pytest.raises(FloatingPointError, match="loss is not a finite number"):
        adapted(tiny_bert, learning_rate=1e30, clip_norm=1e30)

"""Real and synthetic utterances are told apart by what differs, and by nothing else."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from erc_kedro.modelling.features import Features, text_key
from erc_kedro.modelling.style_shift import measure_style_shift

COMMON = [f"word{i}" for i in range(30)]


def dialogues(name: str, n: int, own: list[str], seed: int, mean: int = 6) -> pd.DataFrame:
    """Return dialogues of four utterances each, of common words and, in every other one, an own."""
    rng, rows = np.random.default_rng(seed), []
    for number in range(n):
        for turn in range(4):
            said = list(rng.choice(COMMON, size=rng.integers(mean - 2, mean + 3)))
            said += list(rng.choice(own, 1)) if own and turn % 2 else []
            rows.append((f"{name}-{number}", turn, " ".join(said)))
    return pd.DataFrame(rows, columns=["dialogue_id", "turn", "text"])


def auc(real: pd.DataFrame, synthetic: pd.DataFrame, **more: Any) -> dict[str, float]:
    return measure_style_shift(real, synthetic, more.get("features"))["auc"]


def test_what_does_not_differ_is_not_told_apart() -> None:
    found = auc(dialogues("r", 120, [], 0), dialogues("s", 120, [], 1))
    assert found["length"] == pytest.approx(0.5, abs=0.08)
    assert found["lexicon"] == pytest.approx(0.5, abs=0.08)
    assert found["embedding"] is None


def test_length_alone_gives_away_what_is_longer() -> None:
    found = auc(dialogues("r", 60, [], 0), dialogues("s", 60, [], 1, mean=12))
    assert found["length"] > 0.95


def test_words_that_give_away_are_named_with_how_often_they_stand_where() -> None:
    real, synthetic = dialogues("r", 60, ["yeah"], 0), dialogues("s", 60, ["nobody"], 1)
    found = measure_style_shift(real, synthetic, None)
    assert found["auc"]["lexicon"] > 0.7
    assert found["real"]["words"][0] == {
        "word": "yeah", "per_1000_real": 500.0, "per_1000_synthetic": 0.0,
    }  # fmt: skip
    assert found["synthetic"]["words"][0]["word"] == "nobody"
    assert not [
        w for side in ("real", "synthetic") for w in found[side]["words"] if " " in w["word"]
    ]
    assert found["real"]["utterances"] == 240
    assert measure_style_shift(real, synthetic, None) == found


def test_a_word_that_hardly_anybody_says_is_not_shown() -> None:
    real = dialogues("r", 30, [], 0)
    real.loc[:3, "text"] = "a secret word"
    found = measure_style_shift(real, dialogues("s", 30, [], 1), None)
    assert "secret" not in [w["word"] for w in found["real"]["words"]]


def test_the_embedding_counts_where_there_is_one() -> None:
    real, synthetic = dialogues("r", 40, [], 0), dialogues("s", 40, [], 1)
    texts = pd.concat([real, synthetic])["text"].tolist()
    noise = np.random.default_rng(0).normal(size=(len(texts), 5)).astype(np.float32)
    noise[len(real) :, 0] += 4
    features = Features(noise, {text_key(text): i for i, text in enumerate(texts)})
    assert auc(real, synthetic, features=features)["embedding"] > 0.95


@pytest.mark.parametrize("n", [0, 2])
def test_too_few_dialogues_measure_nothing(n: int) -> None:
    found = measure_style_shift(dialogues("r", 20, [], 0), dialogues("s", n, [], 1), None)
    assert set(found["auc"].values()) == {None}
    assert found["real"]["words"] == []

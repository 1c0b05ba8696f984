"""What synthetic dialogues are chosen by, on made-up features: a text is its place."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest

from erc_kedro.core.errors import UserError
from erc_kedro.core.labels import OTHER, LabelSet
from erc_kedro.modelling.cross_fitting import cross_fitted_errors, error_sets, folds_of
from erc_kedro.modelling.features import Features, text_key
from erc_kedro.modelling.need import (
    coverage,
    errors,
    needs_by_seed,
    open_for_need,
    scores,
    style,
)

LABELS = LabelSet("toy", ("neutral", "fear"))
WIDTH = 4
Rows = list[tuple[str, str, np.ndarray]]


def around(centre: Sequence[float], n: int, seed: int, spread: float = 1.0) -> np.ndarray:
    place = np.zeros(WIDTH)
    place[: len(centre)] = centre
    return place + spread * np.random.default_rng(seed).normal(size=(n, WIDTH))


class Made:
    """Dialogues whose utterances have given places."""

    def __init__(self) -> None:
        self.places: dict[str, np.ndarray] = {}

    def dialogues(self, rows: Rows, source: str) -> pd.DataFrame:
        table = []
        for dialogue_id, emotion, places in rows:
            for place in places:
                turn = sum(own[0] == dialogue_id for own in table)
                text = f"{source} {dialogue_id} {turn}"
                self.places[text] = place
                table.append((dialogue_id, turn, "Ann", text, emotion, source))
        columns = ["dialogue_id", "turn", "speaker", "text", "emotion", "source"]
        return pd.DataFrame(table, columns=columns)

    @property
    def features(self) -> Features:
        matrix = np.stack(list(self.places.values())).astype(np.float32)
        return Features(matrix, {text_key(text): i for i, text in enumerate(self.places)})


def by_dialogue(table: pd.DataFrame, values: np.ndarray) -> dict[str, float]:
    return pd.Series(values).groupby(table["dialogue_id"].to_numpy()).mean().to_dict()


HERE, THERE = (-8.0, -8.0, -8.0), (8.0, 8.0, 8.0)


class TestCoverage:
    def made(self, **more: np.ndarray) -> tuple[pd.DataFrame, pd.DataFrame, Features]:
        """Fear is real here, neutral here and there; synthetic fear is in both places."""
        made = Made()
        real: Rows = [(f"f{i}", "fear", around(HERE, 4, i)) for i in range(10)]
        real += [(f"h{i}", "neutral", around(HERE, 4, 20 + i)) for i in range(10)]
        real += [(f"t{i}", "neutral", around(THERE, 4, 40 + i)) for i in range(10)]
        synthetic: Rows = [
            ("known", "fear", around(HERE, 4, 60)),
            ("new", "fear", around(THERE, 4, 61)),
            ("neutral", "neutral", around(THERE, 4, 62)),
            *((name, "fear", places) for name, places in more.items()),
        ]
        return made.dialogues(real, "real"), made.dialogues(synthetic, "synthetic"), made.features

    def test_wants_most_what_lies_where_real_ones_of_the_emotion_do_not(self) -> None:
        real, synthetic, features = self.made()
        gain = by_dialogue(synthetic, coverage(real, synthetic, features))
        assert max(gain, key=gain.__getitem__) == "new"
        assert gain["new"] > 3 * gain["known"]
        assert gain["new"] > 3 * gain["neutral"]

    def test_wants_no_second_one_at_the_same_place_and_nothing_like_nothing_else(self) -> None:
        alone = around((60.0, 60.0, 60.0), 1, 64)
        real, synthetic, features = self.made(again=around(THERE, 4, 61) + 0.05, alone=alone)
        gain = by_dialogue(synthetic, coverage(real, synthetic, features))
        first, second = sorted([gain["new"], gain["again"]], reverse=True)
        assert first > 2 * second
        assert gain["alone"] == pytest.approx(0, abs=1e-9)

    def test_is_the_same_for_every_utterance_of_a_dialogue_and_every_time(self) -> None:
        real, synthetic, features = self.made()
        gain = coverage(real, synthetic, features)
        assert pd.Series(gain).groupby(synthetic["dialogue_id"]).nunique().eq(1).all()
        assert (coverage(real, synthetic, features) == gain).all()

    def test_context_and_emotions_that_no_real_one_has_are_no_trouble(self) -> None:
        real, synthetic, features = self.made()
        real = real.assign(emotion=real["emotion"].replace("fear", OTHER))
        gain = by_dialogue(synthetic, coverage(real, synthetic, features))
        assert np.isfinite(list(gain.values())).all()
        assert min(gain["known"], gain["new"]) > gain["neutral"]


class TestErrors:
    def test_are_those_of_the_nearest_real_ones_of_the_same_emotion(self) -> None:
        made = Made()
        real = made.dialogues(
            [
                *((f"r{i}", "fear", around(HERE, 3, i)) for i in range(4)),
                *((f"w{i}", "fear", around(THERE, 3, 10 + i)) for i in range(4)),
                *((f"n{i}", "neutral", around(HERE, 3, 20 + i)) for i in range(4)),
                ("o", OTHER, around(THERE, 3, 30)),
            ],
            "real",
        )
        synthetic = made.dialogues(
            [("easy", "fear", around(HERE, 3, 40)), ("hard", "fear", around(THERE, 3, 41)),
             ("other", "neutral", around(THERE, 3, 42))],
            "synthetic",
        )  # fmt: skip
        wrong = real["dialogue_id"].str[0].map({"r": 0.1, "w": 0.9, "n": 0.3}).to_numpy()
        assert np.isnan(wrong[-1])
        found = by_dialogue(synthetic, errors(real, synthetic, made.features, wrong))
        assert found == pytest.approx({"easy": 0.1, "hard": 0.9, "other": 0.3})
        few = real[real["emotion"] != "fear"].reset_index(drop=True)
        of_few = wrong[(real["emotion"] != "fear").to_numpy()]
        found = by_dialogue(synthetic, errors(few, synthetic, made.features, of_few))
        assert (found["easy"], found["hard"]) == (1, 1)

    def test_come_from_models_that_have_not_seen_the_dialogue(self) -> None:
        made = Made()
        real = made.dialogues([(f"r{i}", "fear", around(HERE, 2, i)) for i in range(12)], "real")
        real.loc[3, "emotion"] = OTHER
        sets = error_sets(real, 7)
        asked = []

        class Recalling:
            """Is sure of the true label where it has seen the dialogue."""

            def probabilities(self, state: Any, dialogues: pd.DataFrame) -> np.ndarray:
                asked.extend(dialogues["text"])
                seen = dialogues["dialogue_id"].isin(state).to_numpy()
                return np.stack([1 - (0.25 + 0.75 * seen), 0.25 + 0.75 * seen], axis=1)

        states: Any = {n: set(own["dialogue_id"]) for n, own in sets.groupby("seed")}
        assert sorted(states) == [35, 36, 37, 38, 39]
        recalling: Any = Recalling()
        wrong = cross_fitted_errors(recalling, states, real, LABELS, 7)
        assert sorted(asked) == sorted(real["text"])
        assert np.isnan(wrong[3])
        assert np.delete(wrong, 3).tolist() == [0.75] * (len(real) - 1)
        assert set(sets["weight"]) == {1.0}

    def test_need_two_dialogues(self) -> None:
        real = Made().dialogues([("r", "fear", around(HERE, 4, 0))], "real")
        assert folds_of(real).tolist() == [0] * 4
        with pytest.raises(UserError, match="at least 2"):
            error_sets(real, 0)


class TestStyle:
    def made(self, n: int = 12) -> tuple[pd.DataFrame, pd.DataFrame, Features]:
        """What is synthetic differs along one direction; of one dialogue it does not."""
        made = Made()
        real = made.dialogues(
            [(f"r{i}", "fear", around((0, 0), 4, i)) for i in range(n + 3)], "real"
        )
        synthetic: Rows = [(f"s{i}", "fear", around((0, 3.0), 4, 90 + i)) for i in range(n - 1)]
        synthetic += [("like", "neutral", around((0, 0), 4, 99))]
        return real, made.dialogues(synthetic, "synthetic"), made.features

    def test_is_highest_for_what_looks_real(self) -> None:
        real, synthetic, features = self.made(40)
        odds = style(real, synthetic, features)
        found = by_dialogue(synthetic, odds)
        assert max(found, key=found.__getitem__) == "like"
        assert np.mean(list(found.values())) < 0
        other = real.assign(emotion="neutral"), synthetic.assign(emotion="neutral")
        assert (style(*other, features) == odds).all()

    def test_needs_dialogues_of_both_sides(self) -> None:
        real, synthetic, features = self.made(2)
        with pytest.raises(UserError, match="at least 3 of each"):
            style(real, synthetic, features)


def test_every_seed_is_scored_by_its_own_real_dialogues() -> None:
    real, synthetic, features = TestCoverage().made()
    reals = {0: real, 1: real[real["dialogue_id"].str[0] != "f"].reset_index(drop=True)}
    wrong = {seed: np.linspace(0, 1, len(own)) for seed, own in reals.items()}
    for name in ("coverage", "errors"):
        found = needs_by_seed(name, reals, synthetic, features, wrong)
        for seed, own in reals.items():
            alone = scores(name, own, synthetic, features, lambda seed=seed: wrong[seed])
            assert (found[seed] == alone).all()
        assert (found[0] != found[1]).any()
    assert scores("style", real, synthetic.iloc[:0], features, lambda: np.zeros(0)).shape == (0,)


def test_without_features_the_way_out_is_named() -> None:
    with pytest.raises(UserError, match=r"encoding\.encoder.*selection: random"):
        open_for_need({"path": None, "width": 0})

"""What of the synthetic utterances is learnt, and how much it weighs."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pydantic import ValidationError

from erc_kedro.core.errors import UserError
from erc_kedro.core.labels import OTHER, labelled
from erc_kedro.core.mixing import mix
from erc_kedro.core.recipe import Recipe
from erc_kedro.core.weighing import (
    HEAVIEST,
    confident,
    levelled,
    limited,
    no_verdicts,
    relabelled,
    relative_weights,
    with_verdicts,
    without_prior,
)
from tests.builders import EMOTIONS, LABELS, table_of_lengths

SEEDS = st.integers(0, 1000)
SHARES = st.floats(0, 1)
REAL = table_of_lengths("real", [5, 8, 3, 9] * 6)
SYNTHETIC = table_of_lengths("syn", [4, 7, 2, 9] * 8, source="synthetic", strategy="balanced")


def verdicts(seed: int = 0) -> pd.DataFrame:
    """Return made-up verdicts on `SYNTHETIC`."""
    rng, n = np.random.default_rng(seed), len(SYNTHETIC)
    return SYNTHETIC[["dialogue_id", "turn"]].assign(
        confidence=rng.random(n),
        heard=rng.choice(EMOTIONS, n),
        heard_confidence=rng.random(n),
        expected=rng.random(n),
        heard_expected=rng.random(n),
    )


def added(seed: int = 0, **options) -> pd.DataFrame:
    """Return the synthetic part of a training set."""
    recipe = Recipe(extra="synthetic", **options)
    mixed = mix(REAL, SYNTHETIC, recipe, recipe, LABELS, seed, verdicts())
    return mixed[mixed["source"] == "synthetic"].reset_index(drop=True)


class TestRatioPerEmotion:
    @given(st.dictionaries(st.sampled_from(EMOTIONS), st.floats(0, 3)), SEEDS)
    def test_limits_what_is_learnt_of_the_named_emotions_alone(self, ratios, seed):
        own = limited(SYNTHETIC, REAL, ratios, LABELS, seed)
        for emotion in EMOTIONS:
            n_real, there = ((t["emotion"] == emotion).sum() for t in (REAL, SYNTHETIC))
            wanted = there
            if emotion in ratios:
                wanted = min(there, np.floor(ratios[emotion] * n_real + 0.5))
            assert (own["emotion"] == emotion).sum() == wanted
        changed = own["emotion"] != SYNTHETIC["emotion"]
        assert set(own["emotion"][changed]) <= {OTHER}
        rest = [name for name in SYNTHETIC if name != "emotion"]
        pd.testing.assert_frame_equal(own[rest], SYNTHETIC[rest])

    @given(SHARES, SHARES, SEEDS)
    def test_a_larger_one_keeps_what_a_smaller_one_kept_whatever_else_is_named(self, a, b, seed):
        low, high = sorted([a, b])
        few = limited(SYNTHETIC, REAL, {"fear": low}, LABELS, seed)["emotion"] == "fear"
        many = limited(SYNTHETIC, REAL, {"fear": high, "joy": 0.1}, LABELS, seed)
        assert (many["emotion"] == "fear")[few].all()

    def test_dialogues_stay_whole_and_the_choice_varies_with_the_seed(self):
        one, two = (added(seed, emotion_ratios={"fear": 0.3}) for seed in (0, 1))
        assert one["text"].tolist() == SYNTHETIC["text"].tolist()
        assert (one["emotion"] != two["emotion"]).any()

    def test_null_and_an_unnamed_emotion_have_no_limit(self):
        pd.testing.assert_frame_equal(added(emotion_ratios={"fear": None}), added())

    def test_repeated_dialogues_match_what_is_learnt(self):
        reference = Recipe(extra="synthetic", emotion_ratios=dict.fromkeys(EMOTIONS[:5], 0.0))
        mixed = mix(REAL, SYNTHETIC, Recipe(extra="repeated"), reference, LABELS, 0)
        learnt = labelled(mix(REAL, SYNTHETIC, reference, reference, LABELS, 0))
        n = (learnt["source"] == "synthetic").sum()
        assert 0 < n < len(SYNTHETIC) / 2
        assert (mixed["source"] == "repeated").sum() == pytest.approx(n, abs=5)

    def test_a_name_outside_the_label_set_is_refused_with_the_nearest(self):
        with pytest.raises(UserError, match="disgust"):
            added(emotion_ratios={"digust": 1.0})


class TestVerdicts:
    @given(arrays.arrays(float, (5, 4), elements=st.floats(0.01, 1)))
    def test_without_its_prior_a_guess_at_random_is_even(self, raw):
        prior = np.array([0.6, 0.2, 0.15, 0.05])
        probabilities = raw / raw.sum(1, keepdims=True)
        found = without_prior(probabilities, prior)
        assert found.sum(1) == pytest.approx(1)
        assert without_prior(prior[None], prior) == pytest.approx(0.25)
        back = found * prior
        assert back / back.sum(1, keepdims=True) == pytest.approx(probabilities)

    def test_belong_to_their_utterance_whatever_their_order(self):
        shuffled = verdicts().sample(frac=1, random_state=0)
        found = with_verdicts(SYNTHETIC[::-1], shuffled)
        assert found["confidence"].tolist() == verdicts()["confidence"].tolist()[::-1]

    @pytest.mark.parametrize("given", [None, no_verdicts(), verdicts()[1:]])
    def test_that_are_not_there_are_an_error(self, given):
        recipe = Recipe(extra="synthetic", min_confidence=0.1)
        with pytest.raises(UserError, match="run the whole pipeline"):
            mix(REAL, SYNTHETIC, recipe, recipe, LABELS, 0, given)

    @given(SHARES)
    def test_below_the_least_confidence_an_utterance_is_context(self, least):
        heard = with_verdicts(SYNTHETIC, verdicts())
        own = confident(heard, least)
        below = heard["confidence"] < least
        assert (own["emotion"][below] == OTHER).all()
        assert (own["emotion"] == heard["emotion"])[~below].all()

    @given(st.floats(0.01, 1))
    def test_what_is_surely_heard_takes_the_planned_labels_place(self, least):
        heard = with_verdicts(SYNTHETIC, verdicts())
        own, surely = relabelled(heard, least), heard["heard_confidence"] >= least
        assert (own["emotion"] == heard["heard"])[surely].all()
        assert (own["confidence"] == heard["heard_confidence"])[surely].all()
        assert (own["expected"] == heard["heard_expected"])[surely].all()
        pd.testing.assert_frame_equal(own[~surely], heard[~surely])

    def test_a_new_label_is_judged_as_such(self):
        own = added(relabel=0.5, min_confidence=0.5)
        surely = verdicts()["heard_confidence"] >= 0.5
        assert (own["emotion"] == verdicts()["heard"])[surely].all()
        assert (own["emotion"][~surely & (verdicts()["confidence"] < 0.5)] == OTHER).all()


class TestWeights:
    @given(arrays.arrays(float, st.integers(1, 40), elements=st.floats(0, 1e6)))
    def test_have_the_mean_1_and_none_is_too_heavy_and_their_order_stays(self, raw):
        own = levelled(raw)
        assert own.mean() == pytest.approx(1)
        assert own.max() <= HEAVIEST + 1e-6
        assert (np.diff(own[np.argsort(raw, kind="stable")]) >= -1e-9).all()

    def test_that_are_not_too_heavy_stay_in_proportion(self):
        assert levelled(np.array([1.0, 2.0, 3.0])) == pytest.approx([0.5, 1, 1.5])

    @pytest.mark.parametrize("weighting", ["confidence", "doubt", "importance"])
    def test_follow_the_verdict_and_share_the_loss_weight(self, weighting):
        options = {"weighting": weighting, "loss_weight": 0.2, "min_confidence": 0.2}
        own, found = added(**options), verdicts()
        learnt = own["emotion"] != OTHER
        assert own["weight"][learnt].mean() == pytest.approx(0.2)
        assert own["weight"].max() <= 0.2 * HEAVIEST + 1e-9
        c = found["confidence"]
        wanted = {"confidence": c, "doubt": 1 - c, "importance": c / found["expected"]}[weighting]
        ranks = wanted[learnt].rank().corr(own["weight"][learnt].rank())
        assert ranks > 0.95

    def test_by_style_are_the_root_of_the_density_ratio_and_ask_no_verifier(self):
        odds = np.random.default_rng(2).normal(size=len(SYNTHETIC))
        recipe = Recipe(extra="synthetic", weighting="style", loss_weight=0.2)
        scored = SYNTHETIC[["dialogue_id", "turn"]].assign(style=odds)[::-1]
        mixed = mix(REAL, SYNTHETIC, recipe, recipe, LABELS, 0, scored)
        weights = mixed["weight"][mixed["source"] == "synthetic"].to_numpy()
        assert weights.mean() == pytest.approx(0.2)
        assert weights.max() <= 0.2 * HEAVIEST + 1e-9
        light = weights < 0.2 * HEAVIEST - 1e-9
        assert light.sum() > 0.8 * len(weights)
        ratio = weights[light] / np.exp(odds[light] / 2)
        assert ratio == pytest.approx(ratio[0])
        assert not {"style", "confidence"} & set(mixed)
        extreme = SYNTHETIC.assign(style=np.where(odds > 0, 900.0, -900.0))
        assert np.isfinite(relative_weights(extreme, "style")).all()
        with pytest.raises(UserError, match="run the whole pipeline"):
            mix(REAL, SYNTHETIC, recipe, recipe, LABELS, 0, verdicts())

    def test_of_none_are_even(self):
        assert set(relative_weights(SYNTHETIC, "none")) == {1}
        assert "confidence" not in added()


class TestRecipe:
    @pytest.mark.parametrize(
        "values",
        [
            {"min_confidence": 1.1},
            {"weighting": "more"},
            {"relabel": 0},
            {"emotion_ratios": {"fear": -1}},
        ],
    )
    def test_refuses_what_it_cannot_mean(self, values):
        with pytest.raises(ValidationError):
            Recipe(extra="synthetic", **values)

    @pytest.mark.parametrize(
        "name", ["emotion_ratios", "min_confidence", "weighting", "relabel", "adapted"]
    )
    def test_what_is_off_is_not_in_effect_and_without_synthetic_dialogues_refused(self, name):
        assert name not in Recipe(extra="synthetic").in_effect()
        on = {"emotion_ratios": {"fear": 1}, "weighting": "doubt", "adapted": True}.get(name, 0.5)
        assert name in Recipe(extra="synthetic", **{name: on}).in_effect()
        with pytest.raises(ValidationError, match=f"{name} without effect"):
            Recipe(**{name: on})

    @pytest.mark.parametrize("ratio", [None, 0.2, 0.0])
    def test_asks_an_adapted_encoder_only_where_there_are_synthetic_dialogues(self, ratio):
        assert not Recipe().asks_adaptation
        assert not Recipe(extra="synthetic", ratio=ratio).asks_adaptation
        own = Recipe(extra="synthetic", ratio=ratio, adapted=True)
        assert own.asks_adaptation == (ratio != 0)
        with pytest.raises(ValidationError, match="adapted without effect"):
            Recipe(extra="repeated", adapted=True)

    def test_asks_the_verifier_only_if_it_has_to(self):
        assert not Recipe(extra="synthetic", emotion_ratios={"fear": 1}).asks_verifier
        for own in ({"min_confidence": 0.1}, {"weighting": "doubt"}, {"relabel": 0.9}):
            assert Recipe(extra="synthetic", **own).asks_verifier
            assert not Recipe(extra="synthetic", **own).asks_expectation
        assert Recipe(extra="synthetic", weighting="importance").asks_expectation

"""Which synthetic dialogues are drawn: those needed most, and the labels stay as they are."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from erc_kedro.core.errors import UserError
from erc_kedro.core.labels import labelled
from erc_kedro.core.mixing import draw_synthetic, mix
from erc_kedro.core.recipe import Recipe
from erc_kedro.core.selection import LEEWAY, greedy_gains, in_order_of_need
from erc_kedro.core.weighing import NEEDS, no_verdicts
from tests.builders import EMOTIONS, LABELS, make_table, table_of_lengths

SEEDS = st.integers(0, 1000)
REAL = table_of_lengths("real", [5, 8, 3, 9] * 6)


def pool(n: int, seed: int = 0, skew: float = 3.0) -> pd.DataFrame:
    """Return synthetic dialogues of 4 to 12 turns, each with a preferred emotion."""
    rng, emotions = np.random.default_rng(seed), {}
    for number in range(n):
        weights = np.ones(len(EMOTIONS))
        weights[rng.integers(len(EMOTIONS))] += skew
        size = int(rng.integers(4, 13))
        emotions[f"syn-{number}"] = list(rng.choice(EMOTIONS, size, p=weights / weights.sum()))
    return make_table(emotions, source="synthetic", strategy="balanced")


def misplaced(part: pd.DataFrame, whole: pd.DataFrame) -> float:
    """Return how far label shares are apart, in total variation."""
    shares = (t["emotion"].value_counts(normalize=True) for t in (part, whole))
    return float(pd.concat(list(shares), axis=1).fillna(0).diff(axis=1).iloc[:, 1].abs().sum() / 2)


def drawn_by(table: pd.DataFrame, need: pd.Series, by: str, share: float, seed: int = 0):
    recipe = Recipe(extra="synthetic", selection=by, ratio=share)
    verdicts = table[["dialogue_id", "turn"]].assign(**{by: need})
    return draw_synthetic(table, recipe, len(table), seed, verdicts)


class TestOrder:
    @given(st.sampled_from(NEEDS), SEEDS, st.integers(1, 25), st.floats(0, 1), st.floats(0, 1))
    def test_a_larger_ratio_keeps_what_a_smaller_one_chose(self, by, seed, n, a, b):
        table, rng = pool(n, seed), np.random.default_rng(seed)
        scored = table.assign(**{by: rng.random(len(table)).round(1)})
        low, high = (share * len(table) for share in sorted([a, b]))
        few, many = (in_order_of_need(scored, by, wanted, seed) for wanted in (low, high))
        assert many[: len(few)].tolist() == few.tolist()
        assert len(set(many)) == len(many)
        sizes = table.groupby("dialogue_id", sort=False).size().to_numpy()
        assert high <= sizes[many].sum() + 1e-9
        assert len(in_order_of_need(scored, by, len(table), seed)) == n

    @pytest.mark.parametrize("by", NEEDS)
    @pytest.mark.parametrize("wanted_emotion", ["fear", "neutral"])
    def test_a_need_that_goes_with_an_emotion_does_not_wreck_the_labels(self, by, wanted_emotion):
        table = pool(300)
        need = (table["emotion"] == wanted_emotion).astype(float)
        need = need.groupby(table["dialogue_id"]).transform("mean")
        assert misplaced(table[need > need.median()], table) > 0.1  # as it would be otherwise
        for share in (0.1, 0.25, 0.5, 0.9):
            own = drawn_by(table, need, by, share)
            half = table.groupby("dialogue_id").size().mean() / 2
            assert misplaced(own, table) <= LEEWAY + half / len(own) + 1e-9
            assert len(own) == pytest.approx(share * len(table), abs=6)

    def test_of_those_that_keep_the_labels_the_needed_ones_are_drawn(self):
        table = pool(300)
        rng = np.random.default_rng(1)
        by_dialogue = {name: rng.random() for name in table["dialogue_id"].unique()}
        need = table["dialogue_id"].map(by_dialogue)
        own = drawn_by(table, need, "coverage", 0.5)
        chosen = {name for name in by_dialogue if name in set(own["dialogue_id"])}
        mean = np.mean([by_dialogue[name] for name in chosen])
        assert mean > 0.7  # 0.75 without regard to labels, 0.5 by chance

    @pytest.mark.parametrize(("by", "first"), [("errors", 1), ("style", 1), ("coverage", 0)])
    def test_errors_and_style_are_held_against_others_of_the_same_emotion(self, by, first):
        emotions = {"a": ["fear", "fear", "fear", "joy"], "b": ["joy", "joy", "joy", "fear"]}
        table = make_table(emotions, source="synthetic")
        hard_as_all_fear_is = [0.8, 0.8, 0.8, 0.05]
        hard_for_what_it_is = [0.2, 0.2, 0.2, 1.0]
        scored = table.assign(**{by: hard_as_all_fear_is + hard_for_what_it_is})
        assert in_order_of_need(scored, by, 1, 0).tolist() == [first]

    def test_the_seed_decides_between_equal_needs_alone(self):
        table = pool(40, skew=0.0)
        even = table.assign(coverage=0.5)
        orders = {tuple(in_order_of_need(even, "coverage", 100, seed)) for seed in range(5)}
        assert len(orders) == 5
        different = table.assign(coverage=table.groupby("dialogue_id", sort=False).ngroup() / 40)
        orders = {tuple(in_order_of_need(different, "coverage", 100, seed)) for seed in range(5)}
        assert len(orders) == 1


class TestGreedy:
    @given(SEEDS, st.integers(1, 12), st.integers(1, 9))
    def test_is_that_of_finding_every_gain_anew(self, seed, n, points):
        rng = np.random.default_rng(seed)
        covers, covered = rng.random((n, points)), rng.random(points)
        weights, sizes = rng.random(points), rng.integers(1, 9, n).astype(float)
        owners = rng.integers(-1, n, points)
        found = greedy_gains(covers, covered, weights, sizes, owners)
        left, cover = set(range(n)), covered.copy()
        before = np.inf
        while left:
            gains = {i: (np.maximum(covers[i] - cover, 0) * weights).sum() / sizes[i] for i in left}
            best = max(left, key=lambda i: (gains[i], -i))
            assert found[best] == pytest.approx(gains[best], abs=1e-12)
            assert found[best] <= before
            before = found[best]
            cover = np.where(owners == best, np.inf, np.maximum(cover, covers[best]))
            left.remove(best)

    def test_a_second_one_of_a_kind_adds_nothing(self):
        covers = np.array([[0.9, 0.0], [0.9, 0.0], [0.0, 0.5]])
        gains = greedy_gains(covers, np.zeros(2), np.ones(2), np.ones(3), np.full(2, -1))
        assert sorted(gains.round(6).tolist()) == [0, 0.5, 0.9]


class TestRecipe:
    def test_random_is_what_it_was_whatever_the_verdicts_say(self):
        table = pool(30)
        recipe = Recipe(extra="synthetic", ratio=0.5)
        scored = table[["dialogue_id", "turn"]].assign(coverage=1.0, errors=1.0, style=1.0)
        own = draw_synthetic(table, recipe, len(table), 3, scored)
        pd.testing.assert_frame_equal(own, draw_synthetic(table, recipe, len(table), 3))
        lengths = table.groupby("dialogue_id", sort=False).size()
        order = np.random.default_rng([3, 2]).permutation(30)  # the order of all earlier results
        reached = np.concatenate([[0], np.cumsum(lengths.to_numpy()[order])])
        n = int(np.abs(reached - len(table) / 2).argmin())
        assert set(own["dialogue_id"]) == set(lengths.index[order[:n]])

    @pytest.mark.parametrize("by", NEEDS)
    def test_what_is_not_scored_is_refused_and_the_way_out_named(self, by):
        recipe = Recipe(extra="synthetic", selection=by, ratio=0.5)
        table = pool(10)
        partly = table[["dialogue_id", "turn"]].assign(**{by: 1.0})[1:]
        for verdicts in (None, no_verdicts(), partly):
            with pytest.raises(UserError, match="run the whole pipeline"):
                draw_synthetic(table, recipe, len(table), 0, verdicts)
        draw_synthetic(table, recipe.model_copy(update={"ratio": 0.0}), len(table), 0)
        draw_synthetic(table, recipe.model_copy(update={"ratio": None}), len(table), 0)

    def test_asks_only_for_what_decides_something(self):
        def needs(**options):
            return Recipe(extra="synthetic", **options).needs

        assert needs(ratio=0.5) == needs(selection="errors") == frozenset()
        assert needs(selection="errors", ratio=0) == frozenset()
        assert needs(selection="errors", ratio=0.5) == {"errors"}
        assert needs(selection="coverage", ratio=0.5, weighting="style") == {"coverage", "style"}
        by_style = Recipe(extra="synthetic", weighting="style")
        assert by_style.asks and not by_style.asks_verifier and by_style.needs == {"style"}
        assert not Recipe(extra="synthetic", ratio=0.5).asks
        assert Recipe(extra="synthetic", relabel=0.9).asks

    def test_off_it_is_not_in_effect_and_without_synthetic_dialogues_refused(self):
        assert "selection" not in Recipe(extra="synthetic").in_effect()
        assert Recipe(extra="synthetic", selection="style").in_effect()["selection"] == "style"
        with pytest.raises(ValidationError, match="selection without effect"):
            Recipe(selection="style")
        with pytest.raises(ValidationError):
            Recipe(extra="synthetic", selection="best")

    def test_repeated_dialogues_match_what_a_selection_adds(self):
        table = pool(60)
        scored = table[["dialogue_id", "turn"]].assign(
            errors=np.random.default_rng(0).random(len(table))
        )
        reference = Recipe(extra="synthetic", selection="errors", ratio=0.5)
        own = (table, reference, LABELS, 0, scored)
        added = mix(REAL, own[0], reference, *own[1:])
        copies = mix(REAL, own[0], Recipe(extra="repeated"), *own[1:])
        n_added, n_copies = (len(labelled(t)) - len(REAL) for t in (added, copies))
        assert n_added > 50
        assert abs(n_added - n_copies) <= 5  # half of the longest real dialogue
        assert not set(NEEDS) & set(added)

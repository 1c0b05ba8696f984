import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from erc_kedro.core.errors import UserError
from erc_kedro.core.mixing import Recipe, draw_real, draw_synthetic, mix, repeat_rare
from tests.builders import LABELS, make_table, table_of_lengths

LENGTHS = st.lists(st.integers(1, 12), min_size=1, max_size=20)
SEEDS = st.integers(0, 10_000)
SHARES = st.floats(0, 1)
KEY = ["dialogue_id", "turn", "speaker", "text", "emotion"]

REAL = table_of_lengths("real", [3, 5, 8, 2, 12, 4, 6, 1] * 5)
SYNTHETIC = pd.concat(
    [
        table_of_lengths(name, [4, 7, 2, 9, 5] * 8, source="synthetic", strategy=name)
        for name in ("balanced", "faithful")
    ],
    ignore_index=True,
)
AUGMENTED = Recipe(extra="synthetic", ratio=0.5)


def synthetic_table(lengths):
    return table_of_lengths("syn", lengths, source="synthetic", strategy="balanced")


def is_whole(part, whole):
    """Say whether a table holds whole dialogues of another, row by row in its order."""
    expected = whole[whole["dialogue_id"].isin(part["dialogue_id"])]
    return part[KEY].reset_index(drop=True).equals(expected[KEY].reset_index(drop=True))


# draw_real


@given(LENGTHS, st.floats(0.01, 1), SEEDS)
def test_the_real_part_is_whole_dialogues_of_the_asked_share(lengths, fraction, seed):
    train = table_of_lengths("real", lengths)
    drawn = draw_real(train, fraction, seed)
    assert is_whole(drawn, train)
    assert drawn["dialogue_id"].nunique() == max(1, round(fraction * len(lengths)))
    assert set(drawn["seed"]) == {seed}
    assert drawn.index.tolist() == list(range(len(drawn)))
    pd.testing.assert_frame_equal(drawn, draw_real(train, fraction, seed))


def test_the_real_part_is_drawn_anew_per_seed():
    draws = {tuple(draw_real(REAL, 0.5, seed)["dialogue_id"].unique()) for seed in range(10)}
    assert len(draws) == 10


def test_over_the_seeds_every_real_dialogue_is_drawn_about_equally_often():
    n, seeds = REAL["dialogue_id"].nunique(), 400
    counts = pd.concat(
        draw_real(REAL, 0.25, seed).drop_duplicates("dialogue_id") for seed in range(seeds)
    )["dialogue_id"].value_counts()
    assert len(counts) == n
    assert counts.min() > 60 and counts.max() < 140  # 100 expected, standard deviation 8.7


def test_all_of_real_train_is_the_same_for_every_seed():
    for seed in (0, 1):
        pd.testing.assert_frame_equal(draw_real(REAL, 1.0, seed)[list(REAL)], REAL)


# draw_synthetic


@given(LENGTHS, LENGTHS, SHARES, SEEDS)
def test_synthetic_dialogues_are_whole_and_as_many_as_the_ratio_asks(real, pool, share, seed):
    synthetic, n_real = synthetic_table(pool), sum(real)
    wanted = share * len(synthetic)
    recipe = Recipe(extra="synthetic", ratio=wanted / n_real)
    drawn = draw_synthetic(synthetic, recipe, n_real, seed)
    assert is_whole(drawn, synthetic)
    assert abs(len(drawn) - wanted) <= max(pool) / 2 + 1e-6
    pd.testing.assert_frame_equal(drawn, draw_synthetic(synthetic, recipe, n_real, seed))


@given(LENGTHS, LENGTHS, SHARES.filter(bool), SEEDS)
def test_an_amount_is_that_share_of_all_beside_any_number_of_real_ones(real, pool, share, seed):
    synthetic = synthetic_table(pool)
    recipe = Recipe(extra="synthetic", amount=share)
    drawn = draw_synthetic(synthetic, recipe, sum(real), seed)
    assert is_whole(drawn, synthetic)
    assert abs(len(drawn) - share * len(synthetic)) <= max(pool) / 2 + 1e-6
    pd.testing.assert_frame_equal(drawn, draw_synthetic(synthetic, recipe, 1, seed))
    by_ratio = Recipe(extra="synthetic", amount=share, ratio=0.0)
    assert draw_synthetic(synthetic, by_ratio, sum(real), seed).empty


@given(LENGTHS, LENGTHS, st.floats(1.001, 50), SEEDS)
def test_a_ratio_beyond_the_pool_names_the_largest_that_works(real, pool, factor, seed):
    synthetic, n_real = synthetic_table(pool), sum(real)
    beyond = Recipe(extra="synthetic", ratio=factor * (len(synthetic) + 1) / n_real)
    with pytest.raises(UserError) as caught:
        draw_synthetic(synthetic, beyond, n_real, seed)
    found = re.search(r"a ratio of at most ([\d.e+-]+)", str(caught.value))
    assert found is not None
    named = float(found.group(1))
    assert 0 <= len(synthetic) / n_real - named <= 0.0011
    drawn = draw_synthetic(synthetic, Recipe(extra="synthetic", ratio=named), n_real, seed)
    assert len(synthetic) - len(drawn) <= max(pool) / 2 + 0.0011 * n_real


def test_the_whole_pool_can_be_asked_for_by_ratio_or_by_none():
    pool = SYNTHETIC[SYNTHETIC["strategy"] == "balanced"]
    for ratio in (len(pool) / len(REAL), None):
        drawn = draw_synthetic(SYNTHETIC, Recipe(extra="synthetic", ratio=ratio), len(REAL), 3)
        assert len(drawn) == len(pool)


def test_a_strategy_takes_its_own_dialogues_and_all_takes_every_one():
    for strategy, expected in [("faithful", {"faithful"}), ("all", {"balanced", "faithful"})]:
        drawn = draw_synthetic(
            SYNTHETIC, Recipe(extra="synthetic", strategy=strategy, ratio=1), len(REAL), 0
        )
        assert set(drawn["strategy"]) == expected


def test_the_synthetic_part_is_drawn_anew_per_seed():
    draws = {
        tuple(draw_synthetic(SYNTHETIC, AUGMENTED, len(REAL), seed)["dialogue_id"].unique())
        for seed in range(10)
    }
    assert len(draws) == 10


def test_a_strategy_without_dialogues_is_refused_and_the_others_are_named():
    with pytest.raises(UserError, match="balanced, faithful"):
        draw_synthetic(SYNTHETIC, Recipe(extra="synthetic", strategy="mine", ratio=0.1), 10, 0)
    with pytest.raises(UserError, match="no accepted dialogue"):
        draw_synthetic(SYNTHETIC.iloc[:0], Recipe(extra="synthetic", ratio=None), 10, 0)


def test_ratio_0_needs_no_synthetic_dialogue():
    assert draw_synthetic(SYNTHETIC.iloc[:0], Recipe(extra="synthetic", ratio=0), 10, 0).empty
    assert draw_synthetic(SYNTHETIC, Recipe(extra="synthetic", ratio=0), 10, 0).empty


# repeat_rare


@given(LENGTHS, st.integers(0, 80), SEEDS)
def test_repeated_dialogues_are_whole_copies_of_about_the_asked_size(lengths, wanted, seed):
    real = table_of_lengths("real", lengths)
    copies = repeat_rare(real, wanted, LABELS, seed)
    assert abs(len(copies) - wanted) <= max(lengths) / 2
    assert not copies.duplicated(["dialogue_id", "turn"]).any()
    for name, rows in copies.groupby("dialogue_id"):
        original, number = name.split("#")
        assert int(number) >= 2
        expected = real[real["dialogue_id"] == original].drop(columns="dialogue_id")
        got = rows.drop(columns="dialogue_id")
        assert got.reset_index(drop=True).equals(expected.reset_index(drop=True))
    pd.testing.assert_frame_equal(copies, repeat_rare(real, wanted, LABELS, seed))


def test_copies_of_a_dialogue_are_numbered_from_2_without_gaps():
    copies = repeat_rare(table_of_lengths("real", [4]), 12, LABELS, 0)
    assert copies["dialogue_id"].unique().tolist() == ["real-0#2", "real-0#3", "real-0#4"]


def test_a_dialogue_is_repeated_in_proportion_to_the_rarity_of_its_emotions():
    real = make_table(
        {f"n{i}": ["neutral"] * 10 for i in range(90)} | {f"f{i}": ["fear"] * 10 for i in range(10)}
    )
    copies = repeat_rare(real, 20_000, LABELS, 0)
    # 10 dialogues of weight 1 / 0.1 and 90 of weight 1 / 0.9: half of the copies each
    assert (copies["emotion"] == "fear").mean() == pytest.approx(0.5, abs=0.05)


def test_repetition_is_drawn_anew_per_seed():
    draws = {tuple(repeat_rare(REAL, 60, LABELS, seed)["dialogue_id"]) for seed in range(10)}
    assert len(draws) == 10


# mix


@st.composite
def recipes(draw):
    extra = draw(st.sampled_from(["none", "synthetic", "repeated"]))
    if extra != "synthetic":
        return Recipe(real=draw(st.booleans()), extra=extra)
    return Recipe(
        real=draw(st.booleans()),
        extra=extra,
        strategy=draw(st.sampled_from(["balanced", "faithful", "all"])),
        ratio=draw(st.none() | st.floats(0.1, 1)),
        loss_weight=draw(st.floats(0.1, 1)),
    )


@given(recipes(), SEEDS)
def test_any_recipe_mixes_whole_dialogues_each_once_and_the_same_for_a_seed(recipe, seed):
    if not recipe.real and recipe.extra == "none":
        with pytest.raises(UserError, match="nothing is learnt"):
            mix(REAL, SYNTHETIC, recipe, AUGMENTED, LABELS, seed)
        return
    mixed = mix(REAL, SYNTHETIC, recipe, AUGMENTED, LABELS, seed)
    assert not mixed.duplicated(["dialogue_id", "turn"]).any()
    assert set(mixed["seed"]) == {seed}
    assert mixed.index.tolist() == list(range(len(mixed)))
    assert mixed[[*KEY, "source", "weight"]].notna().all().all()
    everything = pd.concat([REAL, SYNTHETIC]).groupby("dialogue_id").size()
    for name, rows in mixed.groupby("dialogue_id", sort=False):
        assert len(rows) == everything[name.split("#")[0]]
        assert rows["turn"].tolist() == list(range(len(rows)))
        assert np.ptp(rows.index) == len(rows) - 1  # stands together
    pd.testing.assert_frame_equal(mixed, mix(REAL, SYNTHETIC, recipe, AUGMENTED, LABELS, seed))


def test_only_added_utterances_weigh_less_and_repeated_ones_as_augmented_ones():
    recipe = Recipe(extra="synthetic", ratio=0.5, loss_weight=0.25)
    mixed = mix(REAL, SYNTHETIC, recipe, AUGMENTED, LABELS, 0)
    weights = mixed.groupby("source")["weight"].agg(["min", "max"])
    assert weights.loc["real"].tolist() == [1, 1]
    assert weights.loc["synthetic"].tolist() == [0.25, 0.25]
    mixed = mix(REAL, SYNTHETIC, Recipe(extra="repeated"), recipe, LABELS, 0)
    assert mixed.groupby("source")["weight"].unique().to_dict() == {"real": [1], "repeated": [0.25]}
    assert (mixed["source"].eq("repeated") == mixed["dialogue_id"].str.contains("#")).all()


def test_real_only_is_the_real_part_and_synthetic_only_has_nothing_of_it():
    real_only = mix(REAL, SYNTHETIC, Recipe(), AUGMENTED, LABELS, 0)
    pd.testing.assert_frame_equal(real_only[list(REAL)], REAL)
    alone = Recipe(real=False, extra="synthetic", strategy="all")
    synthetic_only = mix(REAL, SYNTHETIC, alone, AUGMENTED, LABELS, 0)
    pd.testing.assert_frame_equal(synthetic_only[list(SYNTHETIC)], SYNTHETIC)


@given(st.floats(0.05, 1), SEEDS)
def test_oversampling_adds_about_as_many_utterances_as_the_augmented_arm(ratio, seed):
    augmented = Recipe(extra="synthetic", ratio=ratio)
    oversampled = Recipe(extra="repeated")
    sizes = [
        len(mix(REAL, SYNTHETIC, recipe, augmented, LABELS, seed))
        for recipe in (augmented, oversampled)
    ]
    assert abs(sizes[0] - sizes[1]) <= 6  # half of the longest real dialogue


def test_the_augmented_and_synthetic_only_arms_of_a_seed_share_their_synthetic_dialogues():
    augmented = mix(REAL, SYNTHETIC, AUGMENTED, AUGMENTED, LABELS, 5)
    alone = mix(REAL, SYNTHETIC, AUGMENTED.model_copy(update={"real": False}), AUGMENTED, LABELS, 5)
    synthetic = augmented[augmented["source"] == "synthetic"].reset_index(drop=True)
    pd.testing.assert_frame_equal(synthetic[list(alone)], alone)


def test_an_empty_synthetic_draw_alone_is_refused():
    recipe = Recipe(real=False, extra="synthetic", ratio=0)
    with pytest.raises(UserError, match="nothing is learnt"):
        mix(REAL, SYNTHETIC, recipe, AUGMENTED, LABELS, 0)


def test_an_addition_of_which_nothing_is_learnt_is_refused():
    silent = Recipe(
        real=False, extra="synthetic", emotion_ratios=dict.fromkeys(LABELS.emotions, 0.0)
    )
    with pytest.raises(UserError, match="nothing is learnt"):
        mix(REAL, SYNTHETIC, silent, AUGMENTED, LABELS, 0)


@pytest.mark.parametrize(
    "values",
    [
        {"ratio": -0.1},
        {"amount": 0},
        {"amount": 1.1},
        {"loss_weight": 0},
        {"loss_weight": 1.1},
        {"extra": "more"},
        {"raito": 1},
    ],
)
def test_a_recipe_refuses_what_it_cannot_mean(values):
    with pytest.raises(ValidationError):
        Recipe(**values)


@pytest.mark.parametrize("name", ["strategy", "ratio", "loss_weight"])
@pytest.mark.parametrize("extra", ["none", "repeated"])
def test_a_field_without_effect_is_refused_and_not_among_those_in_effect(extra, name):
    with pytest.raises(ValidationError, match=f"{name} without effect"):
        Recipe(extra=extra, **{name: {"strategy": "all"}.get(name, 0.5)})
    assert name not in Recipe(extra=extra).in_effect()
    assert name in Recipe(extra="synthetic").in_effect()

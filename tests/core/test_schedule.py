"""The order in which training sees its dialogues, as mixing writes it down."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from erc_kedro.core.difficulty import difficulties
from erc_kedro.core.errors import UserError
from erc_kedro.core.labels import OTHER, LabelSet
from erc_kedro.core.mixing import mix
from erc_kedro.core.recipe import Recipe
from erc_kedro.core.schedule import ENTERS, LEAVES, schedule_columns
from tests.builders import EMOTIONS, LABELS, sticky_table

REAL = sticky_table(40)
SYNTHETIC = sticky_table(30, seed=1, stay=0.2).assign(source="synthetic", strategy="balanced")
SYNTHETIC["dialogue_id"] = "synthetic-" + SYNTHETIC["dialogue_id"]
AUGMENTED = Recipe(extra="synthetic")
ORDERS = ("synthetic_first", "easy_first")
SHARES = st.floats(0.01, 0.99)


def mixed(recipe: Recipe, seed: int = 0) -> pd.DataFrame:
    return mix(REAL, SYNTHETIC, recipe, AUGMENTED, LABELS, seed)


def times(table: pd.DataFrame) -> pd.DataFrame:
    """Return when each dialogue comes in and goes out, and its source."""
    found = table.groupby("dialogue_id")[[ENTERS, LEAVES, "source"]]
    assert (found.nunique() == 1).all(axis=None)  # whole dialogues
    return found.first()


@given(SHARES, st.integers(0, 50))
def test_synthetic_dialogues_first_then_real_ones_alone(share: float, seed: int) -> None:
    own = Recipe(extra="synthetic", ratio=0.5, schedule="synthetic_first", first_share=share)
    found = times(mixed(own, seed))
    synthetic = found["source"] == "synthetic"
    assert 0 < synthetic.sum() < len(found)
    assert found[synthetic][[ENTERS, LEAVES]].drop_duplicates().values.tolist() == [[0, share]]
    assert found[~synthetic][[ENTERS, LEAVES]].drop_duplicates().values.tolist() == [[share, 1]]


@pytest.mark.parametrize("extra", ["none", "synthetic", "repeated"])
def test_the_easier_half_first_then_all(extra: str) -> None:
    table = mixed(Recipe(extra=extra, schedule="easy_first", first_share=0.25))
    found = times(table)
    assert (found[LEAVES] == 1).all()
    assert set(found[ENTERS]) == {0, 0.25}
    hard = difficulties(table, LABELS).reindex(found.index)
    easy = found[ENTERS] == 0
    assert easy.sum() == (len(found) + 1) // 2
    assert hard[easy].max() <= hard[~easy].min() + 1e-9


@pytest.mark.parametrize("schedule", ORDERS)
def test_a_schedule_adds_two_columns_and_changes_nothing_else(schedule: str) -> None:
    plain, own = mixed(AUGMENTED), mixed(Recipe(extra="synthetic", schedule=schedule))
    assert schedule_columns(plain) == []
    assert schedule_columns(own) == [ENTERS, LEAVES]
    pd.testing.assert_frame_equal(own.drop(columns=[ENTERS, LEAVES]), plain)


def test_a_schedule_of_which_a_part_is_empty_is_none() -> None:
    none = Recipe(extra="synthetic", ratio=0, schedule="synthetic_first")
    assert schedule_columns(mixed(none)) == []
    unlearnt = dict.fromkeys(EMOTIONS, 0.0)  # all of it is context
    context = Recipe(extra="synthetic", emotion_ratios=unlearnt, schedule="synthetic_first")
    assert schedule_columns(mixed(context)) == []
    single = REAL[REAL["dialogue_id"] == "train-0"]
    easy = Recipe(schedule="easy_first")
    assert schedule_columns(mix(single, SYNTHETIC, easy, AUGMENTED, LABELS, 0)) == []


def test_both_parts_hold_something_to_learn_even_if_most_dialogues_do_not() -> None:
    ids = REAL["dialogue_id"].unique()
    emotions = REAL["emotion"].where(REAL["dialogue_id"].isin(ids[:6]), OTHER)
    few = REAL.assign(emotion=emotions)
    own = mix(few, SYNTHETIC, Recipe(schedule="easy_first"), AUGMENTED, LABELS, 0)
    learnt = own[own["emotion"] != OTHER].drop_duplicates("dialogue_id")
    assert (learnt[ENTERS] == 0).sum() == 3
    assert (own[ENTERS] == 0).sum() < len(own)


def test_an_emotion_without_a_place_matters_to_easy_first_alone() -> None:
    labels = LabelSet("toy", (*EMOTIONS[:-1], "dread"))
    real = REAL.assign(emotion=REAL["emotion"].replace("fear", "dread"))
    added = SYNTHETIC.assign(emotion=SYNTHETIC["emotion"].replace("fear", "dread"))
    for schedule in ("together", "synthetic_first"):
        mix(real, added, Recipe(extra="synthetic", schedule=schedule), AUGMENTED, labels, 0)
    with pytest.raises(UserError, match="dread"):
        mix(real, added, Recipe(schedule="easy_first"), AUGMENTED, labels, 0)


class TestRecipe:
    @pytest.mark.parametrize(
        "values",
        [
            {"schedule": "synthetic_first"},
            {"schedule": "synthetic_first", "extra": "repeated"},
            {"schedule": "synthetic_first", "extra": "synthetic", "real": False},
        ],
    )
    def test_synthetic_first_needs_both(self, values) -> None:
        with pytest.raises(ValidationError, match="needs extra: synthetic, real: true; extra is"):
            Recipe(**values)

    @pytest.mark.parametrize(
        "values", [{"schedule": "hard_first"}, {"first_share": 0}, {"first_share": 1}]
    )
    def test_refuses_what_it_cannot_mean(self, values) -> None:
        with pytest.raises(ValidationError):
            Recipe(**values)

    @pytest.mark.parametrize("extra", ["none", "synthetic"])
    def test_names_its_schedule_only_if_it_has_one(self, extra: str) -> None:
        assert not {"schedule", "first_share"} & Recipe(extra=extra).in_effect().keys()
        assert "first_share" not in Recipe(extra=extra, first_share=0.5).in_effect()
        own = Recipe(extra=extra, schedule="easy_first").in_effect()
        assert own["schedule"] == "easy_first"
        assert own["first_share"] == 0.3  # the default decides, so it is told
        assert Recipe(**own).in_effect() == own

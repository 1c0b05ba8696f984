"""What a study asks for by its parameters, and what is refused of it beforehand."""

from typing import Any

import pandas as pd
import pytest
import yaml
from pydantic import ValidationError

from erc_kedro.core.errors import UserError
from erc_kedro.core.recipe import Recipe
from erc_kedro.core.study import CellGroup
from erc_kedro.modelling.cell_digest import cells_asked
from erc_kedro.pipelines.study.checks import check_asked, check_groups
from erc_kedro.pipelines.study.parameters import StudyParameters, TreatmentParameters
from erc_kedro.pipelines.study.plan import by_arm, plan
from tests.builders import LABELS, table_of_lengths
from tests.conftest import ROOT

CONF = yaml.safe_load((ROOT / "conf/base/parameters_study.yml").read_text("utf-8"))["meld"]["study"]
TRAIN = table_of_lengths("real", [5] * 60)
SYNTHETIC = pd.concat(
    [
        table_of_lengths("b", [4] * 30, source="synthetic").assign(strategy="balanced"),
        table_of_lengths("f", [3] * 10, source="synthetic").assign(strategy="faithful"),
    ],
    ignore_index=True,
)
AUGMENTED = Recipe(extra="synthetic", amount=0.5, loss_weight=0.1, adapted=True)


def study(**changes: Any) -> StudyParameters:
    return StudyParameters(**{**CONF, **changes})


def groups_of(own: StudyParameters, augmented: Recipe = AUGMENTED) -> list[CellGroup]:
    alone = Recipe(real=False, extra="synthetic")
    recipes = by_arm(Recipe(), Recipe(extra="repeated"), augmented, alone)
    return plan(own, recipes, TRAIN, LABELS)


def part(groups: list[CellGroup], name: str) -> dict[str, CellGroup]:
    return {own.name: own for own in groups if own.part == name and own.fraction in (0.1, 1.0)}


def ablation(**changes: Any) -> dict[str, Any]:
    return {**CONF["ablation"], "changes": changes}


def with_treatment(**changes: Any) -> dict[str, Any]:
    own = {"recipe": "augmented", "changes": changes}
    confirmatory = {**CONF["confirmatory"], "treatment": "own"}
    return {"treatments": {**CONF["treatments"], "own": own}, "confirmatory": confirmatory}


def checked(own: StudyParameters, synthetic: pd.DataFrame = SYNTHETIC, **kwargs: Any) -> None:
    check_groups(groups_of(own, **kwargs), "contextual", TRAIN, synthetic, LABELS)


def test_the_study_that_ships_can_be_trained() -> None:
    checked(study())


def test_the_curves_ask_for_shares_of_all_dialogues_whatever_the_recipe_asks_for() -> None:
    for recipe in (AUGMENTED, AUGMENTED.model_copy(update={"ratio": 0.1})):
        curves = part(groups_of(study(), recipe), "curves")
        for share in (0.25, 0.5, 1.0):
            own = curves[f"{share:g}"].treatment.recipe
            assert (own.ratio, own.amount, own.loss_weight) == (None, share, 0.1)


@pytest.mark.parametrize(
    ("base", "change", "amount", "ratio"),
    [
        ({"ratio": 0.3}, {"amount": 0.25}, 0.25, None),
        ({"amount": 0.25}, {"ratio": 0.3}, None, 0.3),
        ({}, {"amount": 0.25}, 0.25, None),
        ({"ratio": 0.3}, {"loss_weight": 0.5}, None, 0.3),
    ],
)
def test_what_a_change_says_of_how_many_takes_the_place_of_what_its_treatment_says(
    base: dict[str, Any], change: dict[str, Any], amount: float | None, ratio: float | None
) -> None:
    own = study(**with_treatment(**base), ablation=ablation(changed=change))
    found = part(groups_of(own), "ablation")["changed"].treatment.recipe.in_effect()
    assert (found.get("amount"), found["ratio"]) == (amount, ratio)


def test_a_treatment_says_how_many_in_one_way() -> None:
    with pytest.raises(ValidationError, match="leave one out"):
        TreatmentParameters(recipe="augmented", changes={"amount": 0.5, "ratio": 0.3})


def test_a_change_that_changes_nothing_is_left_out() -> None:
    own = study(ablation=ablation(same={"amount": 0.5}, other={"amount": 0.25}))
    assert part(groups_of(own), "ablation").keys() == {"augmented", "other"}


def test_ratios_of_emotions_can_be_changed() -> None:
    base = AUGMENTED.model_copy(update={"emotion_ratios": {"joy": 0.5}})
    own = study(ablation=ablation(fearless={"emotion_ratios": {"fear": 0.0}}))
    found = part(groups_of(own, base), "ablation")["fearless"].treatment.recipe
    assert found.emotion_ratios == {"joy": 0.5, "fear": 0.0}
    checked(own)
    with pytest.raises(ValidationError, match="at least 0"):
        study(ablation=ablation(own={"emotion_ratios": {"fear": -1}}))
    with pytest.raises(UserError, match=r"(?s)study: ablation 0\.1 own.*fear"):
        checked(study(ablation=ablation(own={"emotion_ratios": {"faer": 1.0}})))


def test_strategies_that_are_not_there_are_named_before_anything_is_trained() -> None:
    few = SYNTHETIC[SYNTHETIC["strategy"] == "balanced"]
    with pytest.raises(UserError, match=r"(?s)ablation 0\.1 faithful.*balanced"):
        checked(study(), few)
    kept = {k: v for k, v in CONF["ablation"]["changes"].items() if k != "faithful"}
    with pytest.raises(UserError, match="transfer 1 faithful"):
        checked(study(ablation=ablation(**kept)), few)
    none = {**CONF["transfer"], "strategies": ["balanced", "all"]}
    checked(study(ablation=ablation(**kept), transfer=none), few)


def test_a_ratio_beyond_the_dialogues_is_refused_where_it_is() -> None:
    n = int((SYNTHETIC["strategy"] == "balanced").sum())
    fits = n / len(TRAIN)
    checked(study(**with_treatment(ratio=fits), ablation=ablation()))
    with pytest.raises(UserError, match=r"(?s)confirmatory 1 own.*at most 0\.4: 120"):
        checked(study(**with_treatment(ratio=fits + 0.01), ablation=ablation()))


def test_a_fraction_that_leaves_nothing_out_is_refused() -> None:
    own = {**CONF["confirmatory"], "real_fractions": [0.1, 0.995]}
    with pytest.raises(UserError, match="leaves no dialogue out"):
        groups_of(study(confirmatory=own))


@pytest.mark.parametrize(
    "changes",
    [
        {"first_seed": 5},
        {"curves": {**CONF["curves"], "n_seeds": 3}},
        {"curves": {**CONF["curves"], "real_fractions": [0.2]}},
        with_treatment(loss_weight=0.9),
    ],
)
def test_cells_of_other_parameters_are_not_reported(changes: dict[str, Any]) -> None:
    trained = groups_of(study())
    manifest = {"groups": [{"key": own.key, "asked": cells_asked(own)} for own in trained]}
    check_asked(trained, manifest)
    check_asked(trained[3:], manifest)  # parts that were taken out since
    with pytest.raises(UserError, match="not those that the study's parameters ask for"):
        check_asked(groups_of(study(**changes)), manifest)

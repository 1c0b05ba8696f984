"""Which names can be searched, and what settings come to."""

from typing import Any

import pandas as pd
import pytest
import yaml

from erc_kedro.core.errors import UserError
from erc_kedro.core.labels import LabelSet
from erc_kedro.core.mixing import Recipe
from erc_kedro.core.tuning import Dimension
from erc_kedro.modelling.recipe_space import RecipeSpace, check_space, searchable
from erc_kedro.modelling.settings import ClassifierSettings
from tests.builders import EMOTIONS, table_of_lengths
from tests.conftest import ROOT

TRAINING = ClassifierSettings(
    **yaml.safe_load((ROOT / "conf/base/parameters_training.yml").read_text())["meld"]["training"]
)
RATIO = Dimension(kind="float", low=0.0)
STRATEGY = Dimension(kind="categorical", choices=("balanced", "faithful", "all"))
TRAIN = table_of_lengths("real", [5] * 20)
SYNTHETIC = pd.concat(
    [
        table_of_lengths("b", [4] * 10, source="synthetic").assign(strategy="balanced"),
        table_of_lengths("f", [3] * 5, source="synthetic").assign(strategy="faithful"),
    ],
    ignore_index=True,
)
LABELS = LabelSet("toy", EMOTIONS)
DEFAULT = Recipe(extra="synthetic", strategy="balanced", loss_weight=0.5)


def number(low: float, high: float, kind: str = "float") -> Dimension:
    return Dimension(kind=kind, low=low, high=high)  # type: ignore[arg-type]


def choice(*choices: Any) -> Dimension:
    return Dimension(kind="categorical", choices=choices)


def made(reference: Recipe = DEFAULT, **space: Dimension) -> RecipeSpace:
    named = {name.replace("__", "."): own for name, own in ({"ratio": RATIO} | space).items()}
    return RecipeSpace.made_from(named, reference, TRAINING, TRAIN, SYNTHETIC, LABELS)


def test_everything_of_loss_and_classifier_can_be_searched_and_nothing_else() -> None:
    names = searchable()
    assert "training.objective.prior_correction" in names
    assert "training.contextual.learning_rate" in names
    assert "training.finetuned.dropout" in names
    assert not {"training.device", "training.classifier", "real", "extra"} & names.keys()
    assert not [name for name in searchable("contextual") if "finetuned" in name]


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("raito", "ratio"),
        ("prior_correction", "training.objective.prior_correction"),
        ("training.contextual.learningrate", "training.contextual.learning_rate"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(name: str, nearest: str) -> None:
    with pytest.raises(UserError, match=nearest):
        check_space({"ratio": RATIO, name: number(0, 1)})


@pytest.mark.parametrize(
    ("name", "dimension"),
    [
        ("loss_weight", number(0, 1)),  # above 0
        ("loss_weight", number(0.5, 2)),
        ("training.objective.prior_correction", number(0, 1)),
        ("training.contextual.input_dropout", number(0.1, 1.0)),  # below 1
        ("training.contextual.kernel", number(3, 5, "int")),  # odd, and 4 would be tried
        ("training.contextual.width", number(16, 64)),  # whole
        ("training.finetuned.precision", choice("float32", "float16")),
        ("strategy", choice("balanced", 3)),
        ("schedule", choice("hard_first")),
        ("first_share", number(0, 0.5)),
        ("loss_weight", Dimension(kind="float", low=0.1)),  # only of a ratio there is a most
    ],
)
def test_values_that_their_group_would_refuse_are_refused(name: str, dimension: Dimension) -> None:
    with pytest.raises(UserError, match=f"tuning.space.{name}"):
        check_space({"ratio": RATIO, name: dimension})


def test_good_dimensions_pass() -> None:
    check_space(
        {
            "ratio": choice(0.0, 0.1),
            "training.contextual.kernel": choice(1, 3, 5),
            "training.contextual.learning_rate": Dimension(
                kind="float", low=1e-4, high=1e-2, log=True
            ),
        }
    )


@pytest.mark.parametrize("space", [{}, {"ratio": number(0.1, 0.3)}, {"ratio": choice(0.2)}])
def test_ratio_0_has_to_be_in_the_space(space: dict[str, Dimension]) -> None:
    with pytest.raises(UserError, match="no ratio of 0"):
        check_space(space)


def test_settings_of_the_other_classifier_have_no_effect_and_are_refused() -> None:
    with pytest.raises(UserError, match="no effect"):
        made(training__finetuned__dropout=number(0, 0.5))


def test_an_open_ratio_ends_at_the_most_that_a_strategy_in_the_space_has() -> None:
    assert made().dimensions["ratio"].high == 0.4  # 40 of 100
    assert made(strategy=STRATEGY).dimensions["ratio"].high == 0.55
    assert made(strategy=choice("faithful", "balanced")).dimensions["ratio"].high == 0.4


@pytest.mark.parametrize(("strategy", "most"), [("balanced", 0.4), ("faithful", 0.15)])
def test_an_open_ratio_goes_from_none_to_all_that_a_strategy_has(
    strategy: str, most: float
) -> None:
    space = made(strategy=STRATEGY)
    for share in (0.0, 0.25, 0.5, 1.0):
        found = space.in_effect({"ratio": share * 0.55, "strategy": strategy})
        assert found == {"ratio": pytest.approx(share * most, abs=1e-4), "strategy": strategy}
        assert space.open(found)[0].ratio == found["ratio"]


def test_a_ratio_beyond_its_strategy_is_capped_where_it_has_a_bound_of_its_own() -> None:
    space = made(strategy=STRATEGY, ratio=number(0, 0.5))
    assert space.in_effect({"ratio": 0.5, "strategy": "faithful"})["ratio"] == 0.15
    assert space.in_effect({"ratio": 0.1, "strategy": "faithful"})["ratio"] == 0.1


def test_a_whole_number_of_ratios_needs_a_bound() -> None:
    with pytest.raises(UserError, match="upper bound"):
        made(ratio=Dimension(kind="int", low=0))


def test_the_first_trials_are_ratio_0_and_the_default_recipe() -> None:
    prior = choice(True, False)
    space = made(strategy=STRATEGY, training__objective__prior_correction=prior)
    zero, default = space.first()
    assert default == {
        "ratio": 0.55,  # every accepted dialogue of the default strategy
        "strategy": "balanced",
        "training.objective.prior_correction": True,
    }
    assert zero == default | {"ratio": 0.0}
    recipe, training = space.open(space.in_effect(default))
    assert recipe == Recipe(extra="synthetic", strategy="balanced", ratio=0.4, loss_weight=0.5)
    assert training == TRAINING


def test_an_amount_is_tried_as_the_ratio_that_it_comes_to() -> None:
    half = DEFAULT.model_copy(update={"amount": 0.5})
    assert made(half).first()[1]["ratio"] == 0.2  # 20 of 100


def test_a_default_outside_the_space_is_refused() -> None:
    with pytest.raises(UserError, match="default recipe is not in the space"):
        made(loss_weight=number(0.6, 1.0))


def test_a_strategy_without_dialogues_is_refused() -> None:
    with pytest.raises(UserError, match="No accepted synthetic dialogue"):
        made(strategy=choice("balanced", "rare"))


def test_settings_reach_recipe_and_training_and_numbers_are_short() -> None:
    space = made(
        loss_weight=number(0.1, 1.0),
        training__contextual__learning_rate=number(1e-4, 1e-2),
        training__objective__class_weight_power=choice(0.0, 0.25),
    )
    settings = {
        "ratio": 0.123456789,
        "loss_weight": 0.33333333,
        "training.contextual.learning_rate": 0.00123456789,
        "training.objective.class_weight_power": 0.0,
    }
    recipe, training = space.open(space.in_effect(settings))
    assert (recipe.ratio, recipe.loss_weight) == (0.1235, 0.3333)
    assert training.contextual.learning_rate == 0.001235
    assert training.objective.class_weight_power == 0.0
    assert training.contextual.width == TRAINING.contextual.width


def test_a_short_number_stays_within_its_bounds() -> None:
    space = made(loss_weight=number(0.12344, 0.98765))
    assert space.in_effect({"ratio": 0.0, "loss_weight": 0.12344})["loss_weight"] == 0.12344
    assert space.in_effect({"ratio": 0.0, "loss_weight": 0.98765})["loss_weight"] == 0.98765


def emotional(**space: Dimension) -> RecipeSpace:
    named = {name.replace("__", "."): own for name, own in ({"ratio": RATIO} | space).items()}
    return RecipeSpace.made_from(named, DEFAULT, TRAINING, TRAIN, SYNTHETIC, LABELS)


def test_a_ratio_per_emotion_is_searched_up_to_the_most_there_is() -> None:
    space = emotional(emotion_ratios__fear=RATIO)
    counts = [(t["emotion"] == "fear").sum() for t in (SYNTHETIC, TRAIN)]
    of_balanced = (SYNTHETIC["emotion"][SYNTHETIC["strategy"] == "balanced"] == "fear").sum()
    most = space.dimensions["emotion_ratios.fear"].high
    assert most == pytest.approx(of_balanced / counts[1], abs=1e-4)
    assert space.first()[1]["emotion_ratios.fear"] == most  # which limits nothing
    recipe, _ = space.open(space.in_effect({"ratio": 0.2, "emotion_ratios.fear": 0.12345}))
    assert recipe.emotion_ratios == {"fear": 0.1235}
    wide = emotional(strategy=STRATEGY, emotion_ratios__fear=RATIO)
    assert wide.dimensions["emotion_ratios.fear"].high == pytest.approx(
        counts[0] / counts[1], abs=1e-4
    )


def test_no_limit_can_be_one_of_the_choices() -> None:
    space = emotional(emotion_ratios__joy=choice(None, 0.0))
    assert space.first()[1]["emotion_ratios.joy"] is None
    recipe, _ = space.open({"ratio": 0.2, "emotion_ratios.joy": None})
    assert recipe.limits == {}


def test_an_emotion_outside_the_label_set_is_refused_with_the_nearest() -> None:
    with pytest.raises(UserError, match="disgust"):
        emotional(emotion_ratios__digust=RATIO)


def test_verdicts_can_be_searched() -> None:
    space = emotional(min_confidence=number(0.0, 0.5), weighting=choice("none", "doubt"))
    assert space.first()[1]["weighting"] == "none"
    settings = {"ratio": 0.2, "min_confidence": 0.1, "weighting": "doubt"}
    recipe, _ = space.open(settings)
    assert (recipe.min_confidence, recipe.weighting) == (0.1, "doubt")


SCHEDULE = choice("together", "synthetic_first", "easy_first")


def scheduled(reference: Recipe = DEFAULT, **space: Dimension) -> RecipeSpace:
    own = {"ratio": RATIO} | space
    return RecipeSpace.made_from(own, reference, TRAINING, TRAIN, SYNTHETIC, LABELS)


def test_the_order_of_training_can_be_searched() -> None:
    space = scheduled(schedule=SCHEDULE, first_share=number(0.1, 0.5))
    assert space.first()[1] == {"ratio": 0.4, "schedule": "together", "first_share": 0.3}
    own = {"ratio": 0.2, "schedule": "synthetic_first", "first_share": 0.23456}
    recipe, _ = space.open(space.in_effect(own))
    assert (recipe.schedule, recipe.first_share) == ("synthetic_first", 0.2346)
    recipe, _ = space.open(own | {"schedule": "together"})
    assert "first_share" not in recipe.in_effect()
    easy = Recipe(extra="synthetic", schedule="easy_first", first_share=0.4)
    assert scheduled(easy, loss_weight=number(0.1, 1)).open({"ratio": 0.0})[0] == easy.model_copy(
        update={"ratio": 0.0}
    )


def test_a_share_of_no_schedule_is_refused_as_of_no_effect() -> None:
    with pytest.raises(UserError, match=r"(?s)no effect.*tuning\.space\.first_share"):
        scheduled(first_share=number(0.1, 0.5))
    scheduled(Recipe(extra="synthetic", schedule="easy_first"), first_share=number(0.1, 0.5))


def test_emotions_that_cannot_be_placed_are_told_before_the_search() -> None:
    own = {"ratio": RATIO, "schedule": SCHEDULE}
    strange = LabelSet("toy", (*EMOTIONS, "ennui"))
    with pytest.raises(UserError, match="ennui"):
        RecipeSpace.made_from(own, DEFAULT, TRAINING, TRAIN, SYNTHETIC, strange)


def test_a_selection_can_be_searched_and_it_is_known_beforehand_that_it_needs_features() -> None:
    space = made(selection=choice("random", "coverage"), weighting=choice("none", "style"))
    assert space.first()[1]["selection"] == "random"
    recipe, _ = space.open({"ratio": 0.2, "selection": "coverage", "weighting": "style"})
    assert recipe.needs == {"coverage", "style"}
    assert space.goes_by_need
    assert not made(selection=choice("random"), weighting=choice("none", "doubt")).goes_by_need
    by_default = DEFAULT.model_copy(update={"selection": "errors"})
    assert made(by_default).goes_by_need
    with pytest.raises(UserError, match="coverage"):
        check_space({"ratio": RATIO, "selection": choice("coverrage")})

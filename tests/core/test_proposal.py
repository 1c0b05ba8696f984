"""What a search comes to, in values and in words."""

from typing import Any

import pytest
import yaml

from erc_kedro.core.proposal import is_better, overlay, propose

BOTH = ["weighted_f1", "macro_f1"]
PRIOR = "training.objective.prior_correction"


def trial(number: int, ratio: float, macro: float, prior: bool = True) -> dict[str, Any]:
    settings = {"ratio": ratio, "strategy": "all", PRIOR: prior}
    return {
        "number": number,
        "settings": settings,
        "values": {"weighted_f1": 0.6, "macro_f1": macro},
    }


def search(best: dict[str, Any], **changes: Any) -> dict[str, Any]:
    zero = trial(0, 0.0, 0.4)
    fixed = {"corpus": "toy", "corpus_source": "official", "objectives": BOTH, "ratio_zero": zero}
    return fixed | {"best": best} | changes


def check(weighted: float | None = None, macro: float = 0.0) -> dict[str, Any]:
    values = [] if weighted is None else [("weighted_f1", weighted), ("macro_f1", macro)]
    return {
        "seeds": [1, 2],
        "comparisons": [
            {"metric": name, "difference": d, "ci95": [d - 0.01, d + 0.01]} for name, d in values
        ],
    }


@pytest.mark.parametrize(
    ("weighted", "macro", "objectives", "expected"),
    [
        (0.01, 0.02, BOTH, True),
        (0.0, 0.02, BOTH, True),
        (-0.001, 0.02, BOTH, False),  # macro F1 bought with weighted F1
        (-0.001, 0.02, ["macro_f1"], True),
        (0.02, -0.001, ["macro_f1"], False),
        (0.0, 0.0, BOTH, False),
    ],
)
def test_better_is_worse_in_nothing_that_was_asked_for(
    weighted: float, macro: float, objectives: list[str], expected: bool
) -> None:
    assert is_better(check(weighted, macro)["comparisons"], objectives) is expected


def test_a_better_recipe_is_proposed_with_its_numbers_as_indicative() -> None:
    found = propose(search(trial(7, 0.3, 0.42)), check(0.01, 0.02))
    assert not found["is_ratio_zero"]
    assert found["values"] == {
        "augmented": {"extra": "synthetic", "ratio": 0.3, "strategy": "all"},
        "training": {"objective": {"prior_correction": True}},
    }
    text = " ".join(found["sentences"])
    assert "Trial 7 is proposed" in text
    assert "weighted F1 +1.0 points [0.0, +2.0] and macro F1 +2.0 points [+1.0, +3.0]" in text
    assert "indicative, no test" in text
    assert "significant" not in text


def test_a_recipe_that_is_not_better_on_dev_is_not_proposed_and_it_is_said() -> None:
    found = propose(search(trial(7, 0.3, 0.42)), check(-0.01, 0.02))
    assert found["is_ratio_zero"]
    assert found["values"] == {"augmented": {"ratio": 0.0}}
    assert "Trial 7 is not better than ratio 0" in found["sentences"][0]
    assert "ratio 0 is proposed" in found["sentences"][0]


@pytest.mark.parametrize("best", [trial(0, 0.0, 0.4), trial(9, 0.0, 0.41)])
def test_without_a_recipe_that_adds_something_ratio_0_is_proposed(best: dict[str, Any]) -> None:
    found = propose(search(best), check())
    assert found["is_ratio_zero"]
    assert "ratio 0 is proposed" in found["sentences"][0]
    same = "No recipe was better than ratio 0 in the search" in found["sentences"][0]
    assert same == (best["number"] == 0)


def test_the_default_recipe_is_shown_beside_the_best() -> None:
    found = propose(search(trial(7, 0.3, 0.42), default=trial(1, 0.2, 0.415)), check(0.01, 0.02))
    assert "macro F1 42.0 (ratio 0, trial 0: 40.0; default recipe, trial 1: 41.5)" in " ".join(
        found["sentences"]
    )
    same = trial(1, 0.2, 0.42)
    found = propose(search(same, default=same), check(0.01, 0.02))
    assert "default recipe" not in " ".join(found["sentences"])


def test_a_gain_of_other_training_is_not_put_down_to_the_dialogues() -> None:
    same = propose(search(trial(7, 0.3, 0.42)), check(0.01, 0.02))
    other = propose(search(trial(7, 0.3, 0.42, prior=False)), check(0.01, 0.02))
    assert "not of the dialogues alone" not in same["sentences"][-1]
    assert "not of the dialogues alone" in other["sentences"][-1]


def test_a_sample_search_says_first_that_nothing_follows() -> None:
    found = propose(search(trial(7, 0.3, 0.42), corpus_source="sample"), check(0.01, 0.02))
    assert found["sentences"][0].startswith("Nothing follows from this search for toy")


def test_a_failed_trial_of_ratio_0_is_no_obstacle() -> None:
    found = propose(search(trial(7, 0.3, 0.42), ratio_zero=None), check(0.01, 0.02))
    assert found["values"]
    assert "Ratio 0 has no complete trial" in found["sentences"][-1]


def test_the_overlay_keeps_small_numbers_as_numbers() -> None:
    values = {"training": {"contextual": {"learning_rate": 1e-5}}, "augmented": {"ratio": 0.3}}
    text = overlay("toy", values, "a study")
    assert text.splitlines()[0].startswith("# kedro run ")
    assert yaml.safe_load(text) == {"toy": values}

"""The verdict claims what the numbers show, and no more."""

import math
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from erc_kedro.core.verdict import headline, verdict
from erc_kedro.core.wording import points
from tests.reporting.builders import make_comparison

FRACTIONS = st.floats(-1, 1)
P_VALUES = st.one_of(st.floats(0, 1), st.none(), st.just(math.nan))


@st.composite
def comparisons(draw: Any, source: str = "official") -> dict[str, Any]:
    arms = ("real_only", *draw(st.sets(st.sampled_from(["oversampled", "augmented"]))))
    comparison = make_comparison(
        arms=arms,
        seeds=draw(st.integers(1, 6)),
        source=source,
        real_fraction=draw(st.sampled_from([0.1, 1.0])),
    )
    for entry in comparison["comparisons"]:
        entry["difference"] = draw(FRACTIONS)
        entry["ci95"] = sorted((draw(FRACTIONS), draw(FRACTIONS)))
        entry["p_adjusted"] = draw(P_VALUES)
    return comparison


def augmented(comparison: dict[str, Any]) -> list[dict[str, Any]]:
    return [entry for entry in comparison["comparisons"] if entry["arm"] == "augmented"]


def is_shown(entry: dict[str, Any]) -> bool:
    return (entry["p_adjusted"] or math.nan) < 0.05 or entry["p_adjusted"] == 0


@given(comparisons())
def test_a_gain_or_loss_is_claimed_exactly_where_the_adjusted_p_value_shows_it(
    comparison: dict[str, Any],
) -> None:
    said = " ".join(verdict(comparison))
    shown = [e for e in augmented(comparison) if is_shown(e) and e["difference"] != 0]
    assert said.count("significant gain") == sum(e["difference"] > 0 for e in shown)
    assert said.count("significant loss") == sum(e["difference"] < 0 for e in shown)
    assert said.count("no difference is shown") == len(augmented(comparison)) - len(shown)
    assert headline(comparison).count("no difference shown") == said.count("no difference is shown")


@given(comparisons(source="sample"))
def test_a_sample_concludes_nothing(comparison: dict[str, Any]) -> None:
    first, *rest = verdict(comparison)
    assert "Nothing follows" in first
    assert "written by a language model" in first
    conclusions = r"significan|\bgain|\bloss|\bshown?\b|\bhelp|\bbetter|\bworse|improve|\bp "
    assert not re.search(conclusions, " ".join([*rest, headline(comparison)]))
    assert "no conclusion" in headline(comparison)


@given(FRACTIONS)
def test_points_have_the_sign_and_size_of_the_difference(difference: float) -> None:
    text = points(difference)
    value = float(text.replace("−", "-"))
    assert abs(value - 100 * difference) <= 0.0501
    assert value * difference >= 0
    assert text[0] in "+−" or value == 0


@given(comparisons())
def test_every_sentence_is_one_line_and_the_headline_too(comparison: dict[str, Any]) -> None:
    for sentence in [*verdict(comparison), headline(comparison)]:
        assert sentence
        assert "\n" not in sentence
        assert "nan" not in sentence.lower()


def test_the_power_of_the_test_set_stands_beside_no_difference() -> None:
    said = verdict(make_comparison())
    assert "a true difference of 1.4 points four times in five" in said[0]


@pytest.mark.parametrize(
    ("upper", "p_adjusted", "put_down"),
    [(0.03, 0.01, True), (0.03, 0.2, False), (0.01, 0.01, False)],
)
def test_a_gain_that_repetition_matches_is_not_put_down_to_synthetic_dialogues(
    upper: float, p_adjusted: float, put_down: bool
) -> None:
    comparison = make_comparison(difference=0.02, ci95=[0.01, 0.03], p_adjusted=0.01)
    for entry in comparison["comparisons"]:
        if entry["arm"] == "oversampled":
            entry |= {"difference": 0.007, "ci95": [0.0, upper], "p_adjusted": p_adjusted}
    said = " ".join(verdict(comparison))
    assert "+0.7 points" in said
    assert ("cannot be put down to the synthetic dialogues" in said) == put_down
    assert ("not tested against each other" in said) != put_down


def test_the_emotions_that_change_most_are_named_without_a_test() -> None:
    comparison = make_comparison()
    comparison["arms"]["augmented"]["f1_fear"] = {"mean": 0.9, "std": 0.0, "per_seed": [0.9]}
    comparison["arms"]["augmented"]["f1_joy"] = {"mean": 0.1, "std": 0.0, "per_seed": [0.1]}
    [said] = [s for s in verdict(comparison) if s.startswith("By emotion")]
    assert "not tested" in said
    assert re.search(r"up is fear \(\+\d", said)
    assert re.search(r"down is joy \(−\d", said)


@pytest.mark.parametrize(("seeds", "words"), [(1, "not known at all"), (2, "hardly known")])
def test_few_seeds_are_said_to_be_few(seeds: int, words: str) -> None:
    for source in ("official", "sample"):
        assert words in verdict(make_comparison(seeds=seeds, source=source))[-1]
    assert words not in " ".join(verdict(make_comparison(seeds=3)))


def test_a_part_of_real_train_is_said_to_be_one() -> None:
    said = " ".join(verdict(make_comparison(real_fraction=0.1)))
    assert "10 % of the real training dialogues" in said

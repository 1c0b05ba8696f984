"""Dimensions: what fits their kind, and what lies in them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from erc_kedro.core.tuning import Dimension, listen_to_trials, trial_listener

NUMBERS = st.floats(-1e6, 1e6)


@given(NUMBERS, NUMBERS, st.booleans())
def test_a_float_is_taken_if_its_bounds_are_in_order_and_log_has_a_factor(
    low: float, high: float, log: bool
) -> None:
    fits = low <= high and (low > 0 or not log)
    try:
        dimension = Dimension(kind="float", low=low, high=high, log=log)
    except ValidationError:
        assert not fits
    else:
        assert fits
        assert dimension.holds(low) and dimension.holds(high)
        assert not dimension.holds(high + 1) and not dimension.holds(low - 1)


@given(st.integers(-99, 99), st.integers(0, 99), st.floats(-200, 200))
def test_an_int_holds_the_whole_numbers_in_its_bounds(low: int, more: int, value: float) -> None:
    dimension = Dimension(kind="int", low=low, high=low + more)
    assert dimension.holds(value) == (low <= value <= low + more and value.is_integer())


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"kind": "float", "high": 1}, "needs low"),
        ({"kind": "float", "low": 2, "high": 1}, "is below low"),
        ({"kind": "float", "low": 0, "high": 1, "log": True}, "above 0"),
        ({"kind": "float", "low": 0, "high": float("inf")}, "finite"),
        ({"kind": "float", "low": 0, "high": 1, "choices": [1]}, "choices without effect"),
        ({"kind": "int", "low": 0.5, "high": 1}, "whole number"),
        ({"kind": "categorical"}, "needs choices"),
        ({"kind": "categorical", "choices": []}, "needs choices"),
        ({"kind": "categorical", "choices": ["a", "a"]}, "two equal choices"),
        ({"kind": "categorical", "choices": [True, 1]}, "two equal choices"),
        ({"kind": "categorical", "choices": ["a"], "low": 0}, "low without effect"),
        ({"kind": "list", "low": 0, "high": 1}, "kind"),
        ({"kind": "float", "low": 0, "high": 1, "steps": 3}, "steps"),
    ],
)
def test_what_does_not_fit_the_kind_is_refused(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Dimension(**wrong)


def test_an_open_end_is_filled_in_and_no_other() -> None:
    open_end = Dimension(kind="float", low=0)
    assert open_end.holds(1e9)
    assert open_end.up_to(0.7) == Dimension(kind="float", low=0, high=0.7)
    closed = Dimension(kind="float", low=0, high=0.5)
    assert closed.up_to(0.7) == closed
    with pytest.raises(ValidationError, match="is below low"):
        Dimension(kind="float", low=0.5).up_to(0.2)


def test_a_choice_is_told_by_its_type_too() -> None:
    choices = Dimension(kind="categorical", choices=(True, "1", None))
    assert choices.holds(True) and choices.holds("1") and choices.holds(None)
    assert not choices.holds(1) and not choices.holds("True")
    assert not Dimension(kind="int", low=0, high=1).holds(True)


def test_one_listener_at_a_time() -> None:
    class Listener:
        def searching(self, *_: Any) -> None: ...
        def started(self, *_: Any) -> None: ...
        def ended(self, *_: Any) -> None: ...

    listener = Listener()
    listen_to_trials(listener)
    assert trial_listener() is listener
    listen_to_trials(None)
    assert trial_listener() is None

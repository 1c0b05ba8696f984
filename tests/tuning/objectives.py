"""Objectives for worker processes: cheap, and misbehaving on demand."""

from erc_kedro.core.tuning import Objective, Outcome, Settings


def parabola(settings: Settings) -> Outcome:
    value = 1 - (settings["x"] - 0.3) ** 2
    return Outcome((value,), {"f1": [value, value]})


def make_parabola() -> Objective:
    return parabola

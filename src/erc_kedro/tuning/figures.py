"""The figures of a search, drawn by Optuna; titles and axes in the project's words."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import optuna
from optuna.exceptions import ExperimentalWarning

from erc_kedro.core.tuning import Dimension
from erc_kedro.core.wording import plain
from erc_kedro.tuning import marks
from erc_kedro.tuning.replay import replayed

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from optuna.trial import FrozenTrial

_FEWEST = 3
"""Complete trials that an importance or a contour is drawn from."""

_SIZE = (9.0, 4.8)
_PANEL = 3.6
"""Inches: of a figure, and the width of each panel of a row."""


def draw_figures(
    trials: "pd.DataFrame", space: Mapping[str, Dimension], objectives: Sequence[str]
) -> "dict[str, Figure]":
    """Draw how a search went, as far as there is something to draw.

    Args:
        trials: The finished trials, as `trial_table` returns them: settings as drawn, or in effect.
        space: What was searched, by name; it holds these settings.
        objectives: What was maximised.

    Returns:
        Figures by name: `history`, `importance`, `slices`, `contour` (the two most important
        numbers, if two are searched), and with two objectives `pareto`. With several objectives
        all but the last are there for each: `history_weighted_f1` and so on. Importance and
        contour need three complete trials that differ. Empty if no trial is complete.
    """
    figures: dict[str, Figure] = {}
    with _drawing():
        study = replayed(trials, space, objectives)
        if not marks.complete(study.trials):
            return figures
        for index, objective in enumerate(objectives):
            suffix = f"_{objective}" if len(objectives) > 1 else ""
            for name, figure in _of_objective(study, space, index, plain(objective)).items():
                figures[name + suffix] = figure
        if len(objectives) == 2:
            figures["pareto"] = _pareto(study, objectives)
    return figures


@contextmanager
def _drawing() -> Iterator[None]:
    """Let Optuna draw with pyplot, without windows, and without what it says of itself."""
    import matplotlib
    from matplotlib import pyplot

    before = matplotlib.get_backend()
    try:
        if before.lower() != "agg":
            pyplot.switch_backend("agg")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            warnings.filterwarnings("ignore", "`target` is specified", UserWarning)
            yield
    finally:
        if before.lower() != "agg":
            pyplot.switch_backend(before)


def _of_objective(
    study: optuna.Study, space: Mapping[str, Dimension], index: int, name: str
) -> "dict[str, Figure]":
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances
    from optuna.visualization import matplotlib as optuna_figures

    done = marks.complete(study.trials)

    def target(trial: "FrozenTrial") -> float:
        return float(trial.values[index])

    options: dict[str, Any] = {"target": target, "target_name": name}
    varied = [key for key in space if len({repr(t.params[key]) for t in done}) > 1]
    figures = {"history": _history(study, done, options)}
    if varied:
        axes = optuna_figures.plot_slice(study, params=varied, **options)
        figures["slices"] = _slices(axes, varied, name)
    if len(done) < _FEWEST or len({target(trial) for trial in done}) < 2 or not varied:
        return figures
    about: dict[str, Any] = {
        "params": varied,
        "target": target,
        "evaluator": FanovaImportanceEvaluator(seed=0),
    }
    figures["importance"] = _importance(optuna_figures.plot_param_importances(study, **about), name)
    weights = get_param_importances(study, **about)
    numbers = [key for key in varied if space[key].kind != "categorical"]
    numbers.sort(key=lambda key: (key != "ratio", -weights[key], key))
    if len(numbers) >= 2:
        axes = optuna_figures.plot_contour(study, params=numbers[:2], **options)
        figures["contour"] = _contour(cast("Axes", axes), name)
    return figures


def _history(study: optuna.Study, done: "list[FrozenTrial]", options: dict[str, Any]) -> "Figure":
    from matplotlib.ticker import MaxNLocator
    from optuna.visualization.matplotlib import plot_optimization_history

    ax = plot_optimization_history(study, **options)
    values = np.maximum.accumulate([options["target"](trial) for trial in done])
    ax.step(
        [t.number for t in done], values, where="post", color="tab:red", label="best until then"
    )
    ax.legend(loc="lower right")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    title = f"{options['target_name']} of every trial, and the best until then"
    return _finish(ax, title, x="trial", y=options["target_name"])


def _importance(ax: "Axes", name: str) -> "Figure":
    ax.set_yticks(ax.get_yticks(), [short(text.get_text()) for text in ax.get_yticklabels()])
    if legend := ax.get_legend():
        legend.remove()
    title = f"how much of the differences in {name} each setting explains"
    return _finish(ax, title, x="share", y="")


def _slices(axes: Any, varied: list[str], name: str) -> "Figure":
    panels = np.atleast_1d(axes)
    for ax in panels:
        ax.set_xlabel(short(ax.get_xlabel()))
    panels[0].set_ylabel(name)
    figure: Figure = panels[0].figure
    colours = [ax for ax in figure.axes if ax not in panels]
    for ax in colours:
        ax.set_title("trial")
        ax.set_ylabel("")
    if len(panels) == 1:
        panels[0].set_title("")
    figure.suptitle(f"{name} by the value of each setting")
    figure.set_size_inches(max(_SIZE[0], _PANEL * len(varied)), _SIZE[1])
    return _closed(figure, layout=None)  # its colours belong to all panels


def _contour(ax: "Axes", name: str) -> "Figure":
    x, y = short(ax.get_xlabel()), short(ax.get_ylabel())
    for other in ax.figure.axes:
        if other is not ax:
            other.set_ylabel(name)
    return _finish(ax, f"{name} by {x} and {y}, between the trials", x=x, y=y)


def _pareto(study: optuna.Study, objectives: Sequence[str]) -> "Figure":
    from optuna.visualization.matplotlib import plot_pareto_front

    names = [plain(objective) for objective in objectives]
    ax = plot_pareto_front(study, target_names=names)
    handles, _ = ax.get_legend_handles_labels()
    ax.legend(handles, ["trial", "trial on the front"][: len(handles)])
    title = "trials that no other beats in both (the front), and the others"
    return _finish(ax, title, x=names[0], y=names[1])


def short(dimension: str) -> str:
    """Return a dimension's name as a reader writes it.

    >>> short("training.objective.prior_correction")
    'prior correction'
    """
    return plain(dimension.rpartition(".")[2])


def _finish(ax: "Axes", title: str, *, x: str, y: str) -> "Figure":
    ax.set_title("")  # Optuna's stands in the middle
    ax.set_title(title[0].upper() + title[1:], loc="left")
    ax.set_xlabel(x)
    ax.set_ylabel(y)
    figure: Figure = ax.figure  # type: ignore[assignment]
    figure.set_size_inches(*_SIZE)
    return _closed(figure)


def _closed(figure: "Figure", layout: Literal["tight"] | None = "tight") -> "Figure":
    """Return a figure that pyplot knows no more."""
    from matplotlib import pyplot

    pyplot.close(figure)
    figure.set_layout_engine(layout or "none")
    return figure

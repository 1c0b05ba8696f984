"""The figures of a study: each shows its intervals, none a test that was not declared."""

from collections.abc import Mapping, Sequence
from math import inf
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

from erc_kedro.core.metrics import HEADLINE
from erc_kedro.core.study_verdict import by_amount
from erc_kedro.core.wording import interval, plain, points
from erc_kedro.reporting.images import INK
from erc_kedro.reporting.style import MUTED, add_legend, label, mark_rows, name_axes, panels, styles

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FIGURES = {
    "confirmatory": "Difference of the treatment under test to real data alone and to the best "
    "baseline without a language model, in points of F1, with 95 % intervals.",
    "emotions": "What the treatment under test changes in the F1 of each emotion, with 95 % "
    "intervals.",
    "curves": "F1 on test over the part of real train, by the amount of synthetic dialogues that "
    "are mixed in: mean ± standard deviation over seeds above, difference from none with 95 % "
    "interval below. An adapted encoder has learnt from all of them.",
    "imbalance": "F1 of rare emotions over how many of their utterances are learnt, mean ± "
    "standard deviation over seeds. A larger weight in the loss stands at the number of real ones.",
    "ablation": "What one change of the treatment under test does to F1, with 95 % intervals.",
    "transfer": "F1 on real test after training on synthetic dialogues alone, and on real ones, "
    "mean ± standard deviation over seeds.",
}
"""What each figure shows. The table of the study holds the same numbers."""

_HOW = {
    "none": "nothing added",
    "synthetic": "synthetic",
    "repeated": "repeated",
    "weighted": "weighted",
}


def draw_figures(table: pd.DataFrame, confirmatory: Mapping[str, Any]) -> dict[str, Figure]:
    """Return the figures of a study by name, those that there is something for.

    Args:
        table: As `core.study_results.tabulate` returns it.
        confirmatory: As `core.study_results.confirmatory_of` returns it.
    """
    draw = {
        "emotions": _emotions,
        "curves": _curves,
        "imbalance": _imbalance,
        "ablation": _ablation,
        "transfer": _transfer,
    }
    figures = {"confirmatory": _forest(confirmatory["comparisons"])}
    for part, own in draw.items():
        if len(rows := table[table["part"] == part]):
            figures[part] = own(rows)
    return figures


def _title(metric: str) -> str:
    name = plain(metric)
    return name[:1].upper() + name[1:]


def _forest(entries: Sequence[Mapping[str, Any]]) -> Figure:
    most = max(sum(e["metric"] == metric for e in entries) for metric in HEADLINE)
    figure, axes = panels(1, len(HEADLINE), 1.4 + 0.5 * most)
    colour = styles(["augmented"])["augmented"][0]
    for ax, metric in zip(axes, HEADLINE, strict=True):
        own = [entry for entry in entries if entry["metric"] == metric]
        names = [f"{100 * e['real_fraction']:g} %, {label(e['against'])}" for e in own]
        mark_rows(ax, names)
        ax.axvline(0, color=INK, linewidth=1)
        for row, entry in enumerate(own):
            low, high = (100 * bound for bound in entry["ci95"])
            ax.plot([low, high], [row, row], color=colour, linewidth=2.2, solid_capstyle="butt")
            ax.plot(100 * entry["difference"], row, "D", color=colour, markersize=6)
            text = f"{points(entry['difference'])}  {interval(entry['ci95'])}"
            ax.annotate(
                text, (100 * entry["difference"], row), (0, 6), textcoords="offset points",
                ha="center", fontsize=8, color=INK,
            )  # fmt: skip
        ax.margins(x=0.3)  # room for the numbers
        name_axes(ax, x=f"points of {plain(metric)}, difference", title=_title(metric))
    return figure


def _curves(rows: pd.DataFrame) -> Figure:
    figure, axes = panels(2, len(HEADLINE), 6.6)
    amounts = sorted(rows["treatment"].unique(), key=by_amount)
    look = _looks(amounts)
    fractions = sorted(rows["real_fraction"].unique())
    for i, metric in enumerate(HEADLINE):
        above, below = axes[i], axes[len(HEADLINE) + i]
        for place, amount in enumerate(amounts):
            own = rows[(rows["metric"] == metric) & (rows["treatment"] == amount)]
            own = own.sort_values("real_fraction")
            x = 100 * own["real_fraction"] * 1.03 ** (place - len(amounts) / 2)  # side by side
            _bars(above, x, own["mean"], own["std"], look[amount], line=True)
            if (own["against"] != "").any():
                gaps = np.abs(
                    own[["ci_low", "ci_high"]].to_numpy().T - own["difference"].to_numpy()
                )
                _bars(below, x, own["difference"], gaps, look[amount])
        below.axhline(0, color=INK, linewidth=1)
        for ax in (above, below):
            ax.set_xscale("log")
            ax.set_xticks([100 * f for f in fractions], [f"{100 * f:g} %" for f in fractions])
            ax.xaxis.set_minor_locator(NullLocator())
            ax.grid(axis="y", color=MUTED, alpha=0.25, linewidth=0.6)
        below.set_xlim(above.get_xlim())
        name_axes(above, y=f"{plain(metric)}, points", title=_title(metric))
        name_axes(below, x="part of real train", y="difference from none, points")
    label = {name: _amount_label(by_amount(name), name) for name in amounts}
    add_legend(figure, [_handle(look[name], label[name]) for name in amounts])
    return figure


def _amount_label(share: float, name: str) -> str:
    if share == inf:
        return plain(name)
    return f"{100 * share:g} %" if share else "synthetic dialogues mixed in: none"


def _imbalance(rows: pd.DataFrame) -> Figure:
    emotions = list(rows["emotion"].unique())
    figure, axes = panels(1, len(emotions), 3.6)
    look = _looks(list(_HOW))
    for ax, emotion in zip(axes, emotions, strict=True):
        own = rows[(rows["emotion"] == emotion) & (rows["metric"] == f"f1_{emotion}")]
        how = own["treatment"].str.split().str[1]
        for place, name in enumerate(_HOW):
            chosen = own[how == name].sort_values("learnt")
            x = chosen["learnt"].clip(lower=1) * 1.05 ** (place - 1.5)  # side by side
            _bars(ax, x, chosen["mean"], chosen["std"], look[name], line=name == "none")
        ax.set_xscale("log")
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
        ax.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        ax.xaxis.set_minor_locator(NullLocator())
        ax.grid(axis="y", color=MUTED, alpha=0.25, linewidth=0.6)
        name_axes(
            ax, x=f"utterances of {label(emotion)} learnt", y="its F1, points", title=label(emotion)
        )
    add_legend(figure, [_handle(look[name], text) for name, text in _HOW.items()])
    return figure


def _ablation(rows: pd.DataFrame) -> Figure:
    compared = rows[rows["against"] != ""]
    names = list(compared["treatment"].unique())
    figure, axes = panels(1, len(HEADLINE), 1.6 + 0.5 * len(names), sharey=True)
    for ax, metric in zip(axes, HEADLINE, strict=True):
        _dots(figure, ax, compared[compared["metric"] == metric], "treatment", names)
        name_axes(ax, x=f"points of {plain(metric)}, difference", title=_title(metric))
    return figure


def _emotions(rows: pd.DataFrame) -> Figure:
    names = list(rows["emotion"].unique())
    figure, [ax] = panels(1, 1, 1.6 + 0.6 * len(names))
    _dots(figure, ax, rows, "emotion", names)
    first = rows.iloc[0]
    what = f"{plain(first['treatment'])} against {plain(first['against'])}"
    name_axes(ax, x="points of F1, difference", title=what)
    return figure


def _dots(
    figure: Figure, ax: "Axes", rows: pd.DataFrame, column: str, names: Sequence[str]
) -> None:
    """Draw differences with their intervals, a row for each name, side by side by real fraction."""
    fractions = sorted(rows["real_fraction"].unique())
    look = _looks([f"{fraction:g}" for fraction in fractions])
    mark_rows(ax, [label(name) for name in names])
    ax.axvline(0, color=INK, linewidth=1)
    for row in rows.to_dict("records"):
        place = fractions.index(row["real_fraction"]) - (len(fractions) - 1) / 2
        y = names.index(row[column]) + 0.22 * place
        colour, marker = look[f"{row['real_fraction']:g}"]
        ax.plot([row["ci_low"], row["ci_high"]], [y, y], color=colour, linewidth=2)
        ax.plot(row["difference"], y, marker, color=colour, markersize=6)
    if not figure.legends:
        handles = [_handle(look[f"{f:g}"], f"{100 * f:g} % of real train") for f in fractions]
        add_legend(figure, handles)


def _transfer(rows: pd.DataFrame) -> Figure:
    names = list(rows["treatment"].unique())
    look = _looks(names)
    figure, axes = panels(1, len(HEADLINE), 1.4 + 0.4 * len(names), sharey=True)
    for ax, metric in zip(axes, HEADLINE, strict=True):
        mark_rows(ax, [label(name) for name in names])
        for row in rows[rows["metric"] == metric].to_dict("records"):
            colour, marker = look[row["treatment"]]
            place = names.index(row["treatment"])
            ax.errorbar(row["mean"], place, xerr=row["std"], fmt=marker, color=colour, capsize=3)
        name_axes(ax, x=f"{plain(metric)} on real test, points", title=_title(metric))
    return figure


def _looks(names: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Return colour and marker of each, those of the arms in their order."""
    arms = ["real_only", "augmented", "oversampled", "synthetic_only"]
    known = styles([*arms, *(f"spare {i}" for i in range(max(0, len(names) - len(arms))))])
    return dict(zip(names, known.values(), strict=False))


def _bars(
    ax: "Axes", x: Any, y: Any, error: Any, look: tuple[str, str], *, line: bool = False
) -> None:
    if len(x):
        colour, marker = look
        ax.errorbar(
            np.asarray(x), np.asarray(y), yerr=np.asarray(error), color=colour, marker=marker,
            markersize=5, linewidth=1.4 if line else 0, elinewidth=1.2, capsize=2,
        )  # fmt: skip


def _handle(look: tuple[str, str], text: str) -> Line2D:
    colour, marker = look
    return Line2D([], [], color=colour, marker=marker, linewidth=0, markersize=6, label=text)

"""The figure that only a released data set's card has."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from erc_kedro.core.release import REAL
from erc_kedro.reporting.style import MUTED, add_legend, label, name_axes, panels, styles

_SHOWN = 99
"""Percentile up to which the axis reaches: one very long dialogue would flatten all others."""


def draw_lengths(lengths: Mapping[str, Mapping[str, np.ndarray]]) -> Figure:
    """Draw which share of every data set has at most so many words, turns or speakers.

    Args:
        lengths: By name of the data, real train first if it is at hand, what
            `core.release.lengths` returns.
    """
    names = list(next(iter(lengths.values())))
    strategies = [data for data in lengths if data != REAL]
    look = styles(["real_only", "augmented", *strategies])
    series = {REAL: look["real_only"][0]} | {
        data: look["augmented" if number == 0 else data][0]
        for number, data in enumerate(strategies)
    }
    figure, axes = panels(1, len(names), 2.9, sharey=True)
    for number, (ax, name) in enumerate(zip(axes, names, strict=True)):
        reach = max(int(np.percentile(own[name], _SHOWN)) for own in lengths.values())
        values = np.arange(reach + 1)
        handles = [
            ax.step(
                values,
                [100 * float((own[name] <= value).mean()) for value in values],
                where="post",
                color=series[data],
                linewidth=1.8,
                label=label(data if data == REAL else f"synthetic, {data}"),
            )[0]
            for data, own in lengths.items()
        ]
        ax.set_ylim(0, 102)
        ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        ax.grid(axis="y", color=MUTED, alpha=0.25, linewidth=0.6)
        name_axes(ax, x=f"at most so many {name}", y="" if number else "share, %")
    add_legend(figure, handles)
    return figure

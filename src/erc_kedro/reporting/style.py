"""One look for all figures: colours, markers, axes."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

from erc_kedro.core.wording import plain
from erc_kedro.reporting.images import INK
from erc_kedro.reporting.text import visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH = 9.0
"""Of every figure, in inches: a page shows 9-point text at about 13 pixels."""

MUTED = "#8b929c"
"""Grid and helping lines: seen on white and on near black."""

# Okabe and Ito's colours, told apart by colour-blind readers; in print the markers tell.
ARM_STYLES = {
    "real_only": ("#0072B2", "o"),
    "oversampled": ("#E69F00", "s"),
    "augmented": ("#009E73", "D"),
    "synthetic_only": ("#CC79A7", "^"),
}
_SPARE_STYLES = (("#D55E00", "v"), ("#56B4E9", "P"), ("#B8A700", "X"), ("#8b929c", "p"))


def styles(names: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Return colour and marker of every arm, or of any other series in the given order."""
    spare = [name for name in names if name not in ARM_STYLES]
    return {
        name: ARM_STYLES.get(name) or _SPARE_STYLES[spare.index(name) % len(_SPARE_STYLES)]
        for name in names
    }


def label(text: object) -> str:
    """Return a name as a label; a dollar sign stays one, and starts no formula."""
    return visible(plain(str(text)), 28).replace("$", r"\$")


def panels(
    n_rows: int, n_columns: int, height: float, **shared: Any
) -> tuple[Figure, list["Axes"]]:
    """Return a figure of the standard width and its axes, row by row."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    grid = figure.subplots(n_rows, n_columns, squeeze=False, **shared)
    axes = list(grid.ravel())
    for ax in axes:
        ax.set_facecolor("none")
        ax.tick_params(labelsize=9, color=MUTED, labelcolor=INK, length=3)
        for side, spine in ax.spines.items():
            spine.set_visible(side in {"left", "bottom"})
            spine.set_color(MUTED)
    return figure, axes


def name_axes(ax: "Axes", x: str = "", y: str = "", title: str = "") -> None:
    """Set an axes' labels and its title, left above it."""
    ax.set_xlabel(x, fontsize=9, color=INK)
    ax.set_ylabel(y, fontsize=9, color=INK)
    if title:
        ax.set_title(title, fontsize=10, fontweight="bold", color=INK, loc="left")


def add_legend(figure: Figure, handles: Sequence[Any]) -> None:
    """Put one legend above all panels."""
    figure.legend(
        handles=list(handles),
        loc="outside upper left",
        ncols=len(handles),
        frameon=False,
        fontsize=9,
        labelcolor=INK,
        handletextpad=0.4,
    )


def mark_rows(ax: "Axes", names: Sequence[str]) -> None:
    """Name the rows of a dot plot from the top, with a line between two."""
    ax.set_yticks(range(len(names)), list(names))
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    for row in range(1, len(names)):
        ax.axhline(row - 0.5, color=MUTED, alpha=0.35, linewidth=0.6)
    ax.grid(axis="x", color=MUTED, alpha=0.25, linewidth=0.6)
    ax.set_axisbelow(True)


def draw_heat(
    ax: "Axes", shares: np.ndarray, rows: Sequence[str], columns: Sequence[str], size: float = 8
) -> None:
    """Draw shares (rows sum to 1, or are NaN where nothing was seen) as a heat map in percent."""
    shades = np.nan_to_num(shares)
    ax.pcolormesh(shades, cmap="Blues", vmin=0, vmax=1, edgecolors="white", linewidth=0.8)
    for (row, column), share in np.ndenumerate(shares):
        text = "–" if np.isnan(share) else f"{100 * share:.0f}"
        colour = "white" if shades[row, column] > 0.62 else "#0b2a4a"
        ax.text(
            column + 0.5, row + 0.5, text, ha="center", va="center", fontsize=size, color=colour
        )
    ax.invert_yaxis()
    ax.set_aspect("equal")
    ax.set_xticks(np.arange(len(columns)) + 0.5, columns, rotation=45, ha="right")
    ax.set_xticks([], minor=True)
    ax.set_yticks(np.arange(len(rows)) + 0.5, rows)
    ax.tick_params(length=0, labelsize=size + 0.5)
    for spine in ax.spines.values():
        spine.set_visible(False)

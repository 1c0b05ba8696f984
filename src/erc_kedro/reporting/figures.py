"""The report's figures. Each takes plain values and returns a matplotlib Figure.

Figures are made without pyplot, so nodes may draw side by side.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from erc_kedro.core.experiment import AUGMENTED
from erc_kedro.core.metrics import HEADLINE
from erc_kedro.core.wording import interval, over_seeds, plain, points
from erc_kedro.reporting.images import INK
from erc_kedro.reporting.style import (
    MUTED,
    add_legend,
    draw_heat,
    label,
    mark_rows,
    name_axes,
    panels,
    styles,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_OFF_SCALE = 3.0
"""An arm this many times farther out than the augmented one becomes an arrow at the edge."""


def draw_differences(comparison: Mapping[str, Any]) -> Figure:
    """Draw every arm's difference to the baseline with its 95 % interval, one panel per metric.

    The shaded band ends at the true difference that a single test at 5 % finds with 80 % power.
    An arm that is far off is an arrow at the edge, so that the others stay readable.

    Args:
        comparison: As evaluation's `compare` returns it.
    """
    arms = list(dict.fromkeys(entry["arm"] for entry in comparison["comparisons"]))
    look = styles(arms)
    figure, axes = panels(1, len(HEADLINE), 1.2 + 0.62 * max(len(arms), 1), sharey=True)
    baseline = plain(next(iter(comparison["arms"])))
    for ax, metric in zip(axes, HEADLINE, strict=True):
        own = {e["arm"]: e for e in comparison["comparisons"] if e["metric"] == metric}
        band = 100 * comparison["smallest_detectable"].get(metric, 0.0)
        limit = _reach(own, band)
        ax.axvspan(-band, band, color=MUTED, alpha=0.18, linewidth=0)
        ax.axvline(0, color=INK, linewidth=1)
        for row, arm in enumerate(arms):
            if arm in own:
                _draw_interval(ax, row, own[arm], look[arm], limit)
        ax.set_xlim(-limit, limit)
        ax.set_ylim(len(arms) - 0.45, -0.75)
        ax.set_yticks(range(len(arms)), [label(arm) for arm in arms])
        ax.tick_params(axis="y", length=0)
        name_axes(
            ax,
            x=f"points of {plain(metric)}, difference to {baseline}\n"
            f"shaded: below the smallest detectable difference (±{band:.1f})",
            title=plain(metric).capitalize().replace("f1", "F1"),
        )
    return figure


def _reach(entries: Mapping[str, Mapping[str, Any]], band: float) -> float:
    """Return how far the axis reaches on both sides, in points."""
    far = {arm: 100 * max(map(abs, entry["ci95"])) for arm, entry in entries.items()}
    near = max(far.get(AUGMENTED, min(far.values(), default=0.0)), band, 0.1)
    return 1.2 * max([near, *(x for x in far.values() if x <= _OFF_SCALE * near)])


def _draw_interval(
    ax: "Axes", row: int, entry: Mapping[str, Any], look: tuple[str, str], limit: float
) -> None:
    colour, marker = look
    difference = 100 * entry["difference"]
    low, high = (100 * bound for bound in entry["ci95"])
    numbers = f"{points(entry['difference'])}  {interval(entry['ci95'])}"
    edge = 0.97 * limit
    start, end = np.clip([low, high], -edge, edge)
    if start == end:  # all of it is off the axis: a stub at the edge stands for it
        start, end = sorted((start, 0.82 * start))
    ax.plot([start, end], [row, row], color=colour, linewidth=2.2, solid_capstyle="butt")
    if abs(difference) <= edge:
        ax.plot(difference, row, marker, color=colour, markersize=7)
    for side in {float(np.sign(bound)) for bound in (low, high) if abs(bound) > edge}:
        ax.plot(side * edge, row, ">" if side > 0 else "<", color=colour, markersize=8)
    right = difference >= 0  # on its own side of the zero line, so that no line runs through it
    ax.text(
        limit * (0.03 if right else -0.03),
        row - 0.16,
        numbers,
        ha="left" if right else "right",
        va="bottom",
        fontsize=8.5,
        color=INK,
    )


def draw_f1_by_emotion(
    arms: Mapping[str, Mapping[str, Any]], support: Mapping[str, float]
) -> Figure:
    """Draw F1 of every emotion and arm, mean over seeds with ± one standard deviation.

    Args:
        arms: By arm its metrics, as in the comparison.
        support: By emotion its test utterances; the emotions are shown from frequent to rare.
    """
    emotions = sorted(support, key=lambda emotion: -support[emotion])
    look = styles(list(arms))
    figure, [ax] = panels(1, 1, 0.9 + 0.52 * len(emotions))
    offsets = np.linspace(-0.27, 0.27, len(arms)) if len(arms) > 1 else [0.0]
    handles = []
    for (arm, metrics), offset in zip(arms.items(), offsets, strict=True):
        colour, marker = look[arm]
        own = [metrics[f"f1_{emotion}"] for emotion in emotions]
        handles.append(
            ax.errorbar(
                [100 * values["mean"] for values in own],
                np.arange(len(emotions)) + offset,
                xerr=[100 * values["std"] for values in own],
                fmt=marker,
                color=colour,
                markersize=5.5,
                elinewidth=1.6,
                label=label(arm),
            )
        )
    mark_rows(ax, [f"{label(emotion)} ({support[emotion]:,.0f})" for emotion in emotions])
    ax.set_xlim(left=0)
    n_seeds = max(len(metrics[f"f1_{emotions[0]}"]["per_seed"]) for metrics in arms.values())
    name_axes(ax, x=f"F1 on real test, points ({over_seeds(n_seeds)})")
    add_legend(figure, handles)
    return figure


def draw_confusions(confusions: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Draw confusion matrices in percent of each true emotion, one panel per arm.

    Args:
        confusions: By arm `emotions` and `utterances` (true emotions in rows).
    """
    columns = min(len(confusions), 2)
    rows = -(-len(confusions) // columns)
    figure, axes = panels(rows, columns, 4.3 * rows + 0.1)
    for ax, (arm, confusion) in zip(axes, confusions.items(), strict=False):
        counts = np.asarray(confusion["utterances"], dtype=float)
        emotions = [label(emotion) for emotion in confusion["emotions"]]
        names = [f"{e} ({n:,.0f})" for e, n in zip(emotions, counts.sum(1), strict=True)]
        draw_heat(ax, _row_shares(counts), names, emotions)
        name_axes(ax, x="predicted", y="true (test utterances)", title=label(arm))
    for ax in axes[len(confusions) :]:
        ax.set_visible(False)
    return figure


def _row_shares(counts: np.ndarray) -> np.ndarray:
    totals = counts.sum(1, keepdims=True)
    return np.divide(counts, totals, out=np.full_like(counts, np.nan), where=totals > 0)


def draw_label_shares(
    real: Mapping[str, float] | None, planned: Sequence[Mapping[str, Any]]
) -> Figure:
    """Draw the emotions' shares in real train and in the synthetic dialogues of each strategy.

    Args:
        real: By emotion its share of real train utterances; None if they are not at hand.
        planned: Rows of strategy, emotion, share (accepted) and target (planned).
    """
    order = real or _totals(planned)
    emotions = sorted(order, key=lambda emotion: -order[emotion])
    strategies = list(dict.fromkeys(str(row["strategy"]) for row in planned))
    look = styles(["real_only", "augmented", *strategies])
    series = {} if real is None else {"real train": (look["real_only"], real)}
    series |= {
        f"synthetic, {strategy}": (
            look["augmented"] if number == 0 else look[strategy],
            {r["emotion"]: r["share"] for r in planned if r["strategy"] == strategy},
        )
        for number, strategy in enumerate(strategies)
    }
    figure, [ax] = panels(1, 1, 0.9 + 0.46 * len(emotions))
    offsets = np.linspace(-0.24, 0.24, len(series)) if len(series) > 1 else [0.0]
    handles: list[Any] = []
    for (name, ((colour, marker), shares)), offset in zip(series.items(), offsets, strict=True):
        rows = np.arange(len(emotions)) + offset
        values = [100 * shares.get(emotion, 0.0) for emotion in emotions]
        ax.hlines(rows, 0, values, color=colour, linewidth=1.6, alpha=0.6)
        handles += ax.plot(values, rows, marker, color=colour, markersize=6, label=label(name))
    own_offsets = offsets[len(series) - len(strategies) :]
    for strategy, offset in zip(strategies, own_offsets, strict=True):
        targets = {r["emotion"]: 100 * r["target"] for r in planned if r["strategy"] == strategy}
        rows = np.array([emotions.index(e) for e in targets if e in order]) + offset
        ax.plot([x for e, x in targets.items() if e in order], rows, "|", color=INK, markersize=11)
    if strategies:
        handles.append(Line2D([], [], color=INK, marker="|", ls="", ms=11, label="planned"))
    mark_rows(ax, [label(emotion) for emotion in emotions])
    ax.set_xlim(left=0)
    name_axes(ax, x="share of utterances, %")
    add_legend(figure, handles)
    return figure


def _totals(planned: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    totals: dict[str, float] = {}
    for row in planned:
        totals[row["emotion"]] = totals.get(row["emotion"], 0.0) + row["share"]
    return totals


def draw_transitions(transitions: Mapping[str, np.ndarray], emotions: Sequence[str]) -> Figure:
    """Draw how often an emotion follows another from turn to turn, in percent.

    Args:
        transitions: By name of the data, shares of shape (labels, labels) as
            `summaries.transition_shares` returns them.
        emotions: The label set's emotions in order.
    """
    figure, axes = panels(1, len(transitions), 3.6 if len(transitions) > 1 else 5.5)
    names = [label(emotion) for emotion in emotions]
    for number, (ax, (name, shares)) in enumerate(zip(axes, transitions.items(), strict=True)):
        draw_heat(ax, shares, names if number == 0 else [""] * len(names), names, size=7.5)
        name_axes(ax, x="next turn", y="this turn" if number == 0 else "", title=label(name))
    return figure


def draw_training_curves(histories: Mapping[str, pd.DataFrame]) -> Figure:
    """Draw the training loss by step, mean over seeds with a band from least to most.

    Args:
        histories: By arm a table with step, loss and seed.
    """
    look = styles(list(histories))
    figure, axes = panels(1, len(histories), 2.6, sharex=True, sharey=True)
    for number, (ax, (arm, history)) in enumerate(zip(axes, histories.items(), strict=True)):
        loss = history.groupby("step")["loss"].agg(["mean", "min", "max"])
        ax.fill_between(loss.index, loss["min"], loss["max"], color=look[arm][0], alpha=0.28, lw=0)
        ax.plot(loss.index, loss["mean"], color=look[arm][0], linewidth=1.6)
        ax.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        ax.grid(axis="y", color=MUTED, alpha=0.25, linewidth=0.6)
        name_axes(ax, x="optimiser step", y="" if number else "training loss", title=label(arm))
    return figure

"""Figures say what the numbers say, the same every time, whatever the names are."""

import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from erc_kedro.core.experiment import ARMS
from erc_kedro.reporting import figures, summaries
from erc_kedro.reporting.images import INK, inline_svg, png_of, svg_of
from erc_kedro.reporting.style import ARM_STYLES, styles
from tests.reporting.builders import (
    make_comparison,
    make_confusion,
    make_figures,
    make_history,
    make_inputs,
)


def texts(figure: Any) -> list[str]:
    return re.findall(r"<text[^>]*>([^<]*)</text>", svg_of(figure))


def test_the_same_values_give_the_same_bytes() -> None:
    first, second = (make_figures(make_inputs()) for _ in range(2))
    for name, figure in first.items():
        assert svg_of(figure) == svg_of(second[name]) == svg_of(figure), name
    assert png_of(first["differences"]) == png_of(second["differences"])
    assert "<dc:date>" not in svg_of(first["differences"])


def test_figures_may_be_drawn_side_by_side() -> None:
    def draw(_: int) -> str:
        return svg_of(figures.draw_differences(make_comparison()))

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(draw, range(8)))) == 1


def test_differences_show_every_arm_with_its_interval() -> None:
    comparison = make_comparison(difference=-0.0026, ci95=[-0.0104, 0.0053])
    said = texts(figures.draw_differences(comparison))
    assert {"oversampled", "augmented", "synthetic only"} <= set(said)
    assert "real only" not in said
    assert said.count("−0.3  [−1.0, +0.5]") == 2


@pytest.mark.parametrize("bounds", [[-0.2, -0.14], [-0.2, 0.2], [0.14, 0.2]])
def test_an_arm_far_out_leaves_the_others_readable(bounds: list[float]) -> None:
    comparison = make_comparison()
    for entry in comparison["comparisons"]:
        if entry["arm"] == "synthetic_only":
            entry |= {"difference": sum(bounds) / 2, "ci95": bounds}
    [ax, _] = figures.draw_differences(comparison).axes
    assert ax.get_xlim()[1] < 3
    heads = {line.get_marker() for line in ax.lines} & {"<", ">"}
    assert heads == {"<" if bound < 0 else ">" for bound in bounds}
    drawn = np.concatenate([line.get_xdata() for line in ax.lines])
    assert np.abs(drawn).max() <= ax.get_xlim()[1]


def test_emotions_are_ordered_by_support_and_arms_keep_their_colour() -> None:
    support = {"fear": 3, "neutral": 40, "joy": 12}
    figure = figures.draw_f1_by_emotion(make_comparison()["arms"], support)
    [ax] = figure.axes
    assert [t.get_text() for t in ax.get_yticklabels()] == ["neutral (40)", "joy (12)", "fear (3)"]
    drawn = {to_hex(line.get_color()).upper() for line in ax.lines}
    assert {colour.upper() for colour, _ in ARM_STYLES.values()} <= drawn


def test_arms_differ_in_marker_as_well_as_in_colour() -> None:
    look = styles([*ARMS, "another", "one_more"])
    assert len({colour for colour, _ in look.values()}) == len(look)
    assert len({marker for _, marker in look.values()}) == len(look)


def test_confusions_are_percent_of_each_true_emotion() -> None:
    confusion = {"emotions": ["joy", "fear"], "utterances": [[3, 1], [0, 0]]}
    figure = figures.draw_confusions({"augmented": confusion})
    cells = [t.get_text() for t in figure.axes[0].texts]
    assert cells == ["75", "25", "–", "–"]
    assert "joy (4)" in texts(figure)


@pytest.mark.parametrize("n_arms", [1, 2, 3, 4])
def test_confusions_have_one_panel_per_arm(n_arms: int) -> None:
    figure = figures.draw_confusions(dict.fromkeys(ARMS[:n_arms], make_confusion()))
    assert sum(ax.get_visible() for ax in figure.axes) == n_arms


def test_label_shares_show_real_accepted_and_planned() -> None:
    planned = [
        {"strategy": "balanced", "emotion": "joy", "share": 0.4, "target": 0.5},
        {"strategy": "balanced", "emotion": "fear", "share": 0.6, "target": 0.5},
    ]
    [ax] = figures.draw_label_shares({"fear": 0.1, "joy": 0.9}, planned).axes
    drawn = {line.get_marker(): list(line.get_xdata()) for line in ax.lines}
    assert drawn["o"] == [90, 10]
    assert drawn["D"] == [40, 60]
    assert drawn["|"] == [50, 50]


def test_transitions_are_shares_of_what_follows_within_a_dialogue() -> None:
    rows = [("a", "joy"), ("a", "fear"), ("a", "joy"), ("a", "joy"), ("b", "fear"), ("b", "joy")]
    table = pd.DataFrame(rows, columns=["dialogue_id", "emotion"])
    shares = summaries.transition_shares(table, ["joy", "fear", "anger"])
    assert shares[0].tolist() == [0.5, 0.5, 0]
    assert shares[1].tolist() == [1, 0, 0]
    assert np.isnan(shares[2]).all()
    figure = figures.draw_transitions({"real train": shares}, ["joy", "fear", "anger"])
    assert [t.get_text() for t in figure.axes[0].texts] == [
        "50",
        "50",
        "0",
        "100",
        "0",
        "0",
        "–",
        "–",
        "–",
    ]


def test_training_curves_have_mean_and_band() -> None:
    [ax] = figures.draw_training_curves({"augmented": make_history(3)}).axes
    assert ax.lines[0].get_ydata()[0] == pytest.approx(1.01)
    band = ax.collections[0].get_paths()[0].vertices[:, 1]
    assert band.max() == pytest.approx(1.02)


def test_figures_can_be_drawn_of_one_seed_and_two_arms() -> None:
    comparison = make_comparison(arms=("real_only", "augmented"), seeds=1)
    for figure in make_figures(make_inputs(comparison)).values():
        assert svg_of(figure)


HOSTILE = (
    "<script>alert(1)</script>",
    "a & b",
    "$\\frac{1",
    "$x$",
    "\u202eevil",
    "\x00nul",
    '"><g onload=x()>',
)


def test_names_cannot_break_out_of_a_figure() -> None:
    for name, figure in make_figures(make_inputs(make_comparison(emotions=HOSTILE))).items():
        if name in {"differences", "training"}:
            continue  # they name no emotion
        svg = svg_of(figure)
        assert png_of(figure)
        for text in (svg, inline_svg(svg, name, 'a "title" <script>')):
            assert "<script" not in text
            assert "<g onload" not in text
            assert "\u202e" not in text
            assert "⟨U+202E⟩evil" in text
            assert "a &amp; b" in text
            assert "$x$" in text


def test_a_lone_surrogate_can_be_drawn() -> None:
    arms = make_comparison(emotions=("joy", "half \ud83d"))["arms"]
    svg = svg_of(figures.draw_f1_by_emotion(arms, {"joy": 2, "half \ud83d": 1}))
    assert "half ⟨U+D83D⟩" in svg


def test_an_inline_figure_keeps_shapes_and_text_alone() -> None:
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        'viewBox="0 0 9 9" width="9pt" onload="x()"><script>x()</script><metadata/>'
        '<style>*{color:red}</style><image href="https://a.example/b"/><g id="p" onclick="x()">'
        f'<path d="M0 0" style="stroke: {INK}" clip-path="url(#c)"/>'
        '<use xlink:href="https://a.example/#c"/><use xlink:href="#p"/>'
        '<path d="M1 1" style="fill: url(https://a.example/d)"/></g><foreignObject/></svg>'
    )
    inline = inline_svg(svg, "one", "what it shows")
    assert inline.startswith('<svg viewBox="0 0 9 9" role="img" aria-label="what it shows"')
    assert "<title>what it shows</title>" in inline
    for gone in ("script", "onload", "onclick", "example", "style>", "metadata", "foreign", INK):
        assert gone not in inline
    for kept in ('id="one-p"', 'href="#one-p"', "url(#one-c)", "stroke: currentColor"):
        assert kept in inline

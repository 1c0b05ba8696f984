"""The page and the figures of a study, made from its tables alone."""

from typing import Any

import pandas as pd
import pytest

from erc_kedro.core.study import CellGroup
from erc_kedro.core.study_verdict import findings
from erc_kedro.reporting.images import png_of, svg_of
from erc_kedro.reporting.study_figures import draw_figures
from erc_kedro.reporting.study_report import render_study_report
from tests.core.test_study import about, study
from tests.test_harmless import Harmful

__all__ = ["study"]  # a fixture

COPIES = {"balanced": {"copied_utterances": 0.0123, "fivegrams": 0.0004, "dialogues": 3}}
REPEAT = {"kedro_command": "kedro run --pipelines=study_<b>x</b>", "git_commit": "abc123"}
SEEDS = {"bootstrap_draws": 300, "baseline": "real_only", "candidates": ["plain", "oversampled"]}


@pytest.fixture(scope="module")
def found(study: tuple[list[CellGroup], pd.DataFrame]) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The study's table with two more parts, and its confirmatory part."""
    table = study[1]
    curves = table[table["part"] == "curves"]
    none = curves["treatment"] == "0"
    transfer = curves.assign(
        part="transfer",
        treatment=curves["treatment"].where(none, "balanced").where(~none, "real_only"),
        against=curves["against"].where(none, "real_only"),
    )
    ablation = curves.assign(
        part="ablation",
        treatment=curves["treatment"].where(none, "loss_weight_1").where(~none, "augmented"),
        against=curves["against"].where(none, "augmented"),
    )
    confirmatory = about(table) | {"digest": "d1", "train": "d2", "synthetic": "d3"}
    confirmatory["declared"] |= SEEDS
    whole = transfer[transfer["real_fraction"] == 1]
    return pd.concat([table, ablation, whole], ignore_index=True), confirmatory


def page_of(found: tuple[pd.DataFrame, dict[str, Any]]) -> str:
    table, confirmatory = found
    figures = draw_figures(table, confirmatory)
    assert list(figures) == ["confirmatory", "emotions", "curves", "ablation", "transfer"]
    files = {f"{name}.svg": svg_of(own).encode() for name, own in figures.items()}
    return render_study_report(table, confirmatory, COPIES, files, REPEAT)


def test_the_page_says_what_was_found_and_how_to_repeat_it(
    found: tuple[pd.DataFrame, dict[str, Any]],
) -> None:
    page = page_of(found)
    parser = Harmful()
    parser.feed(page)
    assert not parser.found
    for sentence in findings(found[1]):
        assert sentence in page
    for said in ("d1", "d2", "d3", "abc123", "0, 1, 2", "study_&lt;b&gt;x&lt;/b&gt;", "1.2 %"):
        assert said in page
    assert "Trained on balanced synthetic dialogues alone" in page
    assert "every interval holds 0" in page
    assert "SAMPLE" not in page


def test_a_sample_concludes_nothing_on_its_page(
    found: tuple[pd.DataFrame, dict[str, Any]],
) -> None:
    page = page_of((found[0], found[1] | {"corpus_source": "sample"}))
    assert "SAMPLE" in page and "Nothing follows" in page
    assert "Trained on balanced" not in page


def test_the_same_numbers_give_the_same_pictures(
    found: tuple[pd.DataFrame, dict[str, Any]],
) -> None:
    one, again = (draw_figures(*found) for _ in range(2))
    for name in one:
        assert svg_of(one[name]) == svg_of(again[name])
        assert png_of(one[name]).startswith(b"\x89PNG")
        for ax in one[name].axes:
            assert ax.get_title(loc="left") or ax.get_ylabel()


def test_labels_are_on_every_axis(found: tuple[pd.DataFrame, dict[str, Any]]) -> None:
    curves = draw_figures(*found)["curves"]
    assert [bool(ax.get_ylabel()) for ax in curves.axes] == [True] * 4
    assert [ax.get_xlabel() for ax in curves.axes[2:]] == ["part of real train"] * 2

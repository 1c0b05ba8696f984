"""Wiring of reporting."""

from collections.abc import Sequence

from kedro.pipeline import Pipeline, node

from erc_kedro.pipelines.reporting.nodes import draw_figures, write_report
from erc_kedro.reporting.report import FIGURES


def create_pipeline(arms: Sequence[str]) -> Pipeline:
    """Return the stage that draws the figures and writes the report, over all arms."""
    shared = (
        "comparison",
        "corpus_card",
        "corpus_facts",
        "validation_report",
        "train_dialogues",
        "synthetic_dialogues",
    )
    figures = {name: f"{name}_figure" for name in FIGURES}
    return Pipeline(
        [
            node(
                draw_figures,
                inputs=_same(*shared, *_of(arms, "metrics", "training_history")),
                outputs=figures,
                name="draw_figures",
            ),
            node(
                write_report,
                inputs=_same(*shared, "generation_report", "result_table", "refused_dialogues")
                | _same("provenance", "style_shift", *_of(arms, "mixture", "training_history"))
                | figures,
                outputs="report",
                name="write_report",
            ),
        ],
        namespace="reporting",
        prefix_datasets_with_namespace=False,
    )


def _of(arms: Sequence[str], *kinds: str) -> list[str]:
    return [f"{arm}.{kind}" for arm in arms for kind in kinds]


def _same(*names: str) -> dict[str, str]:
    """Return inputs whose arguments bear the datasets' names."""
    return {name: name for name in names}

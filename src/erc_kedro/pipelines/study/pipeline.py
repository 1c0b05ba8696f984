"""Wiring of the study."""

from kedro.pipeline import Pipeline, node

from erc_kedro.core.experiment import ARMS
from erc_kedro.pipelines.study.nodes import choose_baselines, measure_copying, train_cells
from erc_kedro.pipelines.study.scoring import draw_study, score_study, write_study_report


def create_pipeline() -> Pipeline:
    """Return the stage: cells are trained, baselines chosen on train, then test is read, once."""
    declared = {"study": "params:study"} | {arm: f"params:{arm}" for arm in ARMS}
    return Pipeline(
        [
            node(
                train_cells,
                inputs=_same(
                    "train_dialogues",
                    "synthetic_dialogues",
                    "held_out_texts",
                    "validation_gate",
                    "study_features",
                    "corpus_card",
                    "cell_store",
                )
                | declared
                | {"training": "params:training"},
                outputs="study_cells",
                name="train_cells",
            ),
            node(
                choose_baselines,
                inputs=_same("study_cells", "train_dialogues", "corpus_card") | declared,
                outputs="baseline_choice",
                name="choose_baselines",
            ),
            node(
                measure_copying,
                inputs=["synthetic_dialogues", "train_dialogues"],
                outputs="copy_rates",
                name="measure_copying",
            ),
            node(
                score_study,
                inputs=_same(
                    "study_cells",
                    "baseline_choice",
                    "train_dialogues",
                    "test_dialogues",
                    "corpus_card",
                )
                | declared,
                outputs=["study_table", "confirmatory", "study_scores"],
                name="score_study",
            ),
            node(
                draw_study,
                inputs=["study_table", "confirmatory"],
                outputs="study_figures",
                name="draw_study",
            ),
            node(
                write_study_report,
                inputs=[
                    "study_table",
                    "confirmatory",
                    "copy_rates",
                    "study_figures",
                    "provenance",
                ],
                outputs="study_report",
                name="write_study_report",
            ),
        ],
        namespace="study",
        prefix_datasets_with_namespace=False,
    )


def _same(*names: str) -> dict[str, str]:
    """Return inputs whose arguments bear the datasets' names."""
    return {name: name for name in names}

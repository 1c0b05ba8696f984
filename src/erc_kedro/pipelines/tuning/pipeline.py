"""Wiring of tuning."""

from kedro.pipeline import Pipeline, node

from erc_kedro.pipelines.tuning.nodes import (
    check_on_dev,
    draw_tuning,
    propose_recipe,
    search_recipes,
    write_tuning_report,
)


def create_pipeline() -> Pipeline:
    """Return the stage that searches a recipe on train, and checks it on dev; it reads no test."""
    return Pipeline(
        [
            node(
                search_recipes,
                inputs=[
                    "train_dialogues",
                    "synthetic_dialogues",
                    "validation_gate",
                    "tuning_features",
                    "corpus_card",
                    "study_storage",
                    "params:tuning",
                    "params:training",
                    "params:augmented",
                ],
                outputs=["trials", "search_summary"],
                name="search_recipes",
            ),
            node(
                check_on_dev,
                inputs=[
                    "train_dialogues",
                    "dev_dialogues",
                    "synthetic_dialogues",
                    "tuning_features",
                    "corpus_card",
                    "search_summary",
                    "params:tuning",
                    "params:training",
                    "params:augmented",
                ],
                outputs="dev_check",
                name="check_on_dev",
            ),
            node(
                propose_recipe,
                inputs=["search_summary", "dev_check"],
                outputs=["tuning_summary", "tuned_recipe"],
                name="propose_recipe",
            ),
            node(
                draw_tuning,
                inputs=["trials", "search_summary"],
                outputs="tuning_figures",
                name="draw_tuning",
            ),
            node(
                write_tuning_report,
                inputs=["tuning_summary", "tuned_recipe", "trials", "tuning_figures"],
                outputs=["tuning_report", "trial_table"],
                name="write_tuning_report",
            ),
        ],
        namespace="tuning",
        prefix_datasets_with_namespace=False,
    )

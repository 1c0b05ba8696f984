"""Wiring of generation."""

from kedro.pipeline import Pipeline, node

from erc_kedro.pipelines.generation.nodes import (
    parse_completions,
    plan_dialogues,
    render_requests,
    write_dialogues,
)


def create_pipeline() -> Pipeline:
    """Return the pipeline from train dialogues to raw synthetic dialogues."""
    return Pipeline(
        [
            node(
                plan_dialogues,
                inputs=["train_dialogues", "corpus_card", "language_model", "params:generation"],
                outputs="specs",
                name="plan_dialogues",
            ),
            node(
                render_requests,
                inputs=["specs", "corpus_card", "params:generation"],
                outputs="requests",
                name="render_requests",
            ),
            node(
                write_dialogues,
                inputs=["requests", "language_model"],
                outputs="completions",
                name="write_dialogues",
            ),
            node(
                parse_completions,
                inputs=["completions", "specs"],
                outputs="raw_synthetic_dialogues",
                name="parse_completions",
            ),
        ],
        namespace="generation",
        prefix_datasets_with_namespace=False,
    )

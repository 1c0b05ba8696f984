"""Wiring of generation."""

from kedro.pipeline import Pipeline, node
from kedro.pipeline.node import Node

from erc_kedro.pipelines.generation.nodes import (
    gather_demonstrations,
    parse_candidates,
    plan_dialogues,
    preview_requests,
    write_dialogues,
)


def create_pipeline() -> Pipeline:
    """Return the pipeline from train dialogues to raw synthetic dialogues."""
    return _stage(
        *_prepare(),
        node(
            write_dialogues,
            inputs=[
                "specs",
                "demonstrations",
                "train_dialogues",
                "forbidden_texts",
                "corpus_card",
                "language_model",
                "params:generation",
                "params:validation.max_words",
            ],
            outputs=["candidates", "generation_report"],
            name="write_dialogues",
        ),
        node(
            parse_candidates,
            inputs="candidates",
            outputs="raw_synthetic_dialogues",
            name="parse_candidates",
        ),
    )


def create_preview_pipeline() -> Pipeline:
    """Return the pipeline that shows what would be asked, and asks nothing."""
    return _stage(
        *_prepare(),
        node(
            preview_requests,
            inputs=[
                "specs",
                "demonstrations",
                "train_dialogues",
                "corpus_card",
                "language_model",
                "params:generation",
            ],
            outputs="preview",
            name="preview_requests",
        ),
    )


def _prepare() -> list[Node]:
    return [
        node(
            plan_dialogues,
            inputs=[
                "train_dialogues",
                "corpus_card",
                "language_model",
                "params:generation",
                "params:validation.max_words",
            ],
            outputs="specs",
            name="plan_dialogues",
        ),
        node(
            gather_demonstrations,
            inputs=["train_dialogues", "language_model", "feature_store", "params:generation"],
            outputs="demonstrations",
            name="gather_demonstrations",
        ),
    ]


def _stage(*nodes: Node) -> Pipeline:
    return Pipeline(nodes, namespace="generation", prefix_datasets_with_namespace=False)

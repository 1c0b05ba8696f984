"""Wiring of evaluation."""

from collections.abc import Sequence

from kedro.pipeline import Pipeline, node

from erc_kedro.pipelines.evaluation.nodes import compare, evaluate, tabulate


def create_arm_pipeline() -> Pipeline:
    """Return an arm's part: its predictions are scored on real test."""
    return Pipeline(
        [
            node(
                evaluate,
                inputs=["predictions", "test_dialogues", "mixture", "corpus_card"],
                outputs=["dialogue_scores", "metrics"],
                name="evaluate",
            ),
        ],
        namespace="evaluation",
        prefix_datasets_with_namespace=False,
    )


def create_pipeline(arms: Sequence[str]) -> Pipeline:
    """Return the part that sees all arms, the baseline first: comparison and result table."""
    shared = {"corpus_card": "corpus_card", "experiment": "params:experiment"}
    return Pipeline(
        [
            node(
                compare,
                inputs=shared | {arm: f"{arm}.dialogue_scores" for arm in arms},
                outputs="comparison",
                name="compare",
            ),
            node(
                tabulate,
                inputs={"comparison": "comparison"} | {arm: f"{arm}.mixture" for arm in arms},
                outputs="result_table",
                name="tabulate",
            ),
        ],
        namespace="evaluation",
        prefix_datasets_with_namespace=False,
    )

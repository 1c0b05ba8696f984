"""Wiring of encoding."""

from collections.abc import Sequence

from kedro.pipeline import Pipeline, node

from erc_kedro.pipelines.encoding.nodes import collect_texts, encode


def create_pipeline(arms: Sequence[str]) -> Pipeline:
    """Return the pipeline from the dialogues that the arms use to their features."""
    tables = ("train_dialogues", "held_out_texts", "synthetic_dialogues")
    return Pipeline(
        [
            node(
                collect_texts,
                inputs={name: name for name in tables} | {arm: f"params:{arm}" for arm in arms},
                outputs="texts",
                name="collect_texts",
            ),
            node(
                encode,
                inputs=["texts", "feature_store", "params:encoding"],
                outputs="features",
                name="encode",
            ),
        ],
        namespace="encoding",
        prefix_datasets_with_namespace=False,
    )

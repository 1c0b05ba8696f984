"""Wiring of encoding."""

from kedro.pipeline import Pipeline, node

from erc_kedro.pipelines.encoding.nodes import collect_texts, encode


def create_pipeline() -> Pipeline:
    """Return the pipeline from dialogues to their features."""
    return Pipeline(
        [
            node(
                collect_texts,
                inputs=["train_dialogues", "held_out_texts", "synthetic_dialogues"],
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

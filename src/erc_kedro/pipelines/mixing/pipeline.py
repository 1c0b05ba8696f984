"""Wiring of mixing."""

from kedro.pipeline import Pipeline, node

from erc_kedro.pipelines.mixing.nodes import draw_real_train, mix


def create_pipeline() -> Pipeline:
    """Return the part that all arms share: the real dialogues of every seed."""
    return Pipeline(
        [
            node(
                draw_real_train,
                inputs=["train_dialogues", "params:experiment"],
                outputs="real_train",
                name="draw_real_train",
            ),
        ],
        namespace="mixing",
        prefix_datasets_with_namespace=False,
    )


def create_arm_pipeline() -> Pipeline:
    """Return an arm's part: its training sets."""
    return Pipeline(
        [
            node(
                mix,
                inputs=[
                    "real_train",
                    "synthetic_dialogues",
                    "validation_gate",
                    "verdicts",
                    "corpus_card",
                    "params:recipe",
                    "params:augmented",
                ],
                outputs=["training_sets", "mixture"],
                name="mix",
            ),
        ],
        namespace="mixing",
        prefix_datasets_with_namespace=False,
    )

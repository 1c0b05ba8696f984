"""Wiring of training."""

from kedro.pipeline import Pipeline, node

from erc_kedro.pipelines.training.nodes import predict, train


def create_arm_pipeline() -> Pipeline:
    """Return an arm's part: its training sets become classifiers, those predict test."""
    return Pipeline(
        [
            node(
                train,
                inputs=[
                    "training_sets",
                    "real_train",
                    "features",
                    "corpus_card",
                    "params:training",
                    "params:recipe",
                    "classifier_store",
                ],
                outputs=["classifiers", "training_history"],
                name="train",
            ),
            node(
                predict,
                inputs=[
                    "classifiers",
                    "features",
                    "held_out_texts",
                    "corpus_card",
                    "params:training",
                    "params:recipe",
                ],
                outputs="predictions",
                name="predict",
            ),
        ],
        namespace="training",
        prefix_datasets_with_namespace=False,
    )

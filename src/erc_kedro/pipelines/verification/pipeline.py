"""Wiring of verification."""

from collections.abc import Sequence

from kedro.pipeline import Pipeline, node

from erc_kedro.pipelines.verification.nodes import verify


def create_pipeline(arms: Sequence[str]) -> Pipeline:
    """Return the stage between encoding and mixing: verdicts on the synthetic utterances."""
    tables = ("synthetic_dialogues", "validation_gate", "real_train", "features", "corpus_card")
    stores = ("verifier_store", "diversity_store")
    return Pipeline(
        [
            node(
                verify,
                inputs={name: name for name in (*tables, *stores)}
                | {"training": "params:training"}
                | {arm: f"params:{arm}" for arm in arms},
                outputs="verdicts",
                name="verify",
            ),
        ],
        namespace="verification",
        prefix_datasets_with_namespace=False,
    )

"""Wiring of verification."""

from collections.abc import Sequence

from kedro.pipeline import Pipeline, node
from kedro.pipeline.node import Node

from erc_kedro.pipelines.verification.nodes import measure_style, verify


def create_pipeline(arms: Sequence[str]) -> Pipeline:
    """Return the stage between encoding and mixing: verdicts on the synthetic utterances."""
    tables = ("synthetic_dialogues", "validation_gate", "real_train", "features", "corpus_card")
    stores = ("verifier_store", "diversity_store", "error_store")
    inputs = {name: name for name in (*tables, *stores)} | {"training": "params:training"}
    return _stage(node(verify, inputs=inputs | _recipes(arms), outputs="verdicts", name="verify"))


def create_style_pipeline(arms: Sequence[str]) -> Pipeline:
    """Return the part that measures how real and synthetic utterances are told apart."""
    inputs = {name: name for name in ("train_dialogues", "synthetic_dialogues", "features")}
    return _stage(
        node(
            measure_style,
            inputs=inputs | _recipes(arms),
            outputs="style_shift",
            name="measure_style",
        )
    )


def _recipes(arms: Sequence[str]) -> dict[str, str]:
    return {arm: f"params:{arm}" for arm in arms}


def _stage(one: Node) -> Pipeline:
    return Pipeline([one], namespace="verification", prefix_datasets_with_namespace=False)

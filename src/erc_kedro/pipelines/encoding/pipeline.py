"""Wiring of encoding."""

from collections.abc import Sequence

from kedro.pipeline import Pipeline, node
from kedro.pipeline.node import Node

from erc_kedro.pipelines.encoding.nodes import (
    collect_study_texts,
    collect_texts,
    collect_tuning_texts,
    encode,
)


def create_pipeline(arms: Sequence[str]) -> Pipeline:
    """Return the pipeline from the dialogues that the arms use to their features."""
    tables = ("train_dialogues", "held_out_texts", "synthetic_dialogues")
    return _stage(
        node(
            collect_texts,
            inputs={name: name for name in tables} | {arm: f"params:{arm}" for arm in arms},
            outputs="texts",
            name="collect_texts",
        ),
        _encode("texts", "features", "encode"),
    )


def create_tuning_pipeline() -> Pipeline:
    """Return the pipeline from the dialogues that tuning uses to their features."""
    return _stage(
        node(
            collect_tuning_texts,
            inputs=["train_dialogues", "dev_dialogues", "synthetic_dialogues"],
            outputs="tuning_texts",
            name="collect_tuning_texts",
        ),
        _encode("tuning_texts", "tuning_features", "encode_tuning_texts"),
    )


def create_study_pipeline() -> Pipeline:
    """Return the pipeline from the dialogues that a study uses to their features."""
    return _stage(
        node(
            collect_study_texts,
            inputs=["train_dialogues", "held_out_texts", "synthetic_dialogues"],
            outputs="study_texts",
            name="collect_study_texts",
        ),
        _encode("study_texts", "study_features", "encode_study_texts"),
    )


def _encode(texts: str, features: str, name: str) -> Node:
    inputs = [texts, "feature_store", "params:encoding"]
    return node(encode, inputs=inputs, outputs=features, name=name)


def _stage(*nodes: Node) -> Pipeline:
    return Pipeline(nodes, namespace="encoding", prefix_datasets_with_namespace=False)

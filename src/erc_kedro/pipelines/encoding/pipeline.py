"""Wiring of encoding."""

from collections.abc import Sequence

from kedro.pipeline import Pipeline, node
from kedro.pipeline.node import Node

from erc_kedro.core.experiment import ARMS, AUGMENTED
from erc_kedro.pipelines.encoding.nodes import (
    adapt,
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
        _adapt("adapt_encoder", "adapted_encoder", *arms),
        _encode("encode", "texts", "adapted_encoder", "features"),
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
        _adapt("adapt_tuning_encoder", "adapted_tuning_encoder", AUGMENTED, "tuning"),
        _encode("encode_tuning_texts", "tuning_texts", "adapted_tuning_encoder", "tuning_features"),
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
        _adapt("adapt_study_encoder", "adapted_study_encoder", *ARMS, "study"),
        _encode("encode_study_texts", "study_texts", "adapted_study_encoder", "study_features"),
    )


def _adapt(name: str, adapted: str, *asking: str) -> Node:
    """Return the node that adapts the encoder if one of these parameter groups asks for it."""
    tables = ("synthetic_dialogues", "validation_gate", "corpus_card", "encoder_store")
    groups = ("adaptation", "encoding", "training", *asking)
    inputs = {table: table for table in tables} | {group: f"params:{group}" for group in groups}
    return node(adapt, inputs=inputs, outputs=adapted, name=name)


def _encode(name: str, texts: str, adapted: str, features: str) -> Node:
    inputs = [texts, "feature_store", adapted, "params:encoding", "params:adaptation"]
    return node(encode, inputs=inputs, outputs=features, name=name)


def _stage(*nodes: Node) -> Pipeline:
    return Pipeline(nodes, namespace="encoding", prefix_datasets_with_namespace=False)

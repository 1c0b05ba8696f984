"""Mixing: the real dialogues of each seed, and each arm's training sets from them."""

from erc_kedro.pipelines.mixing.pipeline import create_arm_pipeline, create_pipeline

__all__ = ["create_arm_pipeline", "create_pipeline"]

"""Evaluation: metrics of each arm, and the comparison of all arms."""

from erc_kedro.pipelines.evaluation.pipeline import create_arm_pipeline, create_pipeline

__all__ = ["create_arm_pipeline", "create_pipeline"]

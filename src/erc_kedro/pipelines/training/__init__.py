"""Training: an arm's classifiers, one per seed."""

from erc_kedro.pipelines.training.pipeline import create_arm_pipeline

__all__ = ["create_arm_pipeline"]

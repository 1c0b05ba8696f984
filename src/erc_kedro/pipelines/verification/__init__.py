"""Verification: what a model of the real dialogues makes of the synthetic ones."""

from erc_kedro.pipelines.verification.pipeline import create_pipeline, create_style_pipeline

__all__ = ["create_pipeline", "create_style_pipeline"]

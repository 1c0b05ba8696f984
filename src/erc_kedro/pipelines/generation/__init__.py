"""Generation: dialogues are planned, requested of a language model, and parsed."""

from erc_kedro.pipelines.generation.pipeline import create_pipeline, create_preview_pipeline

__all__ = ["create_pipeline", "create_preview_pipeline"]

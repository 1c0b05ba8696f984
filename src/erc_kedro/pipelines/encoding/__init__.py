"""Encoding: every distinct text becomes features, once."""

from erc_kedro.pipelines.encoding.pipeline import (
    create_pipeline,
    create_study_pipeline,
    create_tuning_pipeline,
)

__all__ = ["create_pipeline", "create_study_pipeline", "create_tuning_pipeline"]

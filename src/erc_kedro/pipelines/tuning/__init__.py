"""Tuning: a search for the recipe that makes the best classifier, checked on dev at the end."""

from erc_kedro.pipelines.tuning.pipeline import create_pipeline

__all__ = ["create_pipeline"]

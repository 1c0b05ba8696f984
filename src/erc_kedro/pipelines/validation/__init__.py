"""Validation: rules accept or refuse each synthetic dialogue, expectations judge the whole."""

from erc_kedro.pipelines.validation.pipeline import create_pipeline

__all__ = ["create_pipeline"]

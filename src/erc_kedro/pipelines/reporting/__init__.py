"""Reporting: the figures, and one page that shows the experiment to others."""

from erc_kedro.pipelines.reporting.pipeline import create_pipeline

__all__ = ["create_pipeline"]

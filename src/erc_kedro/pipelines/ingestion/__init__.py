"""Ingestion: a raw corpus becomes dialogue tables, the held-out texts and the corpus card."""

from erc_kedro.pipelines.ingestion.pipeline import create_pipeline

__all__ = ["create_pipeline"]

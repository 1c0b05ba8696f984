"""Study: whether synthetic dialogues help, for whom, how much and why, declared beforehand."""

from erc_kedro.pipelines.study.pipeline import create_pipeline

__all__ = ["create_pipeline"]

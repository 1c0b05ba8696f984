"""Release: the synthetic dialogues as a data set for others, with a card that says what it is."""

from erc_kedro.pipelines.release.pipeline import ARMS_OF_RELEASE, create_pipeline

__all__ = ["ARMS_OF_RELEASE", "create_pipeline"]

"""What a node's or a dataset's name says: corpus and arm."""

from kedro.pipeline import Pipeline

from erc_kedro.core.experiment import ARMS
from erc_kedro.corpora import CORPORA


def corpus_of(pipeline: Pipeline) -> str | None:
    """Return the corpus whose namespace a pipeline's nodes stand in; None if not just one."""
    found = {str(node.namespace).split(".")[0] for node in pipeline.nodes} & set(CORPORA)
    return found.pop() if len(found) == 1 else None


def arm_of(name: str | None) -> str | None:
    """Return the arm in a namespace or dataset name such as "<corpus>.augmented.metrics"."""
    parts = (name or "").split(".")
    return parts[1] if len(parts) > 1 and parts[1] in ARMS else None


def stage_of(namespace: str | None) -> str:
    """Return the stage in a node's namespace such as "<corpus>.augmented.training"."""
    return (namespace or "").rsplit(".", maxsplit=1)[-1]

"""The pipelines that users run: <verb>_<corpus>, the same flow for every corpus."""

from collections.abc import Sequence

from kedro.pipeline import Pipeline

from erc_kedro.core.experiment import ARMS, AUGMENTED
from erc_kedro.corpora import CORPORA
from erc_kedro.pipelines import (
    encoding,
    evaluation,
    generation,
    ingestion,
    mixing,
    release,
    reporting,
    study,
    training,
    tuning,
    validation,
    verification,
)

_SHARED_BY_CORPORA = {"feature_store", "encoder_store", "study_storage"}

_SHARED_BY_ARMS = {
    "real_train",
    "synthetic_dialogues",
    "validation_gate",
    "verdicts",
    "features",
    "held_out_texts",
    "test_dialogues",
    "corpus_card",
}


def register_pipelines() -> dict[str, Pipeline]:
    """Return every pipeline by name; `__default__` augments the first corpus."""
    registered = {}
    for corpus in CORPORA:
        prepare = ingestion.create_pipeline()
        preview = prepare + generation.create_preview_pipeline()
        generate = prepare + generation.create_pipeline() + validation.create_pipeline()
        augment = generate + encoding.create_pipeline(ARMS) + experiment_pipeline(ARMS)
        flows = {
            "prepare": prepare,
            "preview": preview,
            "generate": generate,
            "augment": augment,
            "release": generate + release_pipeline(),
            "study": generate + encoding.create_study_pipeline() + study.create_pipeline(),
            "tune": generate + encoding.create_tuning_pipeline() + tuning.create_pipeline(),
        }
        for verb, flow in flows.items():
            registered[f"{verb}_{corpus}"] = Pipeline(
                flow, namespace=corpus, inputs=flow.inputs() & _SHARED_BY_CORPORA
            )
    return registered | {"__default__": registered[f"augment_{next(iter(CORPORA))}"]}


def experiment_pipeline(arms: Sequence[str]) -> Pipeline:
    """Return the experiment: what its arms share, each arm, comparison and report."""
    parts = (arm_pipeline(arm) for arm in arms)
    shared = mixing.create_pipeline() + verification.create_pipeline(arms)
    compared = sum(parts, shared) + evaluation.create_pipeline(arms)
    style = verification.create_style_pipeline(arms)
    return compared + style + reporting.create_pipeline(arms)


def release_pipeline() -> Pipeline:
    """Return what follows generation in a release: the arms that its card tells of, and itself."""
    arms = release.ARMS_OF_RELEASE
    shared = mixing.create_pipeline() + verification.create_pipeline(arms)
    parts = sum((arm_pipeline(arm) for arm in arms), shared)
    return encoding.create_pipeline(arms) + parts + release.create_pipeline()


def arm_pipeline(arm: str) -> Pipeline:
    """Return one arm: mix, train and predict, evaluate, by the recipe under its name."""
    flow = (
        mixing.create_arm_pipeline()
        + training.create_arm_pipeline()
        + evaluation.create_arm_pipeline()
    )
    return Pipeline(
        flow,
        namespace=arm,
        inputs=_SHARED_BY_ARMS,
        parameters={
            "params:recipe": f"params:{arm}",
            "params:augmented": f"params:{AUGMENTED}",
            "params:training": "params:training",
        },
    )

"""Wiring of release."""

from kedro.pipeline import Pipeline, node

from erc_kedro.core.experiment import BASELINE, SYNTHETIC_ONLY
from erc_kedro.pipelines.release.nodes import measure_release, write_release

ARMS_OF_RELEASE = (BASELINE, SYNTHETIC_ONLY)
"""The arms whose scores the card tells: trained on real, and on synthetic dialogues alone."""


def create_pipeline() -> Pipeline:
    """Return the stage that measures the accepted dialogues and writes the folder for others."""
    return Pipeline(
        [
            node(
                measure_release,
                inputs=[
                    "synthetic_dialogues",
                    "train_dialogues",
                    "forbidden_texts",
                    "validation_gate",
                    "second_labels",
                    "feature_store",
                    "params:release",
                ],
                outputs="release_measures",
                name="measure_release",
            ),
            node(
                write_release,
                inputs=[
                    "synthetic_dialogues",
                    "train_dialogues",
                    "candidates",
                    "demonstrations",
                    "release_measures",
                    "corpus_card",
                    "generation_report",
                    "validation_report",
                    "provenance",
                    f"{BASELINE}.metrics",
                    f"{SYNTHETIC_ONLY}.metrics",
                    f"params:{SYNTHETIC_ONLY}",
                    "params:generation.template",
                    "params:generation.speech_register",
                    "params:generation.definitions",
                    "params:generation.manner",
                    "params:generation.demonstrations.n",
                    "params:release",
                ],
                outputs="release",
                name="write_release",
            ),
        ],
        namespace="release",
        prefix_datasets_with_namespace=False,
    )

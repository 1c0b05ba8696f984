"""Wiring of validation."""

from kedro.pipeline import Pipeline, node

from erc_kedro.pipelines.validation.nodes import check_corpus, gate, validate


def create_pipeline() -> Pipeline:
    """Return the pipeline from raw synthetic dialogues to accepted ones and the open gate."""
    return Pipeline(
        [
            node(
                check_corpus,
                inputs=[
                    "train_dialogues",
                    "held_out_texts",
                    "corpus_card",
                    "corpus_facts",
                    "params:validation",
                ],
                outputs="corpus_report",
                name="check_corpus",
            ),
            node(
                validate,
                inputs=[
                    "raw_synthetic_dialogues",
                    "specs",
                    "train_dialogues",
                    "forbidden_texts",
                    "corpus_card",
                    "params:validation",
                ],
                outputs=[
                    "synthetic_dialogues",
                    "refused_dialogues",
                    "validation_report",
                    "data_docs",
                ],
                name="validate",
            ),
            node(
                gate,
                inputs=["validation_report", "corpus_card"],
                outputs="validation_gate",
                name="gate",
            ),
        ],
        namespace="validation",
        prefix_datasets_with_namespace=False,
    )

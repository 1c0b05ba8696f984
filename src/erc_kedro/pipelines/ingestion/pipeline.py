"""Wiring of ingestion."""

from kedro.pipeline import Pipeline, node

from erc_kedro.pipelines.ingestion.nodes import forbid_texts, split_corpus


def create_pipeline() -> Pipeline:
    """Return the pipeline from the raw corpus to its splits, card and forbidden texts."""
    return Pipeline(
        [
            node(
                split_corpus,
                inputs=["raw", "params:ingestion"],
                outputs=[
                    "train_dialogues",
                    "dev_dialogues",
                    "test_dialogues",
                    "held_out_texts",
                    "corpus_card",
                    "corpus_facts",
                ],
                name="split_corpus",
            ),
            node(
                forbid_texts,
                inputs=["held_out_texts", "other_corpora", "corpus_card"],
                outputs="forbidden_texts",
                name="forbid_texts",
            ),
        ],
        namespace="ingestion",
        prefix_datasets_with_namespace=False,
    )

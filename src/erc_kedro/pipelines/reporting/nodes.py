"""Nodes of reporting. They read what other stages found, and of real test only its counts."""

from typing import Any

import pandas as pd


def draw_figures(
    comparison: dict[str, Any],
    corpus_card: dict[str, Any],
    corpus_facts: dict[str, Any],
    validation_report: dict[str, Any],
    train_dialogues: pd.DataFrame,
    synthetic_dialogues: pd.DataFrame,
    **of_arms: Any,
) -> dict[str, Any]:
    """Draw the report's figures.

    Args:
        comparison: Of all arms.
        corpus_card: Of the corpus.
        corpus_facts: Label counts of every split.
        validation_report: Its planned and accepted label shares are used.
        train_dialogues: Real train, for its emotions.
        synthetic_dialogues: The accepted ones, for their emotions.
        **of_arms: "<arm>.metrics" and "<arm>.training_history" of every arm.

    Returns:
        Matplotlib figures by name: differences, emotions, confusions, shares, transitions,
        training.
    """
    from erc_kedro.reporting import figures, summaries

    emotions = list(corpus_card["emotions"])
    metrics = _by_arm(of_arms, comparison, "metrics")
    return {
        "differences": figures.draw_differences(comparison),
        "emotions": figures.draw_f1_by_emotion(
            comparison["arms"],
            {emotion: corpus_facts["test"]["emotions"].get(emotion, 0) for emotion in emotions},
        ),
        "confusions": figures.draw_confusions(
            {arm: found["confusion"] for arm, found in metrics.items()}
        ),
        "shares": figures.draw_label_shares(
            summaries.label_shares(train_dialogues, emotions), validation_report["shares"]
        ),
        "transitions": figures.draw_transitions(
            summaries.transitions_by_data(train_dialogues, synthetic_dialogues, emotions), emotions
        ),
        "training": figures.draw_training_curves(_by_arm(of_arms, comparison, "training_history")),
    }


def write_report(
    corpus_card: dict[str, Any],
    corpus_facts: dict[str, Any],
    comparison: dict[str, Any],
    result_table: pd.DataFrame,
    generation_report: dict[str, Any],
    validation_report: dict[str, Any],
    train_dialogues: pd.DataFrame,
    synthetic_dialogues: pd.DataFrame,
    refused_dialogues: pd.DataFrame,
    provenance: dict[str, Any],
    style_shift: dict[str, Any],
    **others: Any,
) -> str:
    """Write the report.

    Args:
        corpus_card: Of the corpus.
        corpus_facts: Sizes, label counts and findings of every split.
        comparison: Of all arms.
        result_table: One row per arm.
        generation_report: What was asked of the language model, and what it cost.
        validation_report: Of the synthetic dialogues.
        train_dialogues: Real train, for its label counts.
        synthetic_dialogues: The accepted ones.
        refused_dialogues: The refused ones, with their reasons.
        provenance: How to repeat the run.
        style_shift: How real and synthetic utterances are told apart.
        **others: "<arm>.mixture" and "<arm>.training_history" of every arm, and the figures as
            SVG text by their names.

    Returns:
        One self-contained HTML file's text.
    """
    from erc_kedro.reporting.report import FIGURES, render_report

    return render_report(
        corpus_card=corpus_card,
        corpus_facts=corpus_facts,
        comparison=comparison,
        result_table=result_table,
        generation_report=generation_report,
        validation_report=validation_report,
        train_dialogues=train_dialogues,
        synthetic_dialogues=synthetic_dialogues,
        refused_dialogues=refused_dialogues,
        provenance=provenance,
        style_shift=style_shift,
        mixtures=_by_arm(others, comparison, "mixture"),
        histories=_by_arm(others, comparison, "training_history"),
        figures={name: others[name] for name in FIGURES},
    )


def _by_arm(values: dict[str, Any], comparison: dict[str, Any], kind: str) -> dict[str, Any]:
    """Return the values of one kind by arm, in the comparison's order."""
    return {arm: values[f"{arm}.{kind}"] for arm in comparison["arms"]}

"""F1 scores from counts, so that thousands of resamplings cost one matrix product."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

HEADLINE = ("weighted_f1", "macro_f1")
"""The metrics that arms are compared on."""


def dialogue_counts(
    truth: npt.NDArray[np.int64],
    predicted: npt.NDArray[np.int64],
    dialogue: npt.NDArray[np.int64],
    n_labels: int,
) -> Floats:
    """Count, per dialogue, what F1 needs.

    Args:
        truth: Shape (utterances,): label codes.
        predicted: Shape (seeds, utterances): predicted label codes.
        dialogue: Shape (utterances,): dialogue number of each utterance, from 0.
        n_labels: Size of the label set.

    Returns:
        Shape (seeds, dialogues, 3, labels): hits, predictions, and true utterances.
    """
    seeds, n_dialogues = len(predicted), int(dialogue.max()) + 1
    counts = np.zeros((seeds, n_dialogues, 3, n_labels))
    for seed, row in enumerate(predicted):
        np.add.at(counts[seed, :, 0], (dialogue, truth), row == truth)
        np.add.at(counts[seed, :, 1], (dialogue, row), 1)
        np.add.at(counts[seed, :, 2], (dialogue, truth), 1)
    return counts


def f1_per_label(counts: Floats) -> Floats:
    """Return F1 from counts of shape (..., 3, labels) as (..., labels); 0 where nothing is."""
    hits, predicted, true = counts[..., 0, :], counts[..., 1, :], counts[..., 2, :]
    return 2 * hits / np.maximum(predicted + true, 1e-12)


def headline_scores(counts: Floats) -> Floats:
    """Return weighted and macro F1, in the order of `HEADLINE`, shape (..., 2)."""
    f1, true = f1_per_label(counts), counts[..., 2, :]
    weighted = (f1 * true).sum(-1) / np.maximum(true.sum(-1), 1e-12)
    return np.stack([weighted, f1.mean(-1)], axis=-1)


def scores(counts: Floats, emotions: Sequence[str]) -> dict[str, float]:
    """Return every metric of one classifier.

    Args:
        counts: Shape (3, labels).
        emotions: The label set's emotions in order.

    Returns:
        weighted_f1, macro_f1, accuracy and f1_<emotion>, fractions of 1.
    """
    headline = dict(zip(HEADLINE, headline_scores(counts).tolist(), strict=True))
    accuracy = float(counts[0].sum() / max(counts[2].sum(), 1e-12))
    per_label = {
        f"f1_{emotion}": float(value)
        for emotion, value in zip(emotions, f1_per_label(counts), strict=True)
    }
    return headline | {"accuracy": accuracy} | per_label

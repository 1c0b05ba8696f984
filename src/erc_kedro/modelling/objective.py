"""The loss that all arms share: class weights from real train, prior correction per source."""

import numpy as np
import pandas as pd
import torch
from torch.nn import functional as F

from erc_kedro.core.errors import UserError
from erc_kedro.core.labels import LabelSet, vote_columns
from erc_kedro.modelling.settings import ObjectiveSettings

SOURCES = ("real", "repeated", "synthetic")

UNLABELLED = -1
"""The code of an utterance of `labels.OTHER`."""


class Objective:
    """Weighted cross-entropy with prior-corrected logits.

    A sample's logits are raised by the log label prior of its own source while training, and by
    that of real train when predicting (logit adjustment, Menon et al., ICLR 2021, section 5.1;
    here with one prior per source, so that added dialogues with other label shares do not shift
    the decision).

    Args:
        training_set: One seed's training set: emotion and source of every utterance.
        real: The real dialogues of the same seed, whether or not they are in the training set.
        label_set: The corpus's label set.
        settings: Power of the class weights, prior correction, and soft labels.

    Raises:
        UserError: If labels shall be soft and the real dialogues hold no votes.
    """

    def __init__(
        self,
        training_set: pd.DataFrame,
        real: pd.DataFrame,
        label_set: LabelSet,
        settings: ObjectiveSettings,
    ) -> None:
        if settings.soft_labels and not vote_columns(real):
            raise UserError(
                "The real dialogues hold no annotators' votes.",
                where="training.objective.soft_labels: true",
                expected="a corpus, and a layout of its files, with votes",
                remedy="leave soft_labels out; docs/configuration.md says which corpora have votes",
            )

        def counts(rows: pd.DataFrame) -> np.ndarray:
            return label_set.counts(rows["emotion"]) + settings.prior_smoothing

        real_counts = counts(real)
        weights = (real_counts.sum() / real_counts) ** settings.class_weight_power
        weights /= (weights * real_counts).sum() / real_counts.sum()
        by_source = [
            real_counts
            if source == "real"
            else counts(training_set[training_set["source"] == source])
            for source in SOURCES
        ]
        priors = np.log([row / row.sum() for row in by_source]) * settings.prior_correction
        self.class_weights = torch.tensor(weights, dtype=torch.float32)
        self.log_priors = torch.tensor(priors, dtype=torch.float32)  # (sources, labels)

    def to(self, device: torch.device) -> "Objective":
        """Move to a device and return itself."""
        self.class_weights = self.class_weights.to(device)
        self.log_priors = self.log_priors.to(device)
        return self

    def loss(
        self,
        logits: torch.Tensor,
        wanted: torch.Tensor,
        sources: torch.Tensor,
        weights: torch.Tensor,
    ) -> torch.Tensor:
        """Return the mean loss of the labelled utterances; 0 if there is none.

        Args:
            logits: Shape (utterances, labels).
            wanted: Label codes of shape (utterances,), `UNLABELLED` for context alone; or soft
                labels of shape (utterances, labels), all 0 for context alone.
            sources: Shape (utterances,): positions in `SOURCES`.
            weights: Shape (utterances,): weight of each in the loss; 0 for context alone.
        """
        entropy = cross_entropy(logits + self.log_priors[sources], wanted)
        weights = self.weighed(wanted, weights)
        return (weights * entropy).sum() / weights.sum().clamp_min(1e-12)

    def weighed(self, wanted: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """Return the weights of utterances times those of their labels, shape (utterances,)."""
        if wanted.is_floating_point():
            return weights * (wanted @ self.class_weights)
        return weights * self.class_weights[wanted]


def cross_entropy(logits: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Return the cross-entropy of each utterance, shape (utterances,); 0 if it has no label."""
    if wanted.is_floating_point():
        return F.cross_entropy(logits, wanted, reduction="none")
    return F.cross_entropy(logits, wanted, reduction="none", ignore_index=UNLABELLED)


def source_codes(rows: pd.DataFrame) -> torch.Tensor:
    """Return each row's position in `SOURCES`, int64 of shape (rows,).

    Raises:
        ValueError: If a row has another source.
    """
    codes = pd.Index(SOURCES).get_indexer(pd.Index(rows["source"]))
    if (codes < 0).any():
        raise ValueError(f"unknown source, expected one of {SOURCES}")
    return torch.from_numpy(codes.astype("int64"))

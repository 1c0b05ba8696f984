"""One training of the contextual classifier, ready to begin: alone, or stacked with others."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch

from erc_kedro.modelling.classifier import State
from erc_kedro.modelling.contextual_head import ContextualHead
from erc_kedro.modelling.objective import Objective
from erc_kedro.modelling.settings import ContextualSettings
from erc_kedro.modelling.threads import seeded

ENCODER = "encoder."
"""What the names of an own encoder's weights begin with in a state."""


@dataclass(frozen=True)
class Prepared:
    """All that one training reads, on the CPU.

    Attributes:
        inputs: Standardised features of the training set, shape (utterances, features).
        mean: Of the real features, shape (features,).
        scale: Their standard deviation, shape (features,).
        objective: The loss.
        wanted: Labels as `Objective.loss` takes them, one per utterance.
        sources: Positions in `SOURCES`, shape (utterances,).
        weights: Of the utterances in the loss, shape (utterances,).
        dialogues: The rows of each dialogue.
        plan: The numbers of the dialogues of each step.
        seed: Of initial weights, dropout and order.
        encoder: Weights of the classifier's own encoder, if it has one.
    """

    inputs: torch.Tensor
    mean: torch.Tensor
    scale: torch.Tensor
    objective: Objective
    wanted: torch.Tensor
    sources: torch.Tensor
    weights: torch.Tensor
    dialogues: list[range]
    plan: list[np.ndarray]
    seed: int
    encoder: Mapping[str, torch.Tensor] = field(default_factory=dict)

    def head(self, settings: ContextualSettings, device: torch.device) -> ContextualHead:
        """Return the network with its initial weights, and a generator of its own for dropout."""
        generator = torch.Generator(device).manual_seed(self.seed)
        labels = len(self.objective.class_weights)
        with seeded(self.seed):  # initial weights
            head = ContextualHead(self.inputs.shape[1], labels, settings, generator)
        return head.to(device)

    def state(self, weights: Mapping[str, torch.Tensor]) -> State:
        """Return what is kept of a training: weights of the head by name, scale and prior."""
        state = {f"head.{name}": value.cpu() for name, value in weights.items()}
        state |= {f"{ENCODER}{name}": value for name, value in self.encoder.items()}
        log_prior = self.objective.log_priors[0].cpu()
        return state | {"mean": self.mean, "scale": self.scale, "log_prior": log_prior}


def average_decay(settings: ContextualSettings, step: int) -> float:
    """Return the decay of the running average of weights at a step, counted from 1."""
    return min(settings.average_decay, step / (step + 9))

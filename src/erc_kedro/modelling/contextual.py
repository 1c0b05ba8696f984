"""The contextual classifier: a convolution over the turns of a dialogue, on frozen features."""

import math

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn import functional as F

from erc_kedro.core.labels import LabelSet, labelled
from erc_kedro.modelling.batches import batches_of, collate, of_dialogues, parts_of, row_ranges
from erc_kedro.modelling.classifier import Advance, History, State, steps_beside, targets, unseen
from erc_kedro.modelling.features import Features, FeaturesBeside
from erc_kedro.modelling.objective import Objective
from erc_kedro.modelling.settings import ContextualSettings, ObjectiveSettings
from erc_kedro.modelling.threads import seeded, usable_cores


class SeededDropout(nn.Module):
    """Dropout that draws from a generator of its own, eight random bytes at once.

    So classifiers can be trained side by side, each reproducible. The probability is rounded to
    1/256. The features are wide: one random number per element, as torch's own dropout draws,
    took a third of the training time on a CPU.
    """

    def __init__(self, probability: float, generator: torch.Generator | None) -> None:
        super().__init__()
        self.dropped = round(probability * 256)
        self.generator = generator

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Return the values with a share of them zero, the others scaled up, while training."""
        if not self.training or not self.dropped:
            return values
        words = torch.empty(-(-values.numel() // 8), dtype=torch.int64, device=values.device)
        words.random_(-(2**63), None, generator=self.generator)
        kept = (words.view(torch.uint8)[: values.numel()] >= self.dropped).view(values.shape)
        return values * kept * (256 / (256 - self.dropped))


class TurnConvolution(nn.Module):
    """One residual convolution over the turns of a dialogue, without any padding."""

    def __init__(self, width: int, kernel: int, dropout: nn.Module) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.convolve = nn.Linear(kernel * width, width)
        self.dropout = dropout

    def forward(self, turns: torch.Tensor, neighbours: torch.Tensor) -> torch.Tensor:
        """Map turns (utterances, width) to the same shape; `neighbours` as in `ContextualHead`."""
        heard = F.pad(self.norm(turns), (0, 0, 0, 1))[neighbours]  # the last row is silence
        return turns + self.dropout(F.gelu(self.convolve(heard.flatten(1))))


class ContextualHead(nn.Module):
    """Features of every turn to logits: project, look at the neighbouring turns, classify both."""

    def __init__(
        self,
        features: int,
        labels: int,
        settings: ContextualSettings,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        width = settings.width
        self.project = nn.Sequential(
            SeededDropout(settings.input_dropout, generator),
            nn.Linear(features, width),
            nn.GELU(),
            nn.LayerNorm(width),
        )
        self.context = TurnConvolution(
            width, settings.kernel, SeededDropout(settings.context_dropout, generator)
        )
        self.norm = nn.LayerNorm(width)
        self.classify = nn.Sequential(
            nn.Linear(2 * width, width),
            nn.GELU(),
            SeededDropout(settings.output_dropout, generator),
            nn.Linear(width, labels),
        )

    def forward(self, features: torch.Tensor, neighbours: torch.Tensor) -> torch.Tensor:
        """Map the features of turns to their logits.

        Args:
            features: Shape (utterances, features): the turns of the dialogues, one after another.
            neighbours: Shape (utterances, kernel): the rows of each turn's neighbours in its
                dialogue, itself in the middle; the number of rows stands for none.

        Returns:
            Logits of shape (utterances, labels).
        """
        own = self.project(features)
        context = self.norm(self.context(own, neighbours))
        return self.classify(torch.cat([own, context], dim=-1))


class ContextualClassifier:
    """Trains and applies `ContextualHead`, one classifier per call of `fit`.

    Args:
        features: Features of every text that will be seen.
        label_set: The corpus's label set.
        settings: Of the head and its training.
        objective: Settings of the loss.
        device: Where to compute.
    """

    def __init__(
        self,
        features: Features | FeaturesBeside,
        label_set: LabelSet,
        settings: ContextualSettings,
        objective: ObjectiveSettings,
        device: torch.device,
    ) -> None:
        self._features = features
        self._label_set = label_set
        self._settings = settings
        self._objective = objective
        self._device = device
        self.workers = usable_cores() if device.type == "cpu" else 1

    def steps(self, real: pd.DataFrame) -> int:
        """Return the optimiser steps beside these real dialogues, the same in every arm."""
        return steps_beside(real, self._settings.steps, self._settings.step_scaling)

    def fit(
        self,
        training_set: pd.DataFrame,
        real: pd.DataFrame,
        *,
        seed: int,
        advance: Advance = unseen,
    ) -> tuple[State, History]:
        """Train one classifier for a fixed number of steps.

        Args:
            training_set: One seed's training set, with a column `weight`.
            real: The real dialogues of the same seed: they set scale, class weights and prior.
            seed: Of initial weights, dropout and order.
            advance: Is told of every step.

        Returns:
            The state to predict from, on the CPU, and (step, loss) pairs.
        """
        settings, device = self._settings, self._device
        objective = Objective(training_set, real, self._label_set, self._objective).to(device)
        reference = torch.from_numpy(self._features.of(labelled(real)["text"]))
        mean, scale = reference.mean(0), reference.std(0).clamp_min(1e-6)
        inputs = torch.from_numpy(self._features.of(training_set["text"]))
        inputs = inputs.sub_(mean).div_(scale).to(device)
        soft = self._objective.soft_labels
        wanted, sources, weights = targets(training_set, self._label_set, device, soft=soft)
        dialogues = row_ranges(training_set)
        steps = self.steps(real)
        history: History = []
        generator = torch.Generator(device).manual_seed(seed)
        with seeded(seed):  # initial weights
            head = ContextualHead(inputs.shape[1], len(self._label_set), settings, generator)
        head.to(device)
        parameters: list[torch.Tensor] = list(head.parameters())
        optimiser = torch.optim.AdamW(
            parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, settings.learning_rate, total_steps=steps
        )
        average = [parameter.detach().clone() for parameter in parameters]
        head.train()
        per_pass = math.ceil(real["dialogue_id"].nunique() / settings.batch_dialogues)
        parts = parts_of(training_set.iloc[[own.start for own in dialogues]], steps)
        for step, chosen in enumerate(batches_of(parts, of_dialogues(per_pass, seed)), 1):
            rows, neighbours = collate([dialogues[i] for i in chosen], settings.kernel)
            rows = rows.to(device)
            logits = head(inputs[rows], neighbours.to(device))
            loss = objective.loss(logits, wanted[rows], sources[rows], weights[rows])
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, settings.clip_norm)
            optimiser.step()
            schedule.step()
            decay = min(settings.average_decay, step / (step + 9))
            with torch.no_grad():
                torch._foreach_lerp_(average, parameters, 1 - decay)
            history.append((step, float(loss.detach())))
            advance(1)
        names = [name for name, _ in head.named_parameters()]
        state = {f"head.{name}": value.cpu() for name, value in zip(names, average, strict=True)}
        state |= {"mean": mean, "scale": scale, "log_prior": objective.log_priors[0].cpu()}
        return state, history

    @torch.inference_mode()
    def probabilities(self, state: State, dialogues: pd.DataFrame) -> np.ndarray:
        """Return the probability of every emotion for each row of a dialogue table.

        Args:
            state: As `fit` returned it.
            dialogues: Columns dialogue_id, turn and text; a dialogue's rows follow each other.

        Returns:
            float64 of shape (rows, labels).
        """
        with seeded(0):  # weights are drawn before they are replaced: not from another's training
            head = ContextualHead(len(state["mean"]), len(self._label_set), self._settings)
        weights = {k.removeprefix("head."): v for k, v in state.items() if k.startswith("head.")}
        head.load_state_dict(weights)
        head.to(self._device).eval()
        inputs = torch.from_numpy(self._features.of(dialogues["text"]))
        inputs = (inputs - state["mean"]) / state["scale"]
        ranges = row_ranges(dialogues)
        parts = []
        for start in range(0, len(ranges), 128):
            rows, neighbours = collate(ranges[start : start + 128], self._settings.kernel)
            parts.append(head(inputs[rows].to(self._device), neighbours.to(self._device)).cpu())
        logits = torch.cat(parts) + state["log_prior"]
        return logits.double().softmax(-1).numpy()

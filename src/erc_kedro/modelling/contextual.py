"""The contextual classifier: a convolution over the turns of a dialogue, on frozen features."""

import math
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn import functional as F

from erc_kedro.core.labels import LabelSet, labelled
from erc_kedro.modelling.batches import batches_of, collate, of_dialogues, parts_of, row_ranges
from erc_kedro.modelling.classifier import (
    Advance,
    Classifier,
    History,
    State,
    Training,
    as_history,
    steps_beside,
    targets,
    unseen,
)
from erc_kedro.modelling.contextual_head import ContextualHead, Scratch
from erc_kedro.modelling.features import Features, FeaturesBeside
from erc_kedro.modelling.objective import Objective
from erc_kedro.modelling.own_encoder import OwnEncoders
from erc_kedro.modelling.prepared import ENCODER, Prepared, average_decay
from erc_kedro.modelling.settings import ContextualSettings, ObjectiveSettings
from erc_kedro.modelling.stacked import fit_stacked
from erc_kedro.modelling.threads import seeded, side_by_side, usable_cores

_TOGETHER = 10
"""Trained in one pass on a GPU: five folds and two seeds. The inputs of each take some 100 MB."""


class ContextualClassifier(Classifier):
    """Trains and applies `ContextualHead`, one classifier per call of `fit`.

    Args:
        features: Features of every text that will be seen.
        label_set: The corpus's label set.
        settings: Of the head and its training.
        objective: Settings of the loss.
        device: Where to compute.
        own: Gives every classifier an encoder of its own, whose features stand beside the others.
    """

    def __init__(
        self,
        features: Features | FeaturesBeside,
        label_set: LabelSet,
        settings: ContextualSettings,
        objective: ObjectiveSettings,
        device: torch.device,
        own: OwnEncoders | None = None,
    ) -> None:
        self._features = features
        self._own = own
        self._label_set = label_set
        self._settings = settings
        self._objective = objective
        self._device = device
        on_cpu = device.type == "cpu"
        self.workers = usable_cores() if on_cpu else 1
        self.together = 1 if on_cpu else _TOGETHER

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
        own = self._prepare(training_set, real, seed, advance)
        inputs, objective = own.inputs.to(device), own.objective.to(device)
        wanted, sources, weights = (
            values.to(device) for values in (own.wanted, own.sources, own.weights)
        )
        head = own.head(settings, device)
        losses: list[torch.Tensor] = []
        parameters: list[torch.Tensor] = list(head.parameters())
        optimiser = torch.optim.AdamW(
            parameters,
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay,
            fused=True,
        )
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, settings.learning_rate, total_steps=len(own.plan)
        )
        average = [parameter.detach().clone() for parameter in parameters]
        head.train()
        room = Scratch(inputs.dtype)
        for step, chosen in enumerate(own.plan, 1):
            rows, neighbours = collate([own.dialogues[i] for i in chosen], settings.kernel)
            rows = rows.to(device)
            seen = room.of((len(neighbours), inputs.shape[1]), device)
            torch.index_select(inputs, 0, rows, out=seen[: len(rows)])
            seen[len(rows) :] = 0
            logits = head(seen, neighbours.to(device))[: len(rows)]
            loss = objective.loss(logits, wanted[rows], sources[rows], weights[rows])
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, settings.clip_norm)
            optimiser.step()
            schedule.step()
            with torch.no_grad():
                share = 1 - average_decay(settings, step)
                torch._foreach_lerp_(average, parameters, share)
            losses.append(loss.detach())
            advance(1)
        names = [name for name, _ in head.named_parameters()]
        return own.state(dict(zip(names, average, strict=True))), as_history(losses)

    def fit_many(
        self, work: Sequence[Training], *, advance: Advance = unseen
    ) -> list[tuple[State, History]]:
        """Train several in one pass where that pays; as `Classifier.fit_many`."""
        if self.together == 1 or len(work) == 1:
            return super().fit_many(work, advance=advance)
        prepare = partial(self._prepare, advance=advance)
        with side_by_side(usable_cores()) as pool:
            members = list(pool.map(prepare, *zip(*work, strict=True)))
        widths = [own.inputs.shape[1] for own in members]  # who learns nothing real has no encoder
        found: dict[int, tuple[State, History]] = {}
        for width in dict.fromkeys(widths):
            chosen = [i for i, own in enumerate(widths) if own == width]
            like = [members[i] for i in chosen]
            fitted = fit_stacked(like, self._settings, self._device, advance)
            found |= dict(zip(chosen, fitted, strict=True))
        return [found[i] for i in range(len(members))]

    def _prepare(
        self, training_set: pd.DataFrame, real: pd.DataFrame, seed: int, advance: Advance
    ) -> Prepared:
        """Return all that a training reads."""
        settings = self._settings
        objective = Objective(training_set, real, self._label_set, self._objective)
        learnt = labelled(training_set[training_set["source"] == "real"])
        encoder: Mapping[str, torch.Tensor] = {}
        if self._own is not None and len(learnt):
            encoder = self._own.adapted(learnt, advance)
        reference = self._inputs(labelled(real)["text"], encoder)
        mean = reference.mean(0)
        # in place, since torch's std takes several times as long
        variance = reference.sub_(mean).square_().sum(0) / max(1, len(reference) - 1)
        scale = variance.sqrt_().clamp_min_(1e-6)
        del reference
        inputs = self._inputs(training_set["text"], encoder)
        inputs = inputs.sub_(mean).div_(scale)
        soft = self._objective.soft_labels
        of_rows = targets(training_set, self._label_set, torch.device("cpu"), soft=soft)
        dialogues = row_ranges(training_set)
        per_pass = math.ceil(real["dialogue_id"].nunique() / settings.batch_dialogues)
        firsts = training_set.iloc[[own.start for own in dialogues]]
        parts = parts_of(firsts, self.steps(real))
        plan = list(batches_of(parts, of_dialogues(per_pass, seed)))
        own = (*of_rows, dialogues, plan, seed, encoder)
        return Prepared(inputs, mean, scale, objective, *own)

    def _inputs(self, texts: pd.Series, encoder: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Return the features of texts, those of the classifier's own encoder last."""
        seen = texts.tolist()
        features = self._features.of(seen)
        if self._own is not None and encoder:
            own = self._own.features(encoder, seen)
            features = np.concatenate([features, own], axis=1)
        return torch.from_numpy(features)

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
        encoder = {k.removeprefix(ENCODER): v for k, v in state.items() if k.startswith(ENCODER)}
        inputs = self._inputs(dialogues["text"], encoder)
        inputs = (inputs - state["mean"]) / state["scale"]
        ranges = row_ranges(dialogues)
        parts = []
        for start in range(0, len(ranges), 128):
            rows, neighbours = collate(ranges[start : start + 128], self._settings.kernel)
            seen = F.pad(inputs[rows], (0, 0, 0, len(neighbours) - len(rows)))
            logits = head(seen.to(self._device), neighbours.to(self._device))
            parts.append(logits[: len(rows)].cpu())
        found = torch.cat(parts) + state["log_prior"]
        return found.double().softmax(-1).numpy()

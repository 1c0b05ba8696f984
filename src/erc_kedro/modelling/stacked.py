"""Trains several contextual classifiers in one pass, each as it would be trained alone.

One training is small: on a GPU most of its time goes into starting operators. Here one operator
serves all members. What is one member's own stays so: initial weights, batches, dropout, scale,
loss, learning rate, clipping and average. Sums are taken in another order than alone, so results
differ by rounding.
"""

import math
from collections.abc import Sequence

import torch

from erc_kedro.modelling.batches import collate, filled
from erc_kedro.modelling.classifier import Advance, History, State, unseen
from erc_kedro.modelling.objective import UNLABELLED, cross_entropy
from erc_kedro.modelling.prepared import Prepared, average_decay
from erc_kedro.modelling.settings import ContextualSettings
from erc_kedro.modelling.stacked_head import StackedHead


def fit_stacked(
    members: Sequence[Prepared],
    settings: ContextualSettings,
    device: torch.device,
    advance: Advance = unseen,
) -> list[tuple[State, History]]:
    """Train several classifiers in one pass.

    Args:
        members: What each reads; sizes and numbers of steps may differ.
        settings: Of the head and its training.
        device: Where to compute; it holds the inputs of all members.
        advance: Is told of every step of every member.

    Returns:
        For each member what `ContextualClassifier.fit` returns, within rounding of float32.
    """
    rows, neighbours, sizes = _layout(members, settings.kernel, device)
    data = _Data(members, device)
    network = StackedHead([own.head(settings, device) for own in members]).train()
    weights = network.flatten()
    optimiser = _StackedAdamW(weights, members, settings)
    average = weights.clone()
    parameters = list(network.parameters())
    losses = torch.empty((len(rows), len(members)), device=device)
    for step, (own, near, counts) in enumerate(zip(rows, neighbours, sizes, strict=True)):
        logits = network(data.inputs[own], near, counts)
        loss = data.losses(logits, own)
        parts = torch.autograd.grad(loss.sum(), parameters)
        gradients = torch.cat([part.flatten(1) for part in parts], 1)
        optimiser.step(step, gradients)
        average.lerp_(weights, optimiser.averaging[step])
        losses[step] = loss.detach()
        advance(sum(count > 0 for count in counts))
    found, by_step = average.cpu(), losses.cpu().tolist()
    return [
        (
            own.state(network.by_name(found[i])),
            [(step, by_step[step - 1][i]) for step in range(1, len(own.plan) + 1)],
        )
        for i, own in enumerate(members)
    ]


class _Data:
    """What all members learn from, in one table; its last row is silent and weighs nothing."""

    def __init__(self, members: Sequence[Prepared], device: torch.device) -> None:
        total = sum(len(own.inputs) for own in members)
        self.inputs = torch.zeros((total + 1, members[0].inputs.shape[1]), device=device)
        parts = self.inputs[:-1].split([len(own.inputs) for own in members])
        for own, part in zip(members, parts, strict=True):
            part.copy_(own.inputs)

        def joined(parts: list[torch.Tensor], last: float) -> torch.Tensor:
            return torch.cat([*parts, torch.full_like(parts[0][:1], last)]).to(device)

        wanted = [own.wanted for own in members]
        self.members = len(members)
        self.wanted = joined(wanted, 0.0 if wanted[0].is_floating_point() else UNLABELLED)
        self.weights = joined(
            [own.objective.weighed(own.wanted, own.weights) for own in members], 0
        )
        self.priors = joined([own.objective.log_priors[own.sources] for own in members], 0)

    def losses(self, logits: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """Return each member's loss, as `Objective.loss`, shape (members,)."""
        entropy = cross_entropy(logits + self.priors[rows], self.wanted[rows])
        weights = self.weights[rows].view(self.members, -1)
        sums = (weights * entropy.view_as(weights)).sum(1)
        return sums / weights.sum(1).clamp_min(1e-12)


def _layout(
    members: Sequence[Prepared], kernel: int, device: torch.device
) -> tuple[tuple[torch.Tensor, ...], tuple[torch.Tensor, ...], list[list[int]]]:
    """Return for each step the rows of `_Data`, their neighbours, and the members' sizes.

    A step has as many rows for each member as the largest needs. A filler is the silent row; its
    neighbours are itself, and no gradient comes from it.
    """
    offsets = [0]
    for own in members:
        offsets.append(offsets[-1] + len(own.inputs))
    dialogues = [
        [range(own.start + start, own.stop + start) for own in member.dialogues]
        for member, start in zip(members, offsets, strict=False)
    ]
    rows, neighbours, sizes = [], [], []
    for step in range(max(len(own.plan) for own in members)):
        chosen = [
            [ranges[i] for i in own.plan[step]] if step < len(own.plan) else []
            for own, ranges in zip(members, dialogues, strict=True)
        ]
        counts = [sum(map(len, own)) for own in chosen]
        real, near = collate([each for own in chosen for each in own], kernel)
        near = near[: len(real)].clamp_max(len(real))  # that number stands for none here
        room = filled(max(counts))
        shift = torch.tensor([i * room - sum(counts[:i]) for i in range(len(counts))])
        places = torch.arange(len(real)) + shift.repeat_interleave(torch.tensor(counts))
        every = torch.arange(len(counts) * room)
        silence = every.new_tensor([len(every)])
        rows.append(torch.full_like(every, offsets[-1]).index_copy(0, places, real))
        moved = torch.cat([places, silence])[near]
        neighbours.append(every[:, None].repeat(1, kernel).index_copy(0, places, moved))
        sizes.append([filled(count) for count in counts])
    lengths = [len(own) for own in rows]
    return (
        torch.cat(rows).to(device).split(lengths),
        torch.cat(neighbours).to(device).split(lengths),
        sizes,
    )


class _StackedAdamW:
    """AdamW under a one-cycle schedule, with clipping: a row of weights for each member.

    Members whose steps are done stand still. Learning rate and first momentum are those of
    torch's `OneCycleLR` over the member's own number of steps.
    """

    def __init__(
        self, weights: torch.Tensor, members: Sequence[Prepared], settings: ContextualSettings
    ) -> None:
        steps = [len(own.plan) for own in members]
        cycles = {n: one_cycle(settings, n) for n in set(steps)}
        shape = (max(steps), len(members), 1)
        rate, first, averaging = torch.zeros((3, *shape), dtype=torch.float64)
        for i, n in enumerate(steps):
            rate[:n, i, 0], first[:n, i, 0] = cycles[n].unbind(1)
            decays = [average_decay(settings, step) for step in range(1, n + 1)]
            averaging[:n, i, 0] = 1 - torch.tensor(decays, dtype=torch.float64)
        counted = torch.arange(1, shape[0] + 1).double()[:, None, None]

        def on_device(values: torch.Tensor) -> torch.Tensor:
            return values.float().to(weights.device)

        self.averaging = on_device(averaging)
        self._kept = on_device(1 - rate * settings.weight_decay)
        self._rate = on_device(-rate / (1 - first**counted))
        self._first = on_device(1 - first)
        self._weights, self._clip = weights, settings.clip_norm
        self._mean, self._square = torch.zeros_like(weights), torch.zeros_like(weights)

    def step(self, step: int, gradients: torch.Tensor) -> None:
        """Change the weights by gradients of the same shape; steps count from 0."""
        second = 0.999
        norm = torch.linalg.vector_norm(gradients, dim=1, keepdim=True)
        gradients = gradients * (self._clip / (norm + 1e-6)).clamp(max=1)
        self._mean.lerp_(gradients, self._first[step])
        self._square.mul_(second).addcmul_(gradients, gradients, value=1 - second)
        scale = self._square.sqrt().div_(math.sqrt(1 - second ** (step + 1))).add_(1e-8)
        self._weights.mul_(self._kept[step])
        self._weights.addcmul_(self._mean / scale, self._rate[step])


def one_cycle(settings: ContextualSettings, steps: int) -> torch.Tensor:
    """Return learning rate and first momentum of every step as torch has them, (steps, 2)."""
    optimiser = torch.optim.AdamW([torch.zeros(1)], lr=settings.learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, settings.learning_rate, total_steps=steps
    )
    found = []
    for _ in range(steps):
        group = optimiser.param_groups[0]
        found.append((group["lr"], group["betas"][0]))
        optimiser.step()
        schedule.step()
    return torch.tensor(found, dtype=torch.float64)

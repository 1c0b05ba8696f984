"""The contextual classifier: a convolution over the turns of a dialogue, on frozen features."""

import math
from collections.abc import Iterator

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn import functional as F

from erc_kedro.core.labels import LabelSet
from erc_kedro.modelling.classifier import History, State, scaled_steps, seeded
from erc_kedro.modelling.features import Features
from erc_kedro.modelling.objective import Objective, source_codes
from erc_kedro.modelling.settings import ContextualSettings, ObjectiveSettings


class TurnConvolution(nn.Module):
    """One residual convolution over the turns of a dialogue; padded turns are never seen."""

    def __init__(self, width: int, kernel: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.convolve = nn.Conv1d(width, width, kernel, padding=kernel // 2)
        self.dropout = nn.Dropout(dropout)

    def forward(self, turns: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Map (dialogues, turns, width) with mask (dialogues, turns) to the same shape."""
        heard = self.norm(turns) * mask[..., None]
        heard = F.gelu(self.convolve(heard.transpose(1, 2)).transpose(1, 2))
        return turns + self.dropout(heard)


class ContextualHead(nn.Module):
    """Features of every turn to logits: project, look at the neighbouring turns, classify both."""

    def __init__(self, features: int, labels: int, settings: ContextualSettings) -> None:
        super().__init__()
        width = settings.width
        self.project = nn.Sequential(
            nn.Dropout(settings.input_dropout),
            nn.Linear(features, width),
            nn.GELU(),
            nn.LayerNorm(width),
        )
        self.context = TurnConvolution(width, settings.kernel, settings.context_dropout)
        self.norm = nn.LayerNorm(width)
        self.classify = nn.Sequential(
            nn.Linear(2 * width, width),
            nn.GELU(),
            nn.Dropout(settings.output_dropout),
            nn.Linear(width, labels),
        )

    def forward(self, features: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Map the features of real turns to their logits.

        Args:
            features: Shape (utterances, features): the turns of the dialogues, one after another.
            mask: Shape (dialogues, longest): True for each of these turns.

        Returns:
            Logits of shape (utterances, labels).

        """
        own = self.project(features)
        padded = own.new_zeros(*mask.shape, own.shape[-1]).index_put((mask,), own)
        context = self.norm(self.context(padded, mask))[mask]
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
        features: Features,
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

    def fit(
        self, training_set: pd.DataFrame, real: pd.DataFrame, *, seed: int, real_fraction: float
    ) -> tuple[State, History]:
        """Train one classifier for a fixed number of steps.

        Args:
            training_set: One seed's training set, with a column `weight`.
            real: The real dialogues of the same seed: they set scale, class weights and prior.
            seed: Of initial weights, dropout and order.
            real_fraction: Part of real train in use, which scales the steps.

        Returns:
            The state to predict from, on the CPU, and (step, loss) pairs.

        """
        settings, device = self._settings, self._device
        objective = Objective(training_set, real, self._label_set, self._objective).to(device)
        reference = torch.from_numpy(self._features.of(real["text"]))
        mean, scale = reference.mean(0), reference.std(0).clamp_min(1e-6)
        inputs = ((torch.from_numpy(self._features.of(training_set["text"])) - mean) / scale).to(
            device
        )
        codes = torch.from_numpy(self._label_set.codes(training_set["emotion"])).to(device)
        sources = source_codes(training_set).to(device)
        weights = torch.tensor(
            training_set["weight"].to_numpy(), dtype=torch.float32, device=device
        )
        dialogues = _row_ranges(training_set)
        steps = scaled_steps(settings.steps, real_fraction, settings.step_scaling)
        history: History = []
        with seeded(seed):
            head = ContextualHead(inputs.shape[1], len(self._label_set), settings).to(device)
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
            batches = _batches(len(dialogues), per_pass, seed)
            for step, chosen in zip(range(1, steps + 1), batches, strict=False):
                rows, mask = _collate([dialogues[i] for i in chosen])
                rows, mask = rows.to(device), mask.to(device)
                logits = head(inputs[rows], mask)
                loss = objective.loss(logits, codes[rows], sources[rows], weights[rows])
                optimiser.zero_grad(set_to_none=True)
                loss.backward()
                nn.utils.clip_grad_norm_(parameters, settings.clip_norm)
                optimiser.step()
                schedule.step()
                decay = min(settings.average_decay, step / (step + 9))
                with torch.no_grad():
                    torch._foreach_lerp_(average, parameters, 1 - decay)
                history.append((step, float(loss.detach())))
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
        head = ContextualHead(len(state["mean"]), len(self._label_set), self._settings)
        weights = {
            name.removeprefix("head."): value
            for name, value in state.items()
            if name.startswith("head.")
        }
        head.load_state_dict(weights)
        head.to(self._device).eval()
        inputs = (torch.from_numpy(self._features.of(dialogues["text"])) - state["mean"]) / state[
            "scale"
        ]
        ranges = _row_ranges(dialogues)
        parts = []
        for start in range(0, len(ranges), 128):
            rows, mask = _collate(ranges[start : start + 128])
            parts.append(head(inputs[rows].to(self._device), mask.to(self._device)).cpu())
        logits = torch.cat(parts) + state["log_prior"]
        return logits.double().softmax(-1).numpy()


def _row_ranges(table: pd.DataFrame) -> list[range]:
    """Return the rows of each dialogue; a dialogue's rows must follow each other."""
    codes = pd.factorize(table["dialogue_id"])[0]
    starts = np.flatnonzero(np.diff(codes, prepend=-1))
    if len(starts) != codes.max(initial=-1) + 1:
        raise ValueError("the rows of a dialogue do not follow each other")
    return [range(a, b) for a, b in zip(starts, [*starts[1:], len(codes)], strict=True)]


def _collate(dialogues: list[range]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the rows of dialogues one after another, and the mask (dialogues, longest)."""
    lengths = torch.tensor([len(rows) for rows in dialogues])
    rows = torch.tensor([row for rows in dialogues for row in rows])
    return rows, torch.arange(int(lengths.max())) < lengths[:, None]


def _batches(n: int, per_pass: int, seed: int) -> Iterator[np.ndarray]:
    """Yield batches for ever: every pass over n dialogues in the same number of batches."""
    rng = np.random.default_rng([seed, 4])
    while True:
        yield from np.array_split(rng.permutation(n), min(per_pass, n))

"""The fine-tuned encoder: an utterance with its previous turns in, an emotion out."""

from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from erc_kedro.core.labels import OTHER, LabelSet
from erc_kedro.modelling.batches import LENGTH_STEP, batches_of, of_utterances, parts_of
from erc_kedro.modelling.classifier import (
    Advance,
    Classifier,
    History,
    State,
    as_history,
    steps_beside,
    targets,
    unseen,
)
from erc_kedro.modelling.devices import computing_in
from erc_kedro.modelling.encoders import load_pretrained
from erc_kedro.modelling.objective import Objective
from erc_kedro.modelling.products import learn_fast
from erc_kedro.modelling.settings import FineTunedSettings, ObjectiveSettings
from erc_kedro.modelling.threads import seeded

_PREDICT_ROWS = 64


class FineTunedHead(nn.Module):
    """An encoder, the mean of its last layer over the tokens, and a linear layer."""

    def __init__(self, encoder: nn.Module, labels: int, dropout: float) -> None:
        super().__init__()
        self.encoder = encoder
        self.dropout = nn.Dropout(dropout)
        self.classify = nn.Linear(encoder.config.hidden_size, labels)  # type: ignore[union-attr,arg-type]

    def forward(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Map a tokenized batch to logits of shape (rows, labels)."""
        hidden = self.encoder(**batch).last_hidden_state
        weights = batch["attention_mask"][..., None].to(hidden.dtype)
        pooled = (hidden * weights).sum(1) / weights.sum(1)
        return self.classify(self.dropout(pooled)).float()


class FineTunedClassifier(Classifier):
    """Fine-tunes an encoder, one classifier per call of `fit`.

    Args:
        label_set: The corpus's label set.
        settings: Of the encoder and its training.
        objective: Settings of the loss.
        device: Where to compute.
    """

    def __init__(
        self,
        label_set: LabelSet,
        settings: FineTunedSettings,
        objective: ObjectiveSettings,
        device: torch.device,
    ) -> None:
        self._label_set = label_set
        self._settings = settings
        self._objective = objective
        self._device = device
        self.workers = 1  # the encoder draws from torch's own random state

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
        """Train one classifier for a fixed number of steps; as `Classifier.fit`."""
        settings, device = self._settings, self._device
        objective = Objective(training_set, real, self._label_set, self._objective).to(device)
        soft = self._objective.soft_labels
        wanted, sources, weights = targets(training_set, self._label_set, device, soft=soft)
        steps = self.steps(real)
        losses: list[torch.Tensor] = []
        with seeded(seed, device):
            tokenizer, head = self._build()
            head.to(device).train()
            learn_fast(head.encoder, device)
            pairs = utterances_in_context(training_set, settings.context_turns)
            rates = [
                {"params": head.encoder.parameters(), "lr": settings.learning_rate},
                {"params": head.classify.parameters(), "lr": settings.head_learning_rate},
            ]
            optimiser = torch.optim.AdamW(rates, weight_decay=settings.weight_decay, fused=True)
            warmup = max(1, round(settings.warmup * steps))
            schedule = torch.optim.lr_scheduler.LambdaLR(
                optimiser,
                lambda step: min((step + 1) / warmup, (steps - step) / max(1, steps - warmup)),
            )
            learnt = np.flatnonzero(training_set["emotion"] != OTHER)  # the others are context
            lengths = [len(pairs[i][1]) for i in learnt]
            parts = parts_of(training_set.iloc[learnt], steps)
            one_pass = of_utterances(lengths, settings.batch_utterances, seed)
            for drawn in batches_of(parts, one_pass):
                rows = learnt[drawn]
                batch = self._tokenize(tokenizer, [pairs[i] for i in rows])
                chosen = torch.from_numpy(rows).to(device)
                with self._autocast():
                    logits = head(batch)
                loss = objective.loss(logits, wanted[chosen], sources[chosen], weights[chosen])
                optimiser.zero_grad(set_to_none=True)
                loss.backward()
                nn.utils.clip_grad_norm_(head.parameters(), settings.clip_norm)
                optimiser.step()
                schedule.step()
                losses.append(loss.detach())
                advance(1)
        state = {f"head.{name}": value.cpu() for name, value in head.state_dict().items()}
        return state | {"log_prior": objective.log_priors[0].cpu()}, as_history(losses)

    @torch.inference_mode()
    def probabilities(self, state: State, dialogues: pd.DataFrame) -> np.ndarray:
        """Return the probability of every emotion per row; as `Classifier.probabilities`."""
        tokenizer, head = self._applied
        head.load_state_dict(
            {name.removeprefix("head."): v for name, v in state.items() if name != "log_prior"}
        )
        head.to(self._device).eval()
        pairs = utterances_in_context(dialogues, self._settings.context_turns)
        order = np.argsort([len(context) + len(text) for context, text in pairs], kind="stable")
        logits = np.empty((len(pairs), len(self._label_set)), dtype=np.float64)
        try:
            for start in range(0, len(order), _PREDICT_ROWS):
                rows = order[start : start + _PREDICT_ROWS]
                with self._autocast():
                    batch = head(self._tokenize(tokenizer, [pairs[i] for i in rows]))
                logits[rows] = (batch.cpu() + state["log_prior"]).double().numpy()
        finally:
            head.cpu()  # many classifiers are kept at hand: a GPU would not hold all networks
        return torch.from_numpy(logits).softmax(-1).numpy()

    @cached_property
    def _applied(self) -> tuple[Any, FineTunedHead]:
        """The network that every state is put into for predicting."""
        return self._build()

    def _build(self) -> tuple[Any, FineTunedHead]:
        tokenizer, encoder = load_pretrained(self._settings.encoder)
        return tokenizer, FineTunedHead(encoder, len(self._label_set), self._settings.dropout)

    def _tokenize(self, tokenizer: Any, pairs: list[tuple[str, str]]) -> dict[str, torch.Tensor]:
        most = self._settings.max_tokens
        max_tokens = most - tokenizer.num_special_tokens_to_add(pair=True)
        fitted = [fit_context(tokenizer, context, text, max_tokens) for context, text in pairs]
        batch = tokenizer(
            [context for context, _ in fitted],
            [text for _, text in fitted],
            truncation="longest_first",  # in case a cut text falls into more tokens than before
            max_length=most,
            padding=True,
            pad_to_multiple_of=None if most % LENGTH_STEP else LENGTH_STEP,
            return_tensors="pt",
        )
        return {name: value.to(self._device) for name, value in batch.items()}

    def _autocast(self) -> Any:
        return computing_in(self._settings.precision, self._device)


def utterances_in_context(table: pd.DataFrame, context_turns: int) -> list[tuple[str, str]]:
    """Return, per row of a dialogue table, its previous turns as one text, and its own text.

    Each turn is written "speaker: text". A dialogue's rows follow each other.
    """
    lines = (table["speaker"] + ": " + table["text"]).tolist()
    ids = table["dialogue_id"].tolist()
    pairs = []
    for row, line in enumerate(lines):
        start = row
        while start > max(0, row - context_turns) and ids[start - 1] == ids[row]:
            start -= 1
        pairs.append((" ".join(lines[start:row]), line))
    return pairs


def fit_context(tokenizer: Any, context: str, text: str, max_tokens: int) -> tuple[str, str]:
    """Return context and utterance cut to a number of tokens together.

    The context loses its oldest words; only an utterance too long alone loses its last ones.
    """

    def offsets(part: str) -> list[tuple[int, int]]:
        encoded = tokenizer(part, add_special_tokens=False, return_offsets_mapping=True)
        return list(encoded["offset_mapping"])

    own = offsets(text)
    if len(own) >= max_tokens:
        return "", text[: own[max_tokens - 1][1]] if len(own) > max_tokens else text
    heard, room = offsets(context), max_tokens - len(own)
    if len(heard) <= room:
        return context, text
    start = context.find(" ", max(0, heard[len(heard) - room][0] - 1))
    return (context[start + 1 :] if start >= 0 else ""), text

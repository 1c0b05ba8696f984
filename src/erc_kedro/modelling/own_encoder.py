"""A classifier's own encoder: fine-tuned on the real utterances that this classifier learns from.

To fine-tune an encoder on single utterances, and to train a model of the context on its features,
is the usual way of ERC (Ghosal et al., 2020, "COSMIC", context independent features). It knows the
utterances that it was fine-tuned on better than others, so what it says stands beside what the
encoder as it is says, and does not take its place.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from threading import Lock
from typing import Any, Generic, TypeVar

import numpy as np
import pandas as pd
import torch

from erc_kedro.core.digests import digest
from erc_kedro.core.labels import LabelSet
from erc_kedro.modelling import adaptation
from erc_kedro.modelling.classifier import Advance, unseen
from erc_kedro.modelling.devices import choose_precision
from erc_kedro.modelling.encoder_files import encoder_checksum
from erc_kedro.modelling.encoders import Pooling, encoded, load_pretrained
from erc_kedro.modelling.features import Matrix, text_key
from erc_kedro.modelling.settings import AdaptationSettings

Weights = dict[str, torch.Tensor]

_DIGEST = "digest"
T = TypeVar("T")

_MOST_KEPT = 6
"""Encoders at hand in a process: those of five folds, and one more. Each takes some 200 MB."""

_MOST_TEXTS = 50_000
"""Texts whose features are kept for each: a server sees ever new ones."""


class _Kept(Generic[T]):
    """What was made last, by its key; made once, whoever asks."""

    def __init__(self) -> None:
        self.most = _MOST_KEPT
        self._found: OrderedDict[str, T] = OrderedDict()
        self._lock = Lock()

    def get(self, key: str, make: Callable[[], T]) -> T:
        with self._lock:
            if key not in self._found:
                self._found[key] = make()
            self._found.move_to_end(key)
            while len(self._found) > self.most:
                self._found.popitem(last=False)
            return self._found[key]


_ADAPTED: _Kept[Weights] = _Kept()
_SAID: _Kept["_Said"] = _Kept()


def keep_at_hand(n: int) -> None:
    """Keep at least so many encoders in memory: those of all who predict together."""
    _SAID.most = max(_SAID.most, n)


@dataclass(frozen=True)
class OwnEncoders:
    """Gives classifiers encoders of their own, and features by them.

    Attributes:
        encoder: What they begin with: "embedded", a hub name, or a folder.
        label_set: Of the corpus.
        how: They are fine-tuned.
        poolings: The parts of their features.
        device: Where to compute.
    """

    encoder: str
    label_set: LabelSet
    how: AdaptationSettings
    poolings: tuple[Pooling, ...]
    device: torch.device

    @cached_property
    def about(self) -> dict[str, Any]:
        """What decides weights and features, beside the utterances, as plain values."""
        precision = choose_precision(self.how.precision, self.device)
        return {
            "encoder": encoder_checksum(self.encoder),
            "how": self.how.model_dump() | {"device": self.device.type, "precision": precision},
            "poolings": [asdict(own) for own in self.poolings],
        }

    def adapted(self, rows: pd.DataFrame, advance: Advance = unseen) -> Weights:
        """Return the weights of the encoder fine-tuned on utterances, float16 on the CPU.

        Their digest stands among them, so that what they make of a text is soon found again.

        Args:
            rows: Labelled utterances.
            advance: Is told of every step, with 0, so that it can stop the training.

        Raises:
            UserError: If the encoder cannot be loaded, or all its layers are frozen.
            FloatingPointError: If the loss is not a finite number.
        """

        def make() -> Weights:
            own = self.encoder, rows, self.label_set, self.how, self.device
            weights = dict(adaptation.adapt(*own, watch=advance)[1].state_dict())
            return weights | {_DIGEST: _digest_of(weights)}

        learnt = [rows["text"].tolist(), rows["emotion"].tolist()]
        key = digest([self.about, asdict(self.label_set), learnt])
        return _ADAPTED.get(key, make)

    def features(self, weights: Mapping[str, torch.Tensor], texts: Sequence[str]) -> Matrix:
        """Return what an encoder makes of texts, float32 of shape (texts, width)."""
        key = digest([self.about, str(self.device), weights[_DIGEST].tolist()])
        return _SAID.get(key, lambda: _Said(self, dict(weights))).of(texts)


class _Said:
    """What one encoder made of texts so far."""

    def __init__(self, encoders: OwnEncoders, weights: Weights) -> None:
        self._tokenizer, model = load_pretrained(encoders.encoder)
        model.load_state_dict({k: v for k, v in weights.items() if k != _DIGEST})
        self._model = model.to(encoders.device).eval()
        own = encoders.how
        self._how = encoders.poolings, own.max_tokens, encoders.device, own.precision
        self._rows: dict[str, Matrix] = {}
        self._lock = Lock()

    def of(self, texts: Sequence[str]) -> Matrix:
        with self._lock:
            if len(self._rows) > _MOST_TEXTS:
                self._rows.clear()
            new = [t for t in dict.fromkeys(texts) if text_key(t) not in self._rows]
            for positions, rows in encoded(self._tokenizer, self._model, new, *self._how):
                for position, row in zip(positions, rows, strict=True):
                    self._rows[text_key(new[position])] = row.copy()
            return np.stack([self._rows[text_key(text)] for text in texts])


def _digest_of(weights: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Return the SHA-256 sum of weights, shape (32,), uint8."""
    total = hashlib.sha256()
    for name in sorted(weights):
        total.update(name.encode() + weights[name].contiguous().numpy().tobytes())
    return torch.tensor(list(total.digest()), dtype=torch.uint8)

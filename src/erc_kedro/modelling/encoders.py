"""Sentence encoders: any Hugging Face encoder, frozen, its hidden layers pooled."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import transformers
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModel, AutoTokenizer

from erc_kedro.core.digests import digest
from erc_kedro.core.errors import UserError
from erc_kedro.modelling.batches import LENGTH_STEP, round_up
from erc_kedro.modelling.code_digest import code_digest, of_modelling
from erc_kedro.modelling.devices import choose_device, choose_precision, computing_in
from erc_kedro.modelling.encoder_files import EMBEDDED, encoder_checksum, resolve_encoder
from erc_kedro.modelling.threads import side_by_side, usable_cores

CODE = of_modelling("encoders", "batches", "devices", "threads")
"""The modules that features are made by."""

_ROWS = 32
_ONE_AT_A_TIME = Lock()
"""While it loads, transformers changes torch for the whole process."""


@dataclass(frozen=True)
class Pooling:
    """One part of a text's features.

    Attributes:
        layer: Which hidden layer; 0 is the embedding layer, -1 the last one.
        how: "mean" or "max" over the text's tokens, or "first" for the first token.
    """

    layer: int
    how: str


@contextmanager
def _loading(name: str) -> Iterator[None]:
    """Keep transformers' bars and banners off the screen; say plainly what cannot be loaded."""
    from transformers.utils import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    except (OSError, ValueError, SafetensorError) as error:
        offline = " (HF_HUB_OFFLINE=1)" if os.environ.get("HF_HUB_OFFLINE") == "1" else ""
        raise UserError(
            "The encoder cannot be loaded.",
            where=name,
            expected="a Hugging Face encoder's hub name or folder",
            found=str(error).strip().splitlines()[0] + offline,
            remedy=f"check the name and the network, or use {EMBEDDED!r}",
        ) from error
    finally:
        logging.set_verbosity(verbosity)
        logging.enable_progress_bar()


def load_pretrained(name: str) -> tuple[Any, Any]:
    """Return tokenizer and model (float32, on the CPU) of an encoder.

    Raises:
        UserError: If it cannot be loaded.
    """
    place = resolve_encoder(name)
    with _ONE_AT_A_TIME, _loading(name):
        tokenizer = AutoTokenizer.from_pretrained(place)
        model = AutoModel.from_pretrained(place, dtype=torch.float32)
    return tokenizer, model


class Encoder:
    """A frozen encoder whose pooled hidden layers are a text's features.

    Texts are encoded in batches of a fixed shape: 32 rows, empty ones filled up, and a length
    that depends on the text alone (its tokens, rounded up to a multiple of 8). So a text's
    features do not depend, not even in the last bit, on what else is encoded with it.

    Args:
        name: "embedded", a hub name, or a folder.
        poolings: The parts of the features, concatenated in this order.
        max_tokens: Longer texts are cut off.
        device: "auto", "cpu" or "cuda".
        precision: Of the forward pass: "auto", "bfloat16" or "float32".

    Raises:
        UserError: If the encoder cannot be loaded or lacks a layer.
    """

    def __init__(
        self,
        name: str,
        poolings: Sequence[Pooling],
        max_tokens: int = 96,
        device: str = "auto",
        precision: str = "float32",
    ) -> None:
        self.name = name
        self.poolings = tuple(poolings)
        self._max_tokens = max_tokens
        self._device = choose_device(device)
        self.precision = choose_precision(precision, self._device)
        place = resolve_encoder(name)
        with _loading(name):
            config = AutoConfig.from_pretrained(place)
        n_layers = int(config.num_hidden_layers)
        wrong = [p.layer for p in self.poolings if not -n_layers - 1 <= p.layer <= n_layers]
        if wrong:
            raise UserError(
                "The encoder has no such layer.",
                where=name,
                expected=f"layers {-n_layers - 1} to {n_layers}",
                found=", ".join(map(str, wrong)),
                remedy="correct encoding.poolings",
            )
        self.width = int(config.hidden_size) * len(self.poolings)
        self._loaded: tuple[Any, Any] | None = None
        self.fingerprint = self._fingerprint()

    def _fingerprint(self) -> str:
        """Identify weights and everything else that features depend on (16 hex digits)."""
        settings = {
            "poolings": [asdict(pooling) for pooling in self.poolings],
            "max_tokens": self._max_tokens,
            "rows": _ROWS,
            "length_step": LENGTH_STEP,
            "device": self._device.type,
            "precision": self.precision,
            "torch": torch.__version__.split("+")[0],
            "transformers": transformers.__version__,
            "code": code_digest(*CODE),
            "encoder": encoder_checksum(self.name),
        }
        return digest(settings)

    def encode(self, texts: Sequence[str]) -> Iterator[tuple[list[int], npt.NDArray[np.float32]]]:
        """Yield features batch by batch, short texts first.

        Returns:
            Pairs of positions in `texts` and their features, float32 of shape (positions, width).
        """
        if self._loaded is None:
            tokenizer, model = load_pretrained(self.name)
            self._loaded = tokenizer, model.to(self._device).eval()
        how = self.poolings, self._max_tokens, self._device, self.precision
        tokenizer, model = self._loaded
        yield from encoded(tokenizer, model, texts, *how)


def encoded(
    tokenizer: Any,
    model: Any,
    texts: Sequence[str],
    poolings: Sequence[Pooling],
    max_tokens: int,
    device: torch.device,
    precision: str,
) -> Iterator[tuple[list[int], npt.NDArray[np.float32]]]:
    """Yield features by an encoder at hand, as `Encoder.encode` does.

    Args:
        tokenizer: Of the encoder.
        model: The encoder, on the device, in evaluation mode.
        texts: To encode.
        poolings: The parts of the features.
        max_tokens: Longer texts are cut off.
        device: Where to compute.
        precision: Of the forward pass: "auto", "bfloat16" or "float32".
    """
    if not texts:
        return
    ids_of = tokenizer(list(texts), truncation=True, max_length=max_tokens)["input_ids"]
    lengths = [round_up(len(ids), LENGTH_STEP) for ids in ids_of]
    filler = tokenizer("")["input_ids"]
    batches = [
        (members[start : start + _ROWS], length)
        for length in sorted(set(lengths))
        for members in [[i for i, own in enumerate(lengths) if own == length]]
        for start in range(0, len(members), _ROWS)
    ]

    @torch.inference_mode()
    def forward(batch: tuple[list[int], int]) -> npt.NDArray[np.float32]:
        chosen, length = batch
        rows = [ids_of[i] for i in chosen] + [filler] * (_ROWS - len(chosen))
        pad = tokenizer.pad_token_id
        ids = torch.tensor([row + [pad] * (length - len(row)) for row in rows], device=device)
        mask = torch.tensor(
            [[1] * len(row) + [0] * (length - len(row)) for row in rows], device=device
        )
        with computing_in(precision, device):
            found = model(input_ids=ids, attention_mask=mask, output_hidden_states=True)
        layers = [found.hidden_states[pooling.layer].float() for pooling in poolings]
        parts = [
            _pool(own, mask, pooling.how) for own, pooling in zip(layers, poolings, strict=True)
        ]
        return torch.cat(parts, dim=-1).cpu().numpy()[: len(chosen)]

    with side_by_side(usable_cores() if device.type == "cpu" else 1) as pool:
        for (chosen, _), features in zip(batches, pool.map(forward, batches), strict=True):
            yield chosen, features


def _pool(hidden: torch.Tensor, mask: torch.Tensor, how: str) -> torch.Tensor:
    """Pool (rows, tokens, width) over the tokens of each row to (rows, width)."""
    weights = mask[:, :, None].to(hidden.dtype)
    if how == "mean":
        return (hidden * weights).sum(1) / weights.sum(1)
    if how == "max":
        return hidden.masked_fill(weights == 0, -torch.inf).amax(1)
    return hidden[:, 0]

"""The encoder store: encoders that were adapted, on disk, adapted again only for a reason."""

import json
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import pandas as pd

from erc_kedro.core.digests import digest
from erc_kedro.core.errors import UserError
from erc_kedro.core.labels import LabelSet, labelled
from erc_kedro.modelling.code_digest import code_digest, of_modelling
from erc_kedro.modelling.encoder_files import encoder_checksum, resolve_encoder
from erc_kedro.modelling.files import replacing_folder
from erc_kedro.modelling.settings import AdaptationSettings

logger = logging.getLogger(__name__)

_ABOUT = "adaptation.about"
"""No part of what tells encoders apart: the same weights give the same features."""
CODE = (
    *of_modelling("adaptation", "batches", "devices", "products", "threads"),
    "core.labels",
)
"""The modules that the training runs through."""


class EncoderStore:
    """A folder with one sub-folder per adapted encoder, as transformers saves and loads it.

    An encoder appears whole or not at all, and is kept while nothing that decides it changes.
    """

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)

    def update(
        self, encoder: str, dialogues: pd.DataFrame, label_set: LabelSet, how: AdaptationSettings
    ) -> Path:
        """Adapt an encoder to dialogues, unless it is there.

        Args:
            encoder: "embedded", a hub name, or a folder.
            dialogues: The utterances to learn from, with their emotions.
            label_set: Of the corpus.
            how: The settings of the training.

        Returns:
            The adapted encoder's folder.

        Raises:
            UserError: If the encoder cannot be loaded, there is nothing to learn, or the device is
                not there.
            FloatingPointError: If the loss is not a finite number.
        """
        from erc_kedro.modelling import adaptation
        from erc_kedro.modelling.devices import choose_device, choose_precision

        rows, device = labelled(dialogues), choose_device(how.device)
        if rows.empty:
            raise UserError(
                "There is nothing that the encoder can be adapted to.",
                expected="synthetic dialogues with labelled utterances",
                found="none",
                remedy="generate some, or set adapted: false in the recipe",
            )
        about = {
            "encoder": encoder_checksum(encoder),
            "utterances": digest([rows["text"].tolist(), rows["emotion"].tolist()]),
            "label set": asdict(label_set),
            "settings": _of_training(how)
            | {"device": device.type, "precision": choose_precision(how.precision, device)},
            "torch": version("torch"),
            "transformers": version("transformers"),
            "code": code_digest(*CODE),
        }
        place = self._folder / digest(about)
        if (place / _ABOUT).is_file():
            logger.info("adapted encoder kept: nothing that it depends on changed")
            return place
        logger.info("adapting the encoder %s to %s utterances", encoder, f"{len(rows):,}")
        tokenizer, model = adaptation.adapt(encoder, rows, label_set, how, device)
        with replacing_folder(place) as incoming, _no_bar():
            model.save_pretrained(incoming)
            tokenizer.save_pretrained(incoming)
            (incoming / _ABOUT).write_text(json.dumps(about, indent=2), "utf-8")
        return place


def check_layers(encoder: str, layers: Iterable[int]) -> None:
    """Refuse layers that an encoder lacks, before it is adapted for the sake of them.

    Args:
        encoder: "embedded", a hub name, or a folder.
        layers: Those that features are read from; 0 is the embedding layer, -1 the last one.

    Raises:
        UserError: If it lacks one, or cannot be loaded.
    """
    from transformers import AutoConfig

    from erc_kedro.modelling.encoders import Encoder

    Encoder(encoder, [])  # says what is wrong if it cannot be loaded
    n = int(AutoConfig.from_pretrained(resolve_encoder(encoder)).num_hidden_layers)
    if wrong := [own for own in layers if not -n - 1 <= own <= n]:
        raise UserError(
            "The encoder that is to be adapted has no such layer.",
            where="adaptation.poolings",
            expected=f"layers {-n - 1} to {n} of {encoder}",
            found=", ".join(map(str, wrong)),
            remedy="correct it, or ask for no such encoder (adapted, own_encoder: false)",
        )


@contextmanager
def _no_bar() -> Iterator[None]:
    """Keep transformers' bar off the screen."""
    from transformers.utils import logging as theirs

    theirs.disable_progress_bar()
    try:
        yield
    finally:
        theirs.enable_progress_bar()


def _of_training(how: AdaptationSettings) -> dict[str, object]:
    """Return what decides the weights: not the device's name, nor what is read of the encoder."""
    return how.model_dump(include=AdaptationSettings.model_fields.keys() - {"device"})

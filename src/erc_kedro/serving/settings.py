"""What a logged model says about itself: all that is needed to predict, but the weights."""

from pathlib import Path
from typing import Literal

from erc_kedro.core.errors import UserError
from erc_kedro.core.parameters import ParameterGroup
from erc_kedro.modelling.encoder_files import EMBEDDED, encoder_checksum
from erc_kedro.modelling.settings import AdaptationSettings, ClassifierSettings, Precision

ADAPTED = "adapted_encoder"
"""What a model calls the folder of its adapted encoder."""


class ServedPooling(ParameterGroup):
    """One part of the features: a hidden layer and how it is pooled."""

    layer: int
    how: Literal["mean", "max", "first"]


class ServedEncoder(ParameterGroup):
    """An encoder that a model needs; the weights of none but an adapted one are in the model.

    Attributes:
        name: "embedded", a hub name, or an absolute folder.
        checksum: As `encoder_checksum` returned when the model was logged.
        fingerprint: That of the features trained on; None for a fine-tuned encoder.
        poolings: The parts of the features; empty for a fine-tuned encoder.
        max_tokens: Longer texts are cut off.
        precision: Of the forward pass; auto is bfloat16 where the device is made for it.
    """

    name: str
    checksum: str
    fingerprint: str | None = None
    poolings: tuple[ServedPooling, ...] = ()
    max_tokens: int
    precision: Precision = "float32"

    def check(self) -> None:
        """See to it that the encoder found under the name is the one trained with.

        Weights and tokenizer must be the same: others give features that mean nothing to the
        classifiers. The version of torch, the device and the precision, which the features'
        fingerprint also covers, may differ: they change the last digits of a feature, never an
        emotion that was not on the edge, and a model trained on a GPU shall be served without one.

        Raises:
            UserError: If it is another encoder, or none can be found.
        """
        found = encoder_checksum(self.name)
        if found != self.checksum:
            raise UserError(
                "The encoder is not the one that the classifiers were trained with.",
                where=self.name,
                expected=f"weights and tokenizer with checksum {self.checksum}",
                found=found,
                remedy="put the former encoder back, or train and log the classifiers anew",
            )


class ServedAdaptation(AdaptationSettings):
    """How classifiers fine-tuned encoders of their own, and what these make of a text."""

    poolings: tuple[ServedPooling, ...]


class ServedSettings(ParameterGroup):
    """What a logged model says about itself.

    Attributes:
        corpus: The corpus trained on.
        corpus_source: "official" or "sample".
        digest: Of the corpus.
        arm: The arm that the classifiers are of.
        emotions: The label set, in its order.
        seeds: One classifier each.
        training: Which classifier, and its settings.
        encoder: The encoder it needs.
        adapted: The adapted encoder that lies in the model, if it needs one too.
        adaptation: How classifiers fine-tuned encoders of their own, if they did.
    """

    corpus: str
    corpus_source: str
    digest: str
    arm: str
    emotions: tuple[str, ...]
    seeds: tuple[int, ...]
    training: ClassifierSettings
    encoder: ServedEncoder
    adapted: ServedEncoder | None = None
    adaptation: ServedAdaptation | None = None

    def inside(self, folder: str) -> "ServedSettings":
        """Return these settings with the adapted encoder where the model has it."""
        assert self.adapted is not None
        return self.model_copy(update={"adapted": self.adapted.model_copy(update={"name": folder})})


def lasting_name(name: str) -> str:
    """Return an encoder's name as it is understood from any working folder."""
    folder = Path(name).expanduser()
    return str(folder.resolve()) if name != EMBEDDED and folder.exists() else name

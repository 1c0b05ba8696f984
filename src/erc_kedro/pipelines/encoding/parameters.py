"""Parameters of encoding."""

from typing import Literal

from pydantic import Field, PositiveInt

from erc_kedro.core.parameters import ParameterGroup
from erc_kedro.modelling.settings import AdaptationSettings, Precision


class PoolingParameters(ParameterGroup):
    """One part of the features: a hidden layer (0: embeddings, -1: last) and how it is pooled."""

    layer: int
    how: Literal["mean", "max", "first"]


class AdaptationParameters(AdaptationSettings):
    """The adapted encoder: how it is trained, and what it makes of a text.

    Attributes:
        poolings: The parts of its features, concatenated; they stand beside the encoder's own.
    """

    poolings: list[PoolingParameters] = Field(min_length=1)


class EncodingParameters(ParameterGroup):
    """How texts become features.

    Attributes:
        encoder: "embedded" (all-MiniLM-L6-v2), a hub name, or a folder; null encodes nothing,
            for a classifier that reads the texts itself.
        poolings: The parts of the features, concatenated.
        max_tokens: Longer texts are cut off.
        device: "auto", "cpu" or "cuda".
        precision: Of the forward pass: bfloat16 under autocast, float32, or auto: bfloat16 where
            the device has instructions of its own for it (three times as fast), else float32.
    """

    encoder: str | None
    poolings: list[PoolingParameters] = Field(min_length=1)
    max_tokens: PositiveInt
    device: str
    precision: Precision

"""Settings of the classifiers; no torch here, so that parameters load quickly."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, NonNegativeInt, PositiveFloat, PositiveInt

from erc_kedro.core.parameters import ParameterGroup

Probability = Annotated[float, Field(ge=0, lt=1)]
Precision = Literal["auto", "bfloat16", "float32"]
"""Of a forward pass; auto is bfloat16 where the device has instructions of its own for it."""


def _odd(value: int) -> int:
    if value % 2 == 0:
        raise ValueError("must be odd, so that it has a middle")
    return value


class ObjectiveSettings(ParameterGroup):
    """The loss, the same in every arm.

    Attributes:
        class_weight_power: Class weights are (1 / real train share) to this power.
        prior_correction: Whether logits learn relative to the label prior of the sample's own
            source, real or synthetic, and predict with the real one.
        prior_smoothing: Utterances added to every label's count before a prior is taken.
        soft_labels: Whether real utterances are learnt by their annotators' votes instead of by
            the one emotion that most named; for corpora whose files hold votes.
    """

    class_weight_power: Annotated[float, Field(ge=0, le=1)]
    prior_correction: bool
    prior_smoothing: PositiveFloat
    soft_labels: bool = False


class ContextualSettings(ParameterGroup):
    """The contextual classifier on frozen features.

    Attributes:
        own_encoder: Whether every classifier first fine-tunes an encoder of its own on the real
            utterances that it learns from, as `adaptation` says; what that makes of a text stands
            beside the features. It begins with the adapted encoder, if the recipe has one.
        steps: Optimiser steps, the same in every arm, for 10,000 real utterances.
        step_scaling: For n real utterances, steps are multiplied by n / 10,000 to this power.
        batch_dialogues: Real dialogues in a batch. What an arm adds comes on top: all arms pass
            over their data equally often in the same number of steps, so that added dialogues
            never push real ones out.
        width: Hidden width.
        kernel: Turns that the context convolution sees at once, an odd number.
        input_dropout: Dropout on the features.
        context_dropout: Dropout on what the context adds.
        output_dropout: Dropout before the last layer.
        learning_rate: Peak of the one-cycle schedule.
        weight_decay: Of AdamW.
        average_decay: Decay of the running average of weights that is kept (EMA).
        clip_norm: Largest gradient norm.
    """

    own_encoder: bool = False
    steps: PositiveInt
    step_scaling: Annotated[float, Field(ge=0, le=1)]
    batch_dialogues: PositiveInt
    width: PositiveInt
    kernel: Annotated[PositiveInt, AfterValidator(_odd)]
    input_dropout: Probability
    context_dropout: Probability
    output_dropout: Probability
    learning_rate: PositiveFloat
    weight_decay: Annotated[float, Field(ge=0)]
    average_decay: Probability
    clip_norm: PositiveFloat


class FineTunedSettings(ParameterGroup):
    """The fine-tuned encoder.

    Attributes:
        encoder: "embedded", a hub name, or a folder.
        context_turns: How many previous turns are put before the utterance.
        max_tokens: Longest input; what is too long loses its oldest context.
        steps: Optimiser steps, the same in every arm, for 10,000 real utterances.
        step_scaling: For n real utterances, steps are multiplied by n / 10,000 to this power.
        batch_utterances: Utterances in a batch.
        learning_rate: Peak of the linear schedule with warm-up.
        head_learning_rate: The same for the new classification layer.
        weight_decay: Of AdamW.
        warmup: Share of the steps in which the learning rate rises.
        dropout: Before the classification layer.
        clip_norm: Largest gradient norm.
        precision: Of the forward pass: bfloat16 under autocast, float32, or auto: bfloat16 where
            the device has instructions of its own for it (three times as fast), else float32.
    """

    encoder: str
    context_turns: NonNegativeInt
    max_tokens: PositiveInt
    steps: PositiveInt
    step_scaling: Annotated[float, Field(ge=0, le=1)]
    batch_utterances: PositiveInt
    learning_rate: PositiveFloat
    head_learning_rate: PositiveFloat
    weight_decay: Annotated[float, Field(ge=0)]
    warmup: Annotated[float, Field(ge=0, le=1)]
    dropout: Probability
    clip_norm: PositiveFloat
    precision: Precision


class AdaptationSettings(ParameterGroup):
    """How an encoder is fine-tuned on labelled utterances before it encodes.

    Attributes:
        epochs: Passes over the utterances.
        most_steps: Optimiser steps at most: many utterances are passed over less often.
        batch_utterances: Utterances in a batch.
        learning_rate: Peak of the encoder's linear schedule with warm-up.
        head_learning_rate: The same of the classification layer, which is dropped afterwards.
        weight_decay: Of AdamW.
        warmup: Share of the steps in which the learning rate rises.
        frozen_layers: So many of the first layers stay as they are.
        class_weight_power: Class weights are (1 / share among the utterances) to this power.
        clip_norm: Largest gradient norm.
        max_tokens: Longer texts are cut off.
        precision: Of the forward pass: bfloat16 under autocast, float32, or auto: bfloat16 where
            the device has instructions of its own for it (three times as fast), else float32.
        device: "auto", "cpu" or "cuda".
        seed: Of the order and of the new layer.
    """

    epochs: PositiveInt
    most_steps: PositiveInt
    batch_utterances: PositiveInt
    learning_rate: PositiveFloat
    head_learning_rate: PositiveFloat
    weight_decay: Annotated[float, Field(ge=0)]
    warmup: Annotated[float, Field(ge=0, le=1)]
    frozen_layers: NonNegativeInt
    class_weight_power: Annotated[float, Field(ge=0, le=1)]
    clip_norm: PositiveFloat
    max_tokens: PositiveInt
    precision: Precision
    device: str
    seed: NonNegativeInt


class ClassifierSettings(ParameterGroup):
    """Which classifier, and the settings of each kind.

    Attributes:
        classifier: "contextual" on frozen features, or "finetuned".
        device: "auto", "cpu" or "cuda".
        objective: The loss.
        contextual: Settings of the contextual classifier.
        finetuned: Settings of the fine-tuned encoder.
    """

    classifier: Literal["contextual", "finetuned"]
    device: str
    objective: ObjectiveSettings
    contextual: ContextualSettings
    finetuned: FineTunedSettings

    @property
    def has_own_encoder(self) -> bool:
        """Whether every classifier has an encoder of its own beside the features."""
        return self.classifier == "contextual" and self.contextual.own_encoder

    def without_own_encoder(self) -> "ClassifierSettings":
        """Return the same settings for a classifier that judges data, and is quickly trained."""
        plain = self.contextual.model_copy(update={"own_encoder": False})
        return self.model_copy(update={"contextual": plain})

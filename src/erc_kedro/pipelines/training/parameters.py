"""Parameters of training, the same for every arm."""

from typing import Literal

from erc_kedro.core.parameters import ParameterGroup
from erc_kedro.modelling.settings import ContextualSettings, FineTunedSettings, ObjectiveSettings


class TrainingParameters(ParameterGroup):
    """Which classifier is trained, and how.

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

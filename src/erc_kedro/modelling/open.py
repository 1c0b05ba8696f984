"""Choose a classifier by its settings."""

from typing import Any

from erc_kedro.core.errors import UserError
from erc_kedro.core.labels import LabelSet
from erc_kedro.modelling.classifier import Classifier
from erc_kedro.modelling.contextual import ContextualClassifier
from erc_kedro.modelling.encoders import choose_device
from erc_kedro.modelling.features import open_features
from erc_kedro.modelling.finetuned import FineTunedClassifier
from erc_kedro.modelling.settings import ClassifierSettings


def open_classifier(
    settings: ClassifierSettings, features: dict[str, Any], label_set: LabelSet
) -> Classifier:
    """Return the chosen classifier.

    Args:
        settings: Kind, device, and the settings of each kind.
        features: Path and width of the features, as encoding returns them.
        label_set: The corpus's label set.

    Raises:
        UserError: If the contextual classifier is chosen and nothing was encoded.
    """
    device = choose_device(settings.device)
    if settings.classifier == "finetuned":
        return FineTunedClassifier(label_set, settings.finetuned, settings.objective, device)
    if features["path"] is None:
        raise UserError(
            "The contextual classifier needs features.",
            where="training.classifier: contextual",
            found="encoding.encoder: null",
            remedy="name an encoder, or set training.classifier: finetuned",
        )
    opened = open_features(features["path"], features["width"])
    return ContextualClassifier(opened, label_set, settings.contextual, settings.objective, device)

"""Choose a classifier by its settings, and say what its training depends on."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch
import transformers

from erc_kedro.core.errors import UserError
from erc_kedro.core.labels import LabelSet
from erc_kedro.modelling.classifier import Classifier
from erc_kedro.modelling.code_digest import code_digest, of_modelling
from erc_kedro.modelling.contextual import ContextualClassifier
from erc_kedro.modelling.devices import choose_device, choose_precision
from erc_kedro.modelling.encoder_store import check_layers
from erc_kedro.modelling.encoders import Encoder, Pooling
from erc_kedro.modelling.features import open_chosen
from erc_kedro.modelling.finetuned import FineTunedClassifier
from erc_kedro.modelling.own_encoder import OwnEncoders
from erc_kedro.modelling.settings import AdaptationSettings, ClassifierSettings

_COMMON = (
    *of_modelling("batches", "classifier", "devices", "objective", "products", "threads"),
    "core.labels",
)
CODE = {
    "contextual": (
        *_COMMON,
        *of_modelling(
            "contextual", "contextual_head", "prepared", "stacked", "stacked_head", "features"
        ),
    ),
    "finetuned": (*_COMMON, *of_modelling("finetuned", "encoders")),
}
"""The modules that each kind's training runs through."""

CODE_OF_OWN_ENCODERS = of_modelling("own_encoder", "adaptation", "encoders")


def open_classifier(
    settings: ClassifierSettings, features: dict[str, Any], label_set: LabelSet
) -> Classifier:
    """Return the chosen classifier.

    Args:
        settings: Kind, device, and the settings of each kind.
        features: Path and width of the features, as encoding or `features_for` returns them. The
            fine-tuned encoder begins with the adapted one that is named there.
        label_set: The corpus's label set.

    Raises:
        UserError: If the contextual classifier is chosen and nothing was encoded.
    """
    device = choose_device(settings.device)
    if settings.classifier == "finetuned":
        begun = {"encoder": _finetuned(settings, features)}
        finetuned = settings.finetuned.model_copy(update=begun)
        return FineTunedClassifier(label_set, finetuned, settings.objective, device)
    if features["path"] is None:
        raise UserError(
            "The contextual classifier needs features.",
            where="training.classifier: contextual",
            found="encoding.encoder: null",
            remedy="name an encoder, or set training.classifier: finetuned",
        )
    opened, own = open_chosen(features), own_encoders(settings, features, label_set)
    how = settings.contextual, settings.objective, device, own
    return ContextualClassifier(opened, label_set, *how)


def own_encoders(
    settings: ClassifierSettings, features: Mapping[str, Any], label_set: LabelSet
) -> OwnEncoders | None:
    """Return what fine-tunes an encoder for each classifier; None if the settings ask for none.

    Args:
        settings: As for `open_classifier`.
        features: As for `open_classifier`; `adaptation` says how encoders are fine-tuned. They
            too begin with the adapted one.
        label_set: The corpus's label set.

    Raises:
        UserError: If the encoder lacks a layer that its features are read from.
    """
    if not settings.has_own_encoder:
        return None
    given = features["adaptation"]
    poolings = tuple(Pooling(**own) for own in given["poolings"])
    how = AdaptationSettings(**{k: v for k, v in given.items() if k != "poolings"})
    begun = _begun(features, str(features["encoder"]))
    check_layers(begun, [own.layer for own in poolings])
    return OwnEncoders(begun, label_set, how, poolings, choose_device(how.device))


def what_training_depends_on(
    settings: ClassifierSettings, features: dict[str, Any], label_set: LabelSet
) -> dict[str, Any]:
    """Return all that decides the outcome of training, besides data and seed.

    The number of cores is not among it: every bit is the same for any. Nor is who trains in one
    pass with it on a GPU, where that moves the last digits.

    Args:
        settings: As for `open_classifier`; the settings of the other kind do not count.
        features: As for `open_classifier`.
        label_set: The corpus's label set.

    Returns:
        Plain values by plain names.
    """
    kind = settings.classifier
    device = choose_device(settings.device)
    modules = CODE[kind]
    own = getattr(settings, kind).model_dump()
    if kind == "contextual":
        encoded = {"features": features["fingerprint"]}
        if (encoders := own_encoders(settings, features, label_set)) is not None:
            encoded["own encoder"] = encoders.about
            modules += CODE_OF_OWN_ENCODERS
    else:
        name = _finetuned(settings, features)
        encoder = Encoder(name, [Pooling(-1, "mean")], device=device.type)
        encoded = {"features": None, "encoder": encoder.fingerprint}
        own["precision"] = choose_precision(own["precision"], device)
    return encoded | {
        "settings": {
            "classifier": kind,
            "device": device.type,
            "objective": settings.objective.model_dump(),
            kind: own,
        },
        "label set": asdict(label_set),
        "software": {
            "torch": torch.__version__,
            "transformers": transformers.__version__ if kind == "finetuned" else None,
            "code": code_digest(*modules),
        },
    }


def _finetuned(settings: ClassifierSettings, features: Mapping[str, Any]) -> str:
    return _begun(features, settings.finetuned.encoder)


def _begun(features: Mapping[str, Any], otherwise: str) -> str:
    """Return what is fine-tuned on real utterances: the adapted encoder, if the recipe has one."""
    beside = features.get("beside")
    return otherwise if beside is None else str(beside["encoder"])

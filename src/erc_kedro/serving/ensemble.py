"""The classifiers of an arm's seeds as one: the mean of their probabilities."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from erc_kedro.core.labels import LabelSet
from erc_kedro.modelling.classifier import Classifier, State
from erc_kedro.modelling.contextual import ContextualClassifier
from erc_kedro.modelling.devices import choose_device
from erc_kedro.modelling.encoders import Encoder, Pooling, load_pretrained
from erc_kedro.modelling.features import Features, text_key
from erc_kedro.modelling.finetuned import FineTunedClassifier
from erc_kedro.modelling.open import own_encoders
from erc_kedro.modelling.own_encoder import keep_at_hand
from erc_kedro.serving.settings import ServedEncoder, ServedSettings


class Ensemble:
    """The classifiers of an arm's seeds, on whatever device there is.

    Args:
        settings: Of the model.
        states: The state of each seed's classifier.

    Raises:
        UserError: If the encoder is not there, or not the one trained with.
    """

    def __init__(self, settings: ServedSettings, states: Mapping[int, State]) -> None:
        self._states = states
        self._training = settings.training
        self._device = choose_device("auto")
        self._label_set = LabelSet(settings.corpus, settings.emotions)
        self._encoders: list[Encoder] = []
        self._own = None
        if settings.adaptation is not None:
            how = settings.adaptation.model_dump() | {"device": self._device.type}
            about = {"encoder": settings.encoder.name, "adaptation": how}
            self._own = own_encoders(settings.training, about, self._label_set)
            keep_at_hand(len(states))
        needed = [own for own in (settings.encoder, settings.adapted) if own is not None]
        if settings.training.classifier == "finetuned":
            kind, begun = settings.training, needed[-1].name
            finetuned = kind.finetuned.model_copy(update={"encoder": begun})
            self._finetuned = FineTunedClassifier(
                self._label_set, finetuned, kind.objective, self._device
            )
            load_pretrained(begun)  # raises if it is not there
        else:
            self._encoders = [self._open(own) for own in needed]
        for own in needed:
            own.check()

    def _open(self, wanted: ServedEncoder) -> Encoder:
        poolings = [Pooling(part.layer, part.how) for part in wanted.poolings]
        how = wanted.max_tokens, self._device.type, wanted.precision
        encoder = Encoder(wanted.name, poolings, *how)
        list(encoder.encode([]))  # loads it, so that the first request need not wait
        return encoder

    def probabilities(self, dialogues: pd.DataFrame) -> np.ndarray:
        """Return the mean over the seeds of the probability of every emotion.

        Args:
            dialogues: Columns dialogue_id, turn, speaker and text; a dialogue's rows follow each
                other in the order of its turns.

        Returns:
            float64 of shape (rows, labels).
        """
        classifier = self._classifier(dialogues["text"])
        of_seeds = [classifier.probabilities(own, dialogues) for own in self._states.values()]
        return np.mean(of_seeds, axis=0)

    def _classifier(self, texts: pd.Series) -> Classifier:
        settings = self._training
        if not self._encoders:
            return self._finetuned
        features = _features(self._encoders, texts)
        how = settings.contextual, settings.objective, self._device, self._own
        return ContextualClassifier(features, self._label_set, *how)


def _features(encoders: Sequence[Encoder], texts: pd.Series) -> Features:
    """Return the features of texts, each distinct one encoded once by every encoder."""
    distinct = list(dict.fromkeys(texts))
    matrix = np.empty((len(distinct), sum(own.width for own in encoders)), dtype=np.float32)
    first = 0
    for encoder in encoders:
        for positions, rows in encoder.encode(distinct):
            matrix[positions, first : first + encoder.width] = rows
        first += encoder.width
    return Features(matrix, {text_key(text): row for row, text in enumerate(distinct)})

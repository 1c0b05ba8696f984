"""Nodes of encoding."""

import logging
from typing import Any

import pandas as pd

from erc_kedro.core.corpus import label_set_of
from erc_kedro.core.errors import UserError
from erc_kedro.core.mixing import Recipe
from erc_kedro.modelling.encoder_store import EncoderStore, check_layers
from erc_kedro.modelling.features import FeatureStore
from erc_kedro.modelling.settings import ClassifierSettings
from erc_kedro.pipelines.encoding.parameters import AdaptationParameters, EncodingParameters

logger = logging.getLogger(__name__)


def collect_texts(
    train_dialogues: pd.DataFrame,
    held_out_texts: pd.DataFrame,
    synthetic_dialogues: pd.DataFrame,
    **recipes: Recipe,
) -> pd.DataFrame:
    """Collect the texts that an arm may train on or predict.

    Args:
        train_dialogues: Real train.
        held_out_texts: Real dev and test.
        synthetic_dialogues: The accepted synthetic dialogues, with a column `strategy`.
        **recipes: Of every arm; the texts of a strategy that none uses are left out.

    Returns:
        The distinct texts, sorted, in one column `text`.
    """
    used = {recipe.strategy for recipe in recipes.values() if recipe.extra == "synthetic"}
    wanted = synthetic_dialogues["strategy"].isin(used) | ("all" in used)
    return _distinct(train_dialogues, held_out_texts, synthetic_dialogues[wanted])


def collect_tuning_texts(
    train_dialogues: pd.DataFrame,
    dev_dialogues: pd.DataFrame,
    synthetic_dialogues: pd.DataFrame,
) -> pd.DataFrame:
    """Collect the texts that tuning may train on or predict: none of test.

    Returns:
        The distinct texts, sorted, in one column `text`.
    """
    return _distinct(train_dialogues, dev_dialogues, synthetic_dialogues)


def collect_study_texts(
    train_dialogues: pd.DataFrame,
    held_out_texts: pd.DataFrame,
    synthetic_dialogues: pd.DataFrame,
) -> pd.DataFrame:
    """Collect the texts that a study may train on or predict: of every strategy, none of dev.

    Returns:
        The distinct texts, sorted, in one column `text`.
    """
    test = held_out_texts[held_out_texts["split"] == "test"]
    return _distinct(train_dialogues, test, synthetic_dialogues)


def _distinct(*tables: pd.DataFrame) -> pd.DataFrame:
    texts = pd.concat([table["text"] for table in tables]).drop_duplicates().sort_values()
    return texts.to_frame().reset_index(drop=True)


def adapt(
    synthetic_dialogues: pd.DataFrame,
    validation_gate: dict[str, Any],
    corpus_card: dict[str, Any],
    encoder_store: EncoderStore,
    adaptation: AdaptationParameters,
    encoding: EncodingParameters,
    training: ClassifierSettings,
    **asking: Any,
) -> dict[str, Any]:
    """Fine-tune the encoder on the accepted synthetic dialogues, if a recipe asks for it.

    It is the encoder that the classifier uses: that of the features, or the one to be fine-tuned.
    Nothing real is read.

    Args:
        synthetic_dialogues: The accepted ones, of every strategy.
        validation_gate: What the gate let through.
        corpus_card: Of the corpus.
        encoder_store: Keeps adapted encoders.
        adaptation: How it is done.
        encoding: Names the encoder of the features.
        training: Names the classifier, and the encoder that it fine-tunes.
        **asking: Recipes of the arms, and what may change them: parameters of tuning or a study.

    Returns:
        encoder: the folder of the adapted encoder; None if nobody asks.
    """
    recipes = [own for own in asking.values() if isinstance(own, Recipe)]
    others = [own for own in asking.values() if not isinstance(own, Recipe)]  # try more ratios
    asks = any(own.asks_adaptation for own in asking.values())
    if not asks and not (others and any(own.may_be_adapted for own in recipes)):
        return {"encoder": None}
    own = training.classifier == "finetuned"
    name = training.finetuned.encoder if own else encoding.encoder
    if name is None:
        raise UserError(
            "There is no encoder to adapt.",
            where="encoding.encoder: null",
            expected="an encoder, as a recipe has adapted: true",
            remedy="name an encoder, or set adapted: false",
        )
    if encoding.encoder is not None:
        check_layers(name, [part.layer for part in adaptation.poolings])
    label_set = label_set_of(corpus_card)
    place = encoder_store.update(name, synthetic_dialogues, label_set, adaptation)
    return {"encoder": str(place)}


def encode(
    texts: pd.DataFrame,
    feature_store: FeatureStore,
    adapted_encoder: dict[str, Any],
    encoding: EncodingParameters,
    adaptation: AdaptationParameters,
) -> dict[str, Any]:
    """Encode the texts that the feature store does not hold yet.

    Args:
        texts: In one column `text`.
        feature_store: Keeps the features.
        adapted_encoder: As `adapt` returns it.
        encoding: Of the encoder as it is.
        adaptation: Of the adapted one.

    Returns:
        Where the features lie, and how they were made: path, width, encoder, fingerprint,
        poolings, max_tokens, precision; path is None without an encoder. The same of the adapted
        encoder under `adapted`; None if there is none. And under `adaptation` how classifiers
        fine-tune encoders of their own.
    """
    found = _encoded(texts["text"], feature_store, encoding)
    found |= {"adaptation": adaptation.model_dump()}
    if adapted_encoder["encoder"] is None:
        return found | {"adapted": None}
    read = encoding.encoder is not None  # else the classifier reads the texts itself
    own = EncodingParameters(
        encoder=adapted_encoder["encoder"],
        poolings=adaptation.poolings,
        max_tokens=adaptation.max_tokens,
        device=encoding.device,
        precision=adaptation.precision,
    )
    if not read:
        return found | {"adapted": own.model_dump() | {"path": None, "fingerprint": None}}
    return found | {"adapted": _encoded(texts["text"], feature_store, own)}


def _encoded(
    texts: pd.Series, feature_store: FeatureStore, encoding: EncodingParameters
) -> dict[str, Any]:
    made = encoding.model_dump(include={"encoder", "poolings", "max_tokens"})
    if encoding.encoder is None:
        return made | {"path": None, "width": 0, "fingerprint": None}
    from erc_kedro.modelling.encoders import Encoder, Pooling

    poolings = [Pooling(part.layer, part.how) for part in encoding.poolings]
    how = encoding.max_tokens, encoding.device, encoding.precision
    encoder = Encoder(encoding.encoder, poolings, *how)
    path, n_encoded = feature_store.update(encoder, texts)
    n_kept = len(texts) - n_encoded
    parts = [f"{n_kept:,} kept: encoder and its settings unchanged"] if n_kept else []
    parts += [f"{n_encoded:,} encoded: not there yet"] if n_encoded else []
    logger.info("%s texts, encoder %s: %s", f"{len(texts):,}", encoding.encoder, "; ".join(parts))
    return made | {
        "path": str(path),
        "width": encoder.width,
        "precision": encoder.precision,
        "fingerprint": encoder.fingerprint,
    }

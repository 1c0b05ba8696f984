"""Nodes of encoding."""

import logging
from typing import Any

import pandas as pd

from erc_kedro.core.mixing import Recipe
from erc_kedro.modelling.features import FeatureStore
from erc_kedro.pipelines.encoding.parameters import EncodingParameters

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


def encode(
    texts: pd.DataFrame, feature_store: FeatureStore, encoding: EncodingParameters
) -> dict[str, Any]:
    """Encode the texts that the feature store does not hold yet.

    Returns:
        Where the features lie, and how they were made: path, width, encoder, fingerprint,
        poolings, max_tokens; path is None without an encoder.
    """
    made = encoding.model_dump(include={"encoder", "poolings", "max_tokens"})
    if encoding.encoder is None:
        return made | {"path": None, "width": 0, "fingerprint": None}
    from erc_kedro.modelling.encoders import Encoder, Pooling

    poolings = [Pooling(part.layer, part.how) for part in encoding.poolings]
    encoder = Encoder(encoding.encoder, poolings, encoding.max_tokens, encoding.device)
    path, n_encoded = feature_store.update(encoder, texts["text"])
    n_kept = len(texts) - n_encoded
    parts = [f"{n_kept:,} kept: encoder and its settings unchanged"] if n_kept else []
    parts += [f"{n_encoded:,} encoded: not there yet"] if n_encoded else []
    logger.info("%s texts, encoder %s: %s", f"{len(texts):,}", encoding.encoder, "; ".join(parts))
    return made | {
        "path": str(path),
        "width": encoder.width,
        "fingerprint": encoder.fingerprint,
    }

"""Nodes of ingestion."""

import logging
from typing import Any

import pandas as pd

from erc_kedro.core.corpus import SPLITS, RawCorpus, held_out_of
from erc_kedro.core.errors import UserError
from erc_kedro.core.labels import labelled
from erc_kedro.pipelines.ingestion.parameters import IngestionParameters

logger = logging.getLogger(__name__)


def split_corpus(
    raw: RawCorpus, ingestion: IngestionParameters
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame, dict[str, Any], dict[str, Any]]:
    """Split a raw corpus into what the stages may see.

    Returns:
        The dialogue tables of train, dev and test; the texts of dev and test without labels
        (columns split, dialogue_id, turn, speaker, text); the corpus card, which every stage may
        read: name, label set, source, digest, agreement of its labellers, which part of train there
        is; and facts for the corpus report alone, since they know test labels: dialogues, labelled
        utterances, label counts and findings of each split.

    Raises:
        UserError: If a split is too small.
    """
    card = {
        "corpus": raw.name,
        "corpus_source": raw.source,
        "digest": raw.digest,
        "emotions": list(raw.label_set.emotions),
        "neutral": raw.label_set.neutral,
        "agreement": raw.agreement,
        "train_fraction": raw.train_fraction,
    }
    facts: dict[str, Any] = {}
    for split in SPLITS:
        table = raw.splits[split]
        n_dialogues = table["dialogue_id"].nunique()
        if n_dialogues < ingestion.min_dialogues:
            raise UserError(
                "The split is too small.",
                where=f"{raw.name}, {split}",
                expected=f"at least {ingestion.min_dialogues} dialogues (ingestion.min_dialogues)",
                found=f"{n_dialogues}",
            )
        counts = raw.label_set.counts(table["emotion"]).tolist()
        facts[split] = {
            "dialogues": n_dialogues,
            "utterances": len(labelled(table)),
            "emotions": dict(zip(raw.label_set.emotions, counts, strict=True)),
            "findings": list(raw.findings[split]),
        }
        for finding in raw.findings[split]:
            logger.debug("%s %s: %s", raw.name, split, finding)
    logger.info(
        "read anew: %s (digest %s)",
        ", ".join(f"{split} {own['dialogues']:,} dialogues" for split, own in facts.items()),
        raw.digest,
    )
    held_out = pd.concat(
        [raw.splits[split].assign(split=split) for split in ("dev", "test")], ignore_index=True
    )[["split", "dialogue_id", "turn", "speaker", "text"]]
    train, dev, test = (raw.splits[split] for split in SPLITS)
    return train, dev, test, held_out, card, facts


def forbid_texts(
    held_out_texts: pd.DataFrame, other_corpora: dict[str, RawCorpus], corpus_card: dict[str, Any]
) -> pd.DataFrame:
    """Gather what no synthetic dialogue may share: dev and test of every corpus at hand.

    Returns:
        Columns corpus, split and text; of the corpus itself, and of the others, on which somebody
        may test too.
    """
    if other_corpora:
        logger.info("dev and test of %s are at hand: no leak into them", ", ".join(other_corpora))
    own = held_out_texts.assign(corpus=corpus_card["corpus"])[["corpus", "split", "text"]]
    others = [held_out_of(other) for other in other_corpora.values()]
    return pd.concat([own, *others], ignore_index=True)

"""The tables of a released data set's card: rows of text, ready to be shown."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from erc_kedro.core.diversity import MEASURES
from erc_kedro.core.experiment import BASELINE, SYNTHETIC_ONLY
from erc_kedro.core.metrics import HEADLINE
from erc_kedro.core.rules import HELD_OUT, TRAIN_COPY
from erc_kedro.core.wording import plain, with_spread
from erc_kedro.reporting.summaries import label_shares
from erc_kedro.reporting.tables import DASH, Table

_OVERLAP = "an utterance of four or more words, or three five-grams, of"

_RULES = {
    "unparseable": "the reply holds no dialogue",
    "turns": "another number of turns than planned",
    "speakers": "other speakers than planned",
    "emotions": "another emotion than planned, or none of the label set",
    "text_length": "a turn without words, or too long",
    "placeholder": "brackets, placeholders, nameless speakers",
    "meta_talk": "talk about the task, or a turn tagged with its emotion",
    "repeated_utterance": "an utterance of four or more words that stands elsewhere in the data",
    HELD_OUT: f"{_OVERLAP} real dev or test",
    TRAIN_COPY: "the same of real train",
    "near_duplicate": "word trigrams overlap with another dialogue's by half (Jaccard index)",
}

_MEASURES = dict(
    zip(
        MEASURES,
        ("distinct-1", "distinct-2", "distinct-3", "MATTR", "cosine distance", "Vendi score"),
        strict=True,
    )
)


def sizes(tables: Mapping[str, pd.DataFrame]) -> Table:
    """Return how large each strategy's table is."""
    rows = [
        [strategy, f"{own['dialogue_id'].nunique():,}", f"{len(own):,}"]
        for strategy, own in tables.items()
    ]
    return Table("", ["configuration", "dialogues", "utterances"], rows)


def labels(
    table: pd.DataFrame,
    strategy: str,
    validation_report: Mapping[str, Any],
    train_dialogues: pd.DataFrame | None,
) -> Table:
    """Return a strategy's emotions: utterances, and shares beside plan and real train, if any."""
    planned = {
        entry["emotion"]: entry["target"]
        for entry in validation_report["shares"]
        if entry["strategy"] == strategy
    }
    counts = table["emotion"].value_counts()
    real: dict[str, float] = {}
    if train_dialogues is not None:
        counted = train_dialogues[train_dialogues["emotion"].isin(list(planned))]
        real = label_shares(counted, list(planned))
    rows = [
        [
            emotion,
            f"{counts.get(emotion, 0):,}",
            _percent(counts.get(emotion, 0) / len(table)),
            _percent(target),
            *([_percent(real[emotion])] if real else []),
        ]
        for emotion, target in planned.items()
    ]
    head = ["emotion", "utterances", "share, %", "planned, %"]
    return Table("", [*head, *(["real train, %"] if real else [])], rows)


def rules(refused_by_rule: Mapping[str, int], others: Iterable[str] | None = None) -> Table:
    """Return what each rule means, and how many candidates it refused.

    Args:
        refused_by_rule: The numbers.
        others: If the corpus itself was not at hand, those that dialogues were held against; a
            rule that had nothing to hold them against is left out.
    """
    meanings = dict(_RULES)
    if others is not None:
        where = ", ".join(others)
        del meanings[TRAIN_COPY]
        meanings[HELD_OUT] = f"{_OVERLAP} dev or test of {where}"
        refused_by_rule = {
            rule: n
            for rule, n in refused_by_rule.items()
            if rule != TRAIN_COPY and (where or rule != HELD_OUT)
        }
    rows = [
        [plain(rule), meanings.get(rule, DASH), f"{n:,}"] for rule, n in refused_by_rule.items()
    ]
    return Table("", ["rule", "refuses", "refused"], rows)


def agreement(found: Mapping[str, Mapping[str, float] | None]) -> Table:
    """Return how far a second labeller agrees with the plan, of strategies where one labelled."""
    rows = [
        [strategy, f"{own['utterances']:,.0f}", _percent(own["agree"]), f"{own['kappa']:.2f}"]
        for strategy, own in found.items()
        if own
    ]
    return Table("", ["data", "utterances labelled twice", "same label, %", "Cohen's kappa"], rows)


def lengths(found: Mapping[str, Mapping[str, Mapping[str, float]]]) -> Table:
    """Return mean and median of every length, by data."""
    names = list(next(iter(found.values())))
    rows = [
        [data, *(f"{own[name]['mean']:.1f} ({own[name]['median']:g})" for name in names)]
        for data, own in found.items()
    ]
    return Table("", ["data", *names], rows)


def diversity(sets: Mapping[str, Mapping[str, float]]) -> Table:
    """Return every measure of diversity, by data."""
    digits = {"vendi": 1}
    rows = [
        [data, *(f"{own[key]:.{digits.get(key, 3)}f}" for key in MEASURES)]
        for data, own in sets.items()
    ]
    return Table("", ["data", *_MEASURES.values()], rows)


def repetition(found: Mapping[str, Mapping[str, float]]) -> Table:
    """Return how much each data set repeats itself."""
    head = ["data", "near-duplicate dialogues, %", "repeated utterances, %"]
    rows = [
        [data, _percent(own["near_duplicates"]), _percent(own["repeated_utterances"])]
        for data, own in found.items()
    ]
    return Table("", head, rows)


def overlap(found: Mapping[str, Mapping[str, Mapping[str, float]]]) -> Table:
    """Return how much of each strategy stands in the real splits."""
    head = ["configuration", "real split", "utterances copied, %", "five-grams shared, %"]
    rows = [
        [
            strategy,
            split,
            _percent(own["copied_utterances"]),
            _percent(own["fivegrams"]),
            f"{own['dialogues']:,}",
        ]
        for strategy, splits in found.items()
        for split, own in splits.items()
    ]
    return Table("", [*head, "overlapping dialogues"], rows)


def scores(metrics: Mapping[str, Mapping[str, Any]], copied: Mapping[str, float]) -> Table:
    """Return the headline scores of arms on real test, in points, beside what is copied.

    Args:
        metrics: Of the baseline and of the arm trained on synthetic dialogues alone.
        copied: What of the latter's data stands in real train, see `core.release.copying`.
    """
    copies = {
        BASELINE: [DASH, DASH],
        SYNTHETIC_ONLY: [_percent(copied[key]) for key in ("copied_utterances", "fivegrams")],
    }
    rows = []
    for arm, own in metrics.items():
        values = [own["metrics"][name] for name in HEADLINE]
        n = len(own["seeds"])
        rows.append(
            [
                plain(arm),
                *(with_spread(100 * v["mean"], 100 * v["std"], n) for v in values),
                *copies[arm],
            ]
        )
    head = ["utterances copied from real train, %", "five-grams shared with it, %"]
    return Table("", ["trained on", *map(plain, HEADLINE), *head], rows)


def reached(baseline: Mapping[str, Any], synthetic_only: Mapping[str, Any]) -> str:
    """Return how much of the baseline's scores training on synthetic dialogues reaches."""
    parts = []
    for name in HEADLINE:
        real, own = (arm["metrics"][name]["mean"] for arm in (baseline, synthetic_only))
        share = f"{100 * own / real:.0f} %" if real else "an unknown share"
        parts.append(f"{share} of the {plain(name)}")
    return " and ".join(parts)


def summary(values: np.ndarray) -> dict[str, float]:
    """Return mean and median."""
    return {"mean": float(values.mean()), "median": float(np.median(values))}


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"

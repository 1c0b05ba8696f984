"""What the report's tables, figures and examples show, computed from what the stages left."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from erc_kedro.core.dialogue import Dialogue, dialogues_of
from erc_kedro.core.rules import RULE_NAMES
from erc_kedro.reporting.text import visible

N_RARE = 3
"""So many of train's least frequent emotions count as rare."""

N_EXAMPLES = 3
"""Refused dialogues shown per rule."""

_QUOTES_REAL_TEXT = frozenset({"held_out_overlap", "train_copy"})
_REASON = re.compile(rf"(?:^|; )({'|'.join(RULE_NAMES)}): ")


@dataclass(frozen=True)
class Sample:
    """A synthetic dialogue to show.

    Attributes:
        strategy: How its emotions were planned.
        dialogue: The dialogue.
    """

    strategy: str
    dialogue: Dialogue


@dataclass(frozen=True)
class Refused:
    """What a rule refused.

    Attributes:
        rule: The rule's name.
        dialogues: How many dialogues it refused.
        examples: For up to `N_EXAMPLES` of them id and reasons, fit to be shown.
    """

    rule: str
    dialogues: int
    examples: list[tuple[str, str]]


def label_shares(table: pd.DataFrame, emotions: Sequence[str]) -> dict[str, float]:
    """Return by emotion its share of a dialogue table's utterances."""
    counts = table["emotion"].value_counts().reindex(list(emotions), fill_value=0)
    total = max(int(counts.sum()), 1)
    return {emotion: float(counts[emotion]) / total for emotion in emotions}


def transition_shares(table: pd.DataFrame, emotions: Sequence[str]) -> np.ndarray:
    """Return how often each emotion follows each, from a dialogue's turn to its next.

    Returns:
        Shape (labels, labels), rows are this turn and sum to 1; NaN for an emotion that no turn
        follows.
    """
    following = table.groupby("dialogue_id", sort=False)["emotion"].shift(-1)
    counts = pd.crosstab(table["emotion"], following)
    counts = counts.reindex(index=list(emotions), columns=list(emotions), fill_value=0)
    values = counts.to_numpy(dtype=float)
    totals = values.sum(1, keepdims=True)
    return np.divide(values, totals, out=np.full_like(values, np.nan), where=totals > 0)


def transitions_by_data(
    train: pd.DataFrame | None, synthetic: pd.DataFrame, emotions: Sequence[str]
) -> dict[str, np.ndarray]:
    """Return the transition shares of real train, if it is at hand, and of each strategy."""
    real = {} if train is None else {"real train": train}
    tables = real | {
        f"synthetic, {strategy}": rows for strategy, rows in synthetic.groupby("strategy")
    }
    return {name: transition_shares(rows, emotions) for name, rows in tables.items()}


def rare_emotions(counts: Mapping[str, float]) -> set[str]:
    """Return the least frequent emotions of train."""
    return set(sorted(counts, key=lambda emotion: counts[emotion])[:N_RARE])


def samples(synthetic: pd.DataFrame, rare: set[str]) -> list[Sample]:
    """Choose one accepted dialogue per strategy, by rule and not by taste.

    The most rare emotions, then the most emotions, then the fewest turns, then the first id.
    """

    def rank(dialogue: Dialogue) -> tuple[int, int, int, str]:
        emotions = {turn.emotion for turn in dialogue.turns}
        return (-len(emotions & rare), -len(emotions), len(dialogue.turns), dialogue.id)

    return [
        Sample(str(strategy), min(dialogues_of(rows), key=rank))
        for strategy, rows in synthetic.groupby("strategy")
    ]


def refused_by_rule(
    refused: pd.DataFrame, counts: Mapping[str, int], limit: int = 300
) -> list[Refused]:
    """Return what each rule refused, with examples.

    Reasons quote the text they are about. Where that is text of the real corpus, which is not
    ours to pass on, all quotes of that dialogue are withheld.

    Args:
        refused: The refused dialogues, with a column `reasons`.
        counts: Refused dialogues by rule, as the validation report has them.
        limit: Characters kept of a reason.
    """
    examples: dict[str, list[tuple[str, str]]] = {}
    firsts = refused.drop_duplicates("dialogue_id")
    for dialogue_id, reasons in zip(firsts["dialogue_id"], firsts["reasons"], strict=True):
        found = list(_reasons(str(reasons)))
        withheld = bool(_QUOTES_REAL_TEXT & {rule for rule, _ in found})
        for rule in dict.fromkeys(rule for rule, _ in found):
            own = "; ".join(detail for name, detail in found if name == rule)
            shown = "repeats text of the real corpus; not quoted here" if withheld else own
            if len(examples.setdefault(rule, [])) < N_EXAMPLES:
                examples[rule].append((visible(dialogue_id, 80), visible(shown, limit)))
    return [Refused(rule, n, examples.get(rule, [])) for rule, n in counts.items() if n]


def _reasons(joined: str) -> Iterator[tuple[str, str]]:
    """Part reasons that validation joined, "<rule>: <detail>; <rule>: <detail>"."""
    _, *parts = _REASON.split(joined)
    yield from zip(parts[::2], parts[1::2], strict=True)

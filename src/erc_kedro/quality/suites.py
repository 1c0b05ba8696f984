"""Expectations of dialogue data, built from a corpus's label set.

Severity "critical" stops the run at the gate; "warning" is reported.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd
from great_expectations import expectations as gxe

from erc_kedro.core.labels import LabelSet

Severity = Literal["critical", "warning"]


@dataclass(frozen=True)
class Check:
    """A table and what is expected of it."""

    name: str
    table: pd.DataFrame
    expectations: Sequence[Any]


def structure_checks(
    utterances: pd.DataFrame,
    facts: pd.DataFrame,
    label_set: LabelSet,
    *,
    max_words: int,
    severity: Severity,
    prefix: str,
) -> list[Check]:
    """Return the checks that any dialogue table is held up to.

    Args:
        utterances: The dialogue table; the emotion is checked only where the column is.
        facts: As `facts.structure_facts` or `facts.plan_facts` return.
        label_set: The emotions allowed.
        max_words: The most words an utterance may have.
        severity: Of every expectation.
        prefix: What the table is, for the names of the checks.
    """
    table = utterances.assign(n_words=utterances["text"].map(_n_words))
    of_utterances: list[Any] = [
        gxe.ExpectTableRowCountToBeBetween(min_value=1, severity=severity),
        gxe.ExpectCompoundColumnsToBeUnique(column_list=["dialogue_id", "turn"], severity=severity),
        gxe.ExpectColumnValuesToBeBetween(
            column="n_words", min_value=1, max_value=max_words, severity=severity
        ),
    ]
    of_utterances += [
        gxe.ExpectColumnValuesToNotBeNull(column=column, severity=severity)
        for column in ("dialogue_id", "turn", "speaker", "text")
    ]
    if "emotion" in table.columns:
        of_utterances.append(
            gxe.ExpectColumnValuesToBeInSet(
                column="emotion", value_set=list(label_set.emotions), severity=severity
            )
        )
    of_dialogues = [
        _always(column, 0, severity)
        for column in facts.columns
        if column in {"first_turn", "turn_gaps", "repeated_utterances"}
        or column.endswith("_off_plan")
    ]
    return [
        Check(f"{prefix}_utterances", table, of_utterances),
        Check(f"{prefix}_dialogues", facts, of_dialogues),
    ]


def plan_checks(
    accepted: pd.DataFrame,
    counts: pd.DataFrame,
    shares: pd.DataFrame,
    *,
    min_accepted: float,
    max_share_deviation: float,
    max_kl: float,
) -> list[Check]:
    """Return the checks that the accepted dialogues fulfil each strategy's plan.

    Args:
        accepted: The accepted dialogues, with a column `strategy`.
        counts: As `facts.strategy_facts` returns first.
        shares: As `facts.strategy_facts` returns second.
        min_accepted: Least share of the planned dialogues that must be accepted.
        max_share_deviation: Most that an emotion's share may deviate from its target.
        max_kl: Largest Kullback-Leibler divergence of the emotions from the target, in nats.
    """
    checks = [
        Check(
            "plan",
            counts,
            [
                gxe.ExpectColumnValuesToBeBetween(
                    column="accepted_share", min_value=min_accepted, severity="critical"
                )
            ],
        )
    ]
    for strategy, rows in shares.groupby("strategy", sort=False):
        wanted = rows[rows["target"] > 0]
        checks += [
            Check(
                f"balance_{strategy}",
                accepted[accepted["strategy"] == strategy],
                [
                    gxe.ExpectColumnKLDivergenceToBeLessThan(
                        column="emotion",
                        partition_object={
                            "values": wanted["emotion"].tolist(),
                            "weights": wanted["target"].tolist(),
                        },
                        threshold=max_kl,
                        severity="critical",
                    )
                ],
            ),
            Check(
                f"shares_{strategy}",
                rows.reset_index(drop=True),
                [
                    gxe.ExpectColumnValuesToBeBetween(
                        column="deviation", max_value=max_share_deviation, severity="critical"
                    )
                ],
            ),
        ]
    return checks


def _n_words(text: object) -> int:
    return len(text.split()) if isinstance(text, str) else 0


def _always(column: str, value: int, severity: Severity) -> Any:
    return gxe.ExpectColumnValuesToBeBetween(
        column=column, min_value=value, max_value=value, severity=severity
    )

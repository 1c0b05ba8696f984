"""Nodes of validation."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pandas as pd

from erc_kedro.core.corpus import label_set_of
from erc_kedro.core.dialogue import dialogues_of
from erc_kedro.core.errors import UserError
from erc_kedro.core.facts import plan_facts, strategy_facts, structure_facts
from erc_kedro.core.labels import OTHER
from erc_kedro.core.rules import RULE_NAMES, Refusal, judge_of, refusals
from erc_kedro.core.specs import DialogueSpec
from erc_kedro.pipelines.validation.parameters import ValidationParameters

logger = logging.getLogger(__name__)

REFUSED_ROWS = "data/03_primary/{corpus}/refused_dialogues.parquet"
"""Where the catalog keeps the refused dialogues, for the gate's message."""


def check_corpus(
    train_dialogues: pd.DataFrame,
    held_out_texts: pd.DataFrame,
    corpus_card: dict[str, Any],
    corpus_facts: dict[str, Any],
    validation: ValidationParameters,
) -> dict[str, Any]:
    """Hold the structure suite up to the real splits; what it finds are warnings.

    In them an emotion may be `labels.OTHER`, in synthetic dialogues it may not.

    Returns:
        The report of `quality.report.run_checks`, with sizes, label counts and what the reader
        found, per split.
    """
    from erc_kedro.quality.report import run_checks
    from erc_kedro.quality.suites import structure_checks

    emotions = train_dialogues["emotion"]
    train = train_dialogues.assign(emotion=emotions.where(emotions != OTHER))  # null passes
    tables = {"train": train} | {
        str(split): rows.drop(columns="split").reset_index(drop=True)
        for split, rows in held_out_texts.groupby("split", sort=False)
    }
    checks = [
        check
        for split, table in tables.items()
        for check in structure_checks(
            table,
            structure_facts(table),
            label_set_of(corpus_card),
            max_words=validation.max_words,
            severity="warning",
            prefix=split,
        )
    ]
    report = run_checks(checks)
    n_findings = sum(len(facts["findings"]) for facts in corpus_facts.values())
    logger.info(
        "real splits checked anew: %d of %d expectations hold; %d findings of the reader, see "
        "corpus_report.json",
        report["successful"],
        report["evaluated"],
        n_findings,
    )
    return report | {"splits": corpus_facts}


def validate(
    raw_synthetic_dialogues: pd.DataFrame,
    specs: list[dict[str, Any]],
    train_dialogues: pd.DataFrame,
    forbidden_texts: pd.DataFrame,
    corpus_card: dict[str, Any],
    validation: ValidationParameters,
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any], dict[str, str]]:
    """Accept or refuse each synthetic dialogue, and judge the accepted ones together.

    Returns:
        The accepted dialogues; the refused ones with a column `reasons`; the report: what
        `quality.report.run_checks` returns, numbers of planned, accepted and refused dialogues,
        refusals by rule, and label shares by strategy; and Great Expectations' own pages, text
        by relative path. They show examples of synthetic dialogues, never of real ones.
    """
    from erc_kedro.quality.data_docs import data_docs
    from erc_kedro.quality.report import hold_up, report_of
    from erc_kedro.quality.suites import plan_checks, structure_checks

    planned = [DialogueSpec.from_dict(spec) for spec in specs]
    plan = {spec.id: spec for spec in planned}
    candidates = raw_synthetic_dialogues.drop_duplicates("dialogue_id")
    by_id = {
        str(candidate): replace(plan[plan_id], id=candidate)
        for candidate, plan_id in zip(candidates["dialogue_id"], candidates["plan_id"], strict=True)
    }
    label_set = label_set_of(corpus_card)
    parsed = raw_synthetic_dialogues["parse_error"] == ""
    unparsed = raw_synthetic_dialogues[~parsed]
    verdicts = {
        str(spec_id): [Refusal(str(spec_id), "unparseable", str(problem))]
        for spec_id, problem in zip(unparsed["dialogue_id"], unparsed["parse_error"], strict=True)
    }
    verdicts |= refusals(
        dialogues_of(raw_synthetic_dialogues[parsed]),
        by_id,
        judge_of(label_set, forbidden_texts, train_dialogues["text"], validation.max_words),
    )
    accepted, refused = _part(raw_synthetic_dialogues, verdicts)
    counts, shares = strategy_facts(accepted, planned, label_set)
    checks = structure_checks(
        accepted,
        plan_facts(accepted, by_id),
        label_set,
        max_words=validation.max_words,
        severity="critical",
        prefix="synthetic",
    ) + plan_checks(
        accepted,
        counts,
        shares,
        min_accepted=validation.min_accepted,
        max_share_deviation=validation.max_share_deviation,
        max_kl=validation.max_kl,
    )
    by_rule = dict.fromkeys(RULE_NAMES, 0)
    for reasons in verdicts.values():
        for rule in {reason.rule for reason in reasons}:
            by_rule[rule] += 1
    results = hold_up(checks)
    report = report_of(results) | {
        "planned": len(planned),
        "accepted": int(counts["accepted"].sum()),
        "refused": int(refused["dialogue_id"].nunique()),
        "refused_by_rule": by_rule,
        "shares": shares.to_dict("records"),
    }
    logger.info(
        "judged anew: %d of %d synthetic dialogues accepted, %d candidates refused%s; %d of %d "
        "expectations hold",
        report["accepted"],
        report["planned"],
        report["refused"],
        "".join(f", {n} {rule}" for rule, n in by_rule.items() if n),
        report["successful"],
        report["evaluated"],
    )
    return accepted, refused, report, data_docs(results)


def _part(
    raw: pd.DataFrame, verdicts: Mapping[str, list[Refusal]]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Part raw dialogues into accepted and refused."""
    reasons = raw["dialogue_id"].map(
        lambda i: "; ".join(f"{reason.rule}: {reason.detail}" for reason in verdicts[i])
    )
    is_refused = reasons != ""
    accepted = raw[~is_refused].drop(columns="parse_error").reset_index(drop=True)
    refused = raw[is_refused].assign(reasons=reasons[is_refused]).reset_index(drop=True)
    return accepted, refused


def gate(validation_report: dict[str, Any], corpus_card: dict[str, Any]) -> dict[str, Any]:
    """Let the accepted dialogues through, or stop the run before any arm trains.

    Returns:
        {"open": True, "digest": digest of the corpus}: what every arm waits for.

    Raises:
        UserError: If a critical expectation failed; each is named with what was observed.
    """
    failed = [
        f"{entry['expectation']} ({entry['check']}, {entry['column'] or 'table'}): "
        f"observed {entry['observed']}, wanted {entry['wanted']}"
        for entry in validation_report["expectations"]
        if not entry["success"] and entry["severity"] == "critical"
    ]
    if failed:
        rules = ", ".join(
            f"{rule} {n}" for rule, n in validation_report["refused_by_rule"].items() if n
        )
        raise UserError(
            "The synthetic dialogues fail validation; nothing is trained on them.\n  "
            + "\n  ".join(failed),
            found=f"{validation_report['accepted']} of {validation_report['planned']} accepted"
            + (f"; refused by rule: {rules}" if rules else ""),
            where="refused rows: " + REFUSED_ROWS.format(corpus=corpus_card["corpus"]),
            remedy="mend the dialogues, ask for other ones, or change the validation parameters",
        )
    return {"open": True, "digest": corpus_card["digest"]}

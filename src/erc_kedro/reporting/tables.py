"""The report's tables: rows of text, ready to be shown."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from erc_kedro.core.metrics import HEADLINE
from erc_kedro.core.wording import interval, over_seeds, p_text, plain, points, with_spread
from erc_kedro.reporting.text import visible

DASH = "–"


@dataclass(frozen=True)
class Table:
    """A table; the first cell of every row names it.

    Attributes:
        caption: What it shows, in which unit.
        head: Names of the columns.
        rows: Cells in the columns' order; a line break parts a number from its interval or share.
        groups: Names over several columns with their widths, the first column left out.
        wordy: Whether cells hold words, set left, and not numbers, set right.
    """

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    groups: Sequence[tuple[str, int]] = ()
    wordy: bool = False


def result(
    result_table: pd.DataFrame, comparison: Mapping[str, Any], steps: Mapping[str, int]
) -> Table:
    """Return the result table: size, steps, and both headline metrics of every arm."""
    smallest = {
        (entry["arm"], entry["metric"]): f"{100 * entry['smallest_detectable']:.1f}"
        for entry in comparison["comparisons"]
    }
    n_seeds = len(comparison["seeds"])
    rows = []
    for row in result_table.to_dict("records"):
        arm = str(row["arm"])
        cells = [
            plain(arm),
            f"{row['utterances']:,.0f}\n{row['synthetic_utterances']:,.0f} synthetic",
            f"{steps[arm]:,}" if arm in steps else DASH,
        ]
        for metric in HEADLINE:
            score = with_spread(row[metric], row[f"{metric}_std"], n_seeds)
            cells.append(score.replace(" ±", "\n±"))
            if pd.isna(row[f"{metric}_difference"]):
                cells += [DASH] * 3
                continue
            bounds = (row[f"{metric}_ci_low"] / 100, row[f"{metric}_ci_high"] / 100)
            cells.append(f"{points(row[f'{metric}_difference'] / 100)}\n{interval(bounds)}")
            cells += [p_text(row[f"{metric}_p_adjusted"]), smallest.get((arm, metric), DASH)]
        rows.append(cells)
    own = ["F1", "difference [95 %]", "adjusted p", "smallest detectable"]
    return Table(
        f"F1 on real test in points, {over_seeds(n_seeds)}; differences to "
        f"{plain(next(iter(comparison['arms'])))}",
        ["arm", "utterances", "steps", *own, *own],
        rows,
        groups=[("training", 2), *((plain(metric), len(own)) for metric in HEADLINE)],
    )


def splits(corpus_facts: Mapping[str, Any], emotions: Sequence[str]) -> Table:
    """Return the real splits: sizes, and every emotion's utterances and share."""
    rows = []
    for split, facts in corpus_facts.items():
        total = max(facts["utterances"], 1)
        counts = [facts["emotions"].get(emotion, 0) for emotion in emotions]
        shares = [f"{n:,}\n{100 * n / total:.1f} %" for n in counts]
        rows.append([split, f"{facts['dialogues']:,}", f"{facts['utterances']:,}", *shares])
    return Table(
        "Real dialogues by split: utterances of every emotion, with their share",
        ["split", "dialogues", "utterances", *emotions],
        rows,
    )


def mixtures(by_arm: Mapping[str, Mapping[str, Any]], emotions: Sequence[str]) -> Table:
    """Return what every arm was trained on."""
    rows = []
    for arm, mixture in by_arm.items():
        total = max(mixture["utterances"], 1)
        kinds = ("real", "repeated", "synthetic")
        sizes = [f"{mixture[f'{kind}_utterances']:,.0f}" for kind in kinds]
        shares = [f"{100 * mixture['emotions'].get(e, 0) / total:.1f} %" for e in emotions]
        rows.append([plain(arm), *sizes, *shares])
    return Table(
        "Training sets by arm: utterances, mean over seeds, and the share of every emotion",
        ["arm", "real", "repeated", "synthetic", *emotions],
        rows,
    )


def spending(report: Mapping[str, Any]) -> Table:
    """Return what generation asked for and what it cost; what is unknown is said to be.

    Args:
        report: As `core.account.Account.report` returns it.
    """
    names = ("requests", "prompt_tokens", "completion_tokens", "cost")
    rows = []
    for name in names:
        form = ",.2f" if name == "cost" else ",d"
        values = [report[whose][name] for whose in ("this_run", "all")]
        cells = ["unknown" if value is None else format(value, form) for value in values]
        rows.append([plain(name), *cells])
    head = ["", "asked in this run", "all candidates, stored ones included"]
    return Table("What the candidates took; cost by the prices in the parameters", head, rows)


def emotions(arms: Mapping[str, Mapping[str, Any]], support: Mapping[str, int]) -> Table:
    """Return F1 of every emotion and arm, from frequent to rare."""
    n_seeds = max(len(values["per_seed"]) for m in arms.values() for values in m.values())
    rows = []
    for emotion in sorted(support, key=lambda e: -support[e]):
        own = [metrics[f"f1_{emotion}"] for metrics in arms.values()]
        cells = [with_spread(100 * v["mean"], 100 * v["std"], n_seeds) for v in own]
        rows.append([emotion, f"{support[emotion]:,}", *cells])
    return Table(
        f"F1 by emotion in points, {over_seeds(n_seeds)}; described, not tested",
        ["emotion", "test utterances", *map(plain, arms)],
        rows,
    )


def expectations(entries: Sequence[Mapping[str, Any]], caption: str) -> Table:
    """Return expectations, what they wanted and what was observed, the failed ones first."""
    rows = [
        [
            "held" if entry["success"] else "NOT HELD",
            plain(entry["check"]),
            f"{plain(entry['expectation']).removeprefix('expect ')}",
            plain(entry["column"] or "(table)"),
            entry["severity"],
            visible(json.dumps(entry["wanted"], ensure_ascii=False), 160),
            DASH if entry["observed"] is None else visible(entry["observed"], 160),
        ]
        for entry in sorted(entries, key=lambda entry: bool(entry["success"]))
    ]
    head = ["outcome", "check", "expectation", "column", "severity", "wanted", "observed"]
    return Table(caption, head, rows, wordy=True)


def parameters(values: Mapping[str, Any]) -> Table:
    """Return the run's parameters."""
    rows = [[str(name), visible(value)] for name, value in sorted(values.items())]
    return Table("Parameters of the run", ["parameter", "value"], rows, wordy=True)

"""What a study found, in sentences made from its numbers and from nothing else."""

from collections.abc import Mapping
from math import inf
from typing import Any

import pandas as pd

from erc_kedro.core.metrics import HEADLINE
from erc_kedro.core.wording import SIGNIFICANT, interval, p_text, percent, plain, points


def findings(confirmatory: Mapping[str, Any]) -> list[str]:
    """Say what was tested, and what came of it; the most important first.

    A gain or a loss is spoken of only where Holm's adjusted p-value is below `SIGNIFICANT`;
    nothing is concluded from a sample corpus.

    Args:
        confirmatory: As `core.study_results.confirmatory_of` returns it, with the corpus.
    """
    if confirmatory["corpus_source"] == "sample":
        return [
            f"Nothing follows from this study for {confirmatory['corpus']}: the sample corpus and "
            "the synthetic dialogues were both written by a language model. The numbers show that "
            "the pipeline works."
        ]
    entries = confirmatory["comparisons"]
    shown = [entry for entry in entries if is_shown(entry)]
    gains = sum(entry["difference"] > 0 for entry in shown)
    treatment = plain(confirmatory["declared"]["treatment"])
    tests = f"{len(entries)} comparisons that were declared beforehand"
    if shown:
        lead = f"Of {tests}, {gains} show a gain of {treatment} and {len(shown) - gains} a loss."
    else:
        lead = f"None of {tests} shows a difference of {treatment}."
    return [lead, *(_tested(entry) for entry in entries)]


def is_shown(entry: Mapping[str, Any]) -> bool:
    """Return whether a comparison shows a difference."""
    return bool(entry["p_adjusted"] < SIGNIFICANT and entry["difference"] != 0)


def _tested(entry: Mapping[str, Any]) -> str:
    kind = "no difference is shown"
    if is_shown(entry):
        kind = "a gain" if entry["difference"] > 0 else "a loss"
    said = (
        f"{percent(entry['real_fraction'])} of real train, {plain(entry['metric'])}, against "
        f"{plain(entry['against'])}: {kind}: {points(entry['difference'])} points "
        f"{interval(entry['ci95'])}, adjusted p {p_text(entry['p_adjusted'])}"
    )
    if is_shown(entry):
        return f"{said}."
    least = 100 * entry["smallest_detectable"]
    return f"{said}; a true difference below about {least:.1f} points would rarely show here."


def explored(
    table: pd.DataFrame, part: str, copy_rates: Mapping[str, Any], corpus_source: str
) -> list[str]:
    """Say what an exploratory part shows: differences with intervals, and no test.

    Args:
        table: As `core.study_results.tabulate` returns it.
        part: A part of that table.
        copy_rates: By strategy what `core.release.copying` returns.
        corpus_source: Nothing is said of a sample.
    """
    rows = table[table["part"] == part]
    if rows.empty or corpus_source == "sample":
        return []
    say = {
        "emotions": _emotions,
        "curves": _curves,
        "imbalance": _imbalance,
        "ablation": _ablation,
    }
    return say[part](rows) if part in say else _transfer(rows, copy_rates)


def _amount(row: Mapping[str, Any]) -> str:
    bounds = (row["ci_low"] / 100, row["ci_high"] / 100)
    return f"{points(row['difference'] / 100)} points {interval(bounds)}"


def _outside_zero(row: Mapping[str, Any]) -> bool:
    return bool(row["ci_low"] > 0 or row["ci_high"] < 0)


def _compared(rows: pd.DataFrame, metric: str) -> list[dict[str, Any]]:
    chosen = rows[(rows["metric"] == metric) & (rows["against"] != "")]
    return [{str(k): v for k, v in row.items()} for row in chosen.to_dict("records")]


def _emotions(rows: pd.DataFrame) -> list[str]:
    said = []
    for fraction, own in rows.groupby("real_fraction", sort=True):
        changes = [{str(k): v for k, v in row.items()} for row in own.to_dict("records")]
        changes.sort(key=lambda row: -float(row["difference"]))
        told = _told(changes, "emotion")
        what = f"{plain(changes[0]['treatment'])} against {plain(changes[0]['against'])}"
        lead = f"With {percent(float(str(fraction)))} of real train, F1 by emotion, {what}: "
        said.append(f"{lead}{told}.")
    return said


def _told(rows: list[dict[str, Any]], name: str) -> str:
    """Return which differences have an interval without 0, and what of the others."""
    told = [f"{plain(str(row[name]))} {_amount(row)}" for row in rows if _outside_zero(row)]
    if len(told) < len(rows):
        told.append("the other intervals hold 0" if told else "every interval holds 0")
    return "; ".join(told)


def by_amount(treatment: str) -> float:
    """Return the share of the synthetic dialogues in a curve's name; infinity for other names."""
    try:
        return float(treatment)
    except ValueError:
        return inf


def _curves(rows: pd.DataFrame) -> list[str]:
    said = []
    rows = rows[rows["treatment"].map(by_amount) < inf]
    for metric in HEADLINE:
        parts = []
        for fraction, own in rows.groupby("real_fraction", sort=True):
            most = max(_compared(own, metric), key=lambda row: float(row["treatment"]))
            parts.append(f"{_amount(most)} at {percent(float(str(fraction)))}")
        said.append(
            f"What the largest amount of synthetic dialogues changes in {plain(metric)}, by the "
            f"part of real train: {'; '.join(parts)}."
        )
    return said


def _imbalance(rows: pd.DataFrame) -> list[str]:
    said = []
    for emotion, own in rows.groupby("emotion", sort=False):
        compared = _compared(own, f"f1_{emotion}")
        if not compared:
            continue
        least = min(float(row["treatment"].split()[0]) for row in compared)
        at_least = [row for row in compared if float(row["treatment"].split()[0]) == least]
        parts = [
            f"{row['treatment'].split(maxsplit=1)[1]} {_amount(row)}, {row['learnt']:.0f} learnt"
            for row in at_least
        ]
        said.append(
            f"{emotion}, with {percent(least)} of its real utterances: its F1 changes by "
            f"{'; '.join(parts)}."
        )
    return said


def _ablation(rows: pd.DataFrame) -> list[str]:
    said = []
    for fraction, own in rows.groupby("real_fraction", sort=True):
        told = _told(_compared(own, "macro_f1"), "treatment")
        said.append(f"With {percent(float(str(fraction)))} of real train, macro F1: {told}.")
    return said


def _transfer(rows: pd.DataFrame, copy_rates: Mapping[str, Any]) -> list[str]:
    scores = {(row["treatment"], row["metric"]): row["mean"] for row in rows.to_dict("records")}
    names = [str(row["treatment"]) for row in _compared(rows, "macro_f1")]
    said = []
    for name in names:
        real = next(row["against"] for row in _compared(rows, "macro_f1"))
        parts = [
            f"{plain(metric)} {scores[name, metric]:.1f} (real train {scores[real, metric]:.1f})"
            for metric in HEADLINE
        ]
        copied = copy_rates.get(name, {})
        rate = (
            f"; {100 * copied['copied_utterances']:.1f} % of its utterances of four or more words "
            "stand in real train"
            if copied
            else ""
        )
        said.append(f"Trained on {name} synthetic dialogues alone: {', '.join(parts)}{rate}.")
    return said

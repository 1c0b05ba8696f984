"""One page that shows a study to others: self-contained, without scripts."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from erc_kedro.core.study_verdict import explored, findings
from erc_kedro.core.wording import (
    interval,
    p_text,
    part_of_train,
    percent,
    plain,
    points,
    with_spread,
)
from erc_kedro.reporting.images import inline_svg
from erc_kedro.reporting.report import open_template
from erc_kedro.reporting.study_figures import FIGURES
from erc_kedro.reporting.tables import DASH, Table

_TITLES = {
    "emotions": "Emotion by emotion",
    "curves": "Learning curves",
    "imbalance": "Label imbalance",
    "ablation": "One thing changed at a time",
    "transfer": "Train on synthetic, test on real",
}


def render_study_report(
    table: pd.DataFrame,
    confirmatory: Mapping[str, Any],
    copy_rates: Mapping[str, Any],
    figures: Mapping[str, bytes],
    provenance: Mapping[str, Any],
) -> str:
    """Return the page as one HTML file's text: no script, nothing loaded from elsewhere.

    Args:
        table: As `core.study_results.tabulate` returns it.
        confirmatory: As `core.study_results.confirmatory_of` returns it, with the corpus.
        copy_rates: By strategy what `core.release.copying` returns.
        figures: Files by name; those that end in .svg are shown.
        provenance: How to repeat the run: kedro_command, git_commit, git_dirty, erc_kedro_version.
    """
    source = confirmatory["corpus_source"]
    declared = confirmatory["declared"]
    parts = [
        {
            "name": part,
            "title": title,
            "sentences": explored(table, part, copy_rates, source),
            "table": _explored(table[table["part"] == part], title),
            "copying": _copying(copy_rates) if part == "transfer" else None,
        }
        for part, title in _TITLES.items()
        if (table["part"] == part).any()
    ]
    repeat = {
        "command": provenance.get("kedro_command"),
        "commit": provenance.get("git_commit"),
        "uncommitted changes": provenance.get("git_dirty"),
        "erc_kedro": provenance.get("erc_kedro_version"),
        "digest of the corpus": confirmatory["digest"],
        "digest of real train": confirmatory["train"],
        "digest of the synthetic dialogues": confirmatory["synthetic"],
        "seeds": ", ".join(map(str, declared["seeds"])),
        "bootstrap draws": f"{declared['bootstrap_draws']:,}",
    }
    return open_template("study.html.jinja").render(
        corpus=confirmatory["corpus"],
        is_sample=source == "sample",
        part_of_train=part_of_train(confirmatory),
        sentences=findings(confirmatory),
        family=confirmatory["family"],
        tested=_tested(confirmatory["comparisons"]),
        scored=_scored(table[table["part"] == "confirmatory"]),
        choice=_choice(confirmatory["choice"]),
        treatment=plain(declared["treatment"]),
        baseline=plain(declared["baseline"]),
        candidates=", ".join(plain(name) for name in declared["candidates"]),
        parts=parts,
        about=FIGURES,
        figures={
            name: Markup(inline_svg(figures[f"{name}.svg"].decode(), name, about))
            for name, about in FIGURES.items()
            if f"{name}.svg" in figures
        },
        repeat={name: "not recorded" if v is None else str(v) for name, v in repeat.items()},
    )


def _tested(entries: list[Mapping[str, Any]]) -> Table:
    rows = [
        [
            percent(entry["real_fraction"]),
            plain(entry["metric"]),
            plain(entry["against"]),
            f"{points(entry['difference'])} {interval(entry['ci95'])}",
            p_text(entry["p_value"]),
            p_text(entry["p_adjusted"]),
            f"{100 * entry['smallest_detectable']:.1f}",
        ]
        for entry in entries
    ]
    return Table(
        "Differences in points of F1 on test with 95 % intervals; p by a crossed paired bootstrap, "
        "adjusted (Holm) over all rows; smallest true difference that a single test at 5 % finds "
        "with 80 % power",
        ["real train", "metric", "against", "difference", "p", "adjusted p", "smallest"],
        rows,
    )


def _scored(rows: pd.DataFrame) -> Table:
    cells: dict[tuple[float, str], list[str]] = {}
    for row in rows.drop_duplicates(["real_fraction", "treatment", "metric"]).to_dict("records"):
        key = (row["real_fraction"], row["treatment"])
        start = [f"{row['real']:,.0f}", f"{row['added']:,.0f}"]
        score = with_spread(row["mean"], row["std"], row["seeds"])
        cells.setdefault(key, start).append(score)
    return Table(
        "F1 on test in points, mean ± standard deviation over seeds",
        ["treatment", "real train", "real utterances", "added", "weighted F1", "macro F1"],
        [[plain(name), percent(fraction), *own] for (fraction, name), own in cells.items()],
    )


def _choice(choice: list[Mapping[str, Any]]) -> Table:
    rows = []
    for own in choice:
        for name, scores in own["scores"].items():
            marks = [
                f"{100 * value:.1f}{' (chosen)' if own['chosen'][metric] == name else ''}"
                for metric, value in scores.items()
            ]
            rows.append([plain(name), percent(own["real_fraction"]), own["by"], *marks])
    return Table(
        "Baselines without a language model, scored on real train alone: F1 in points",
        ["baseline", "real train", "scored by", "weighted F1", "macro F1"],
        rows,
    )


def _explored(rows: pd.DataFrame, caption: str) -> Table:
    with_emotion = bool((rows["emotion"] != "").any())
    cells = []
    for row in rows.to_dict("records"):
        change = DASH
        if not np.isnan(row["difference"]):
            bounds = (row["ci_low"] / 100, row["ci_high"] / 100)
            change = f"{points(row['difference'] / 100)} {interval(bounds)}"
        cells.append(
            [
                plain(row["treatment"]),
                *([row["emotion"]] if with_emotion else []),
                percent(row["real_fraction"]),
                f"{row['learnt']:,.0f}",
                _metric(row["metric"]),
                with_spread(row["mean"], row["std"], row["seeds"]),
                plain(row["against"]) or DASH,
                change,
            ]
        )
    head = ["treatment", *(["emotion"] if with_emotion else []), "real train", "learnt", "metric"]
    return Table(
        f"{caption}: F1 on test in points, and the difference with its 95 % interval; exploratory, "
        "not tested",
        [*head, "score", "against", "difference"],
        cells,
    )


def _copying(copy_rates: Mapping[str, Mapping[str, float]]) -> Table:
    rows = [
        [
            plain(name),
            f"{100 * own['copied_utterances']:.1f} %",
            f"{100 * own['fivegrams']:.1f} %",
            f"{own['dialogues']:,.0f}",
        ]
        for name, own in copy_rates.items()
    ]
    return Table(
        "How much of the synthetic dialogues stands in real train: share of the utterances of four "
        "or more words, share of the distinct five-grams, and dialogues that overlap",
        ["synthetic dialogues", "utterances", "five-grams", "dialogues"],
        rows,
    )


def _metric(name: str) -> str:
    emotion = name.removeprefix("f1_")
    return plain(name) if emotion == name else f"F1 of {emotion}"

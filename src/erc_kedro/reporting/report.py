"""One page that shows an experiment to others: self-contained, without scripts."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from erc_kedro.core.verdict import headline, verdict
from erc_kedro.core.wording import part_of_train, plain
from erc_kedro.reporting import summaries, tables
from erc_kedro.reporting.images import inline_svg
from erc_kedro.reporting.style_words import style_sentences, telling_words
from erc_kedro.reporting.text import visible

_NOT_RECORDED = "not recorded"

FIGURES = {
    "differences": "Difference of every arm to the baseline in points of F1, with 95 % intervals.",
    "emotions": "F1 of every emotion and arm on real test.",
    "confusions": "Confusion matrices of every arm, in percent of each true emotion.",
    "shares": "Share of every emotion in real train and in the synthetic dialogues.",
    "transitions": "How often each emotion follows each, in real train and synthetic dialogues.",
    "training": "Training loss by optimiser step of every arm.",
}
"""What each figure shows, for those who do not see it. The tables hold the same numbers."""


def render_report(
    *,
    corpus_card: Mapping[str, Any],
    corpus_facts: Mapping[str, Any],
    comparison: Mapping[str, Any],
    result_table: pd.DataFrame,
    generation_report: Mapping[str, Any],
    validation_report: Mapping[str, Any],
    train_dialogues: pd.DataFrame,
    synthetic_dialogues: pd.DataFrame,
    refused_dialogues: pd.DataFrame,
    provenance: Mapping[str, Any],
    style_shift: Mapping[str, Any],
    mixtures: Mapping[str, Mapping[str, Any]],
    histories: Mapping[str, pd.DataFrame],
    figures: Mapping[str, str],
) -> str:
    """Return the report as one HTML file's text: no script, nothing loaded from elsewhere.

    It shows no text of the real corpus, only counts. Texts of others are shown as they are, but
    escaped, cut, and with hidden characters made visible.

    Args:
        corpus_card: Of the corpus.
        corpus_facts: Sizes, label counts and findings of every split.
        comparison: As evaluation's `compare` returns it.
        result_table: As evaluation's `tabulate` returns it.
        generation_report: As `core.account.Account.report` returns it.
        validation_report: As validation's `validate` returns it.
        train_dialogues: Real train; its label counts alone are used.
        synthetic_dialogues: The accepted ones.
        refused_dialogues: The refused ones, with a column `reasons`.
        provenance: How to repeat the run: kedro_command, git_commit, git_dirty,
            erc_kedro_version, mlflow_run_id, parameters, and parts (commands that made some of
            it anew); what is missing is said to be.
        style_shift: As `modelling.style_shift.measure_style_shift` returns it.
        mixtures: By arm what it was trained on.
        histories: By arm a table with step, loss and seed.
        figures: SVG text by the names of `FIGURES`.
    """
    labels = list(corpus_card["emotions"])
    arms, entries = comparison["arms"], validation_report["expectations"]
    failed = [entry for entry in entries if not entry["success"]]
    support = corpus_facts["test"]["emotions"]
    train_counts = train_dialogues["emotion"].value_counts()
    rare = summaries.rare_emotions({label: int(train_counts.get(label, 0)) for label in labels})
    steps = {arm: int(history["step"].max()) for arm, history in histories.items() if len(history)}
    return open_template("report.html.jinja").render(
        corpus=corpus_card["corpus"],
        is_sample=corpus_card["corpus_source"] == "sample",
        part_of_train=part_of_train(corpus_card),
        digest=corpus_card["digest"],
        headline=headline(comparison),
        sentences=verdict(comparison),
        n_seeds=len(comparison["seeds"]),
        seeds=", ".join(map(str, comparison["seeds"])),
        real_fraction=f"{100 * comparison['real_fraction']:.3g} %",
        arms=[plain(arm) for arm in arms],
        result=tables.result(result_table, comparison, steps),
        splits=tables.splits(corpus_facts, labels),
        mixtures=tables.mixtures(mixtures, labels),
        findings={split: facts["findings"] for split, facts in corpus_facts.items()},
        emotions=tables.emotions(arms, support),
        style=style_sentences(style_shift),
        style_words=telling_words(style_shift),
        generation=generation_report,
        spending=tables.spending(generation_report),
        validation=validation_report,
        failed=tables.expectations(failed, "Expectations that did not hold") if failed else None,
        expectations=tables.expectations(entries, "All expectations, those that failed first"),
        refused=summaries.refused_by_rule(refused_dialogues, validation_report["refused_by_rule"]),
        samples=summaries.samples(synthetic_dialogues, rare),
        rare=rare,
        provenance=_provenance(provenance),
        parts=list(provenance.get("parts") or []),
        is_dirty=str(provenance.get("git_dirty")).lower() == "true",
        parameters=tables.parameters(provenance.get("parameters") or {}),
        figures={n: Markup(inline_svg(figures[n], n, about)) for n, about in FIGURES.items()},
    )


def _provenance(found: Mapping[str, Any]) -> dict[str, str]:
    keys = {
        "kedro_command": "command",
        "git_commit": "commit",
        "git_dirty": "uncommitted changes",
        "erc_kedro_version": "erc_kedro",
        "mlflow_run_id": "MLflow run",
    }
    values = {name: found.get(key) for key, name in keys.items()}
    return {n: _NOT_RECORDED if v in (None, "") else str(v).strip() for n, v in values.items()}


@cache
def open_template(name: str) -> Any:
    """Return a template of a page; every value that it shows is escaped and made visible."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_harmless,  # every value that the page shows goes through it
    )
    environment.filters["visible"] = visible
    return environment.get_template(name)


def _harmless(value: Any) -> Any:
    return value if hasattr(value, "__html__") else visible(value, 2000)

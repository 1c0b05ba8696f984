"""One page that shows a search to others: self-contained, without scripts."""

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from erc_kedro.core.wording import interval, part_of_train, plain, points, with_spread
from erc_kedro.reporting.report import open_template
from erc_kedro.reporting.tables import DASH, Table

_ABOUT = {
    "pareto": "Both scores of every trial; no trial beats one on the front in both.",
    "history": "Score of every trial in the order in which they began, and the best so far.",
    "slices": "Score of every trial over each dimension.",
    "importance": "How much of the scores' spread each dimension accounts for (fANOVA); with few "
    "trials hardly more than a hint.",
    "contour": "Score over two dimensions at once, drawn between the trials.",
}


def render_tuning_report(
    summary: Mapping[str, Any],
    tuned_recipe: str,
    trials: pd.DataFrame,
    figures: Mapping[str, bytes],
) -> str:
    """Return the page as one HTML file's text: no script, nothing loaded from elsewhere.

    Args:
        summary: As tuning's `propose_recipe` returns it.
        tuned_recipe: The proposal as an overlay.
        trials: One row per finished trial.
        figures: Files by name; those that end in .png are shown.
    """
    names = sorted((n.removesuffix(".png") for n in figures if n.endswith(".png")), key=_place)
    about = {name: _about(name) for name in names}
    counts = summary["trials"]
    return open_template("tuning.html.jinja").render(
        corpus=summary["corpus"],
        is_sample=summary["corpus_source"] == "sample",
        part_of_train=part_of_train(summary),
        digest=summary["digest"],
        sentences=summary["proposal"]["sentences"],
        tuned_recipe=tuned_recipe.splitlines(),
        check=_check(summary["check"]),
        n_check_seeds=len(summary["check"]["seeds"]),
        study=summary["study"],
        n_complete=counts.get("COMPLETE", 0),
        n_failed=counts.get("FAIL", 0),
        folds=summary["folds"],
        n_seeds=len(summary["seeds"]),
        most=", ".join(f"{strategy} {ratio:.3g}" for strategy, ratio in summary["most"].items()),
        about=about,
        figures={name: base64.b64encode(figures[f"{name}.png"]).decode("ascii") for name in names},
        trials=_trials(trials, summary["objectives"]),
    )


def _place(name: str) -> tuple[int, str]:
    kinds = list(_ABOUT)
    kind = name.partition("_")[0]
    return (kinds.index(kind) if kind in kinds else len(kinds), name)


def _about(name: str) -> str:
    kind, _, metric = name.partition("_")
    text = _ABOUT.get(kind, f"{plain(kind).capitalize()}.")
    return f"{text} Here: {plain(metric)}." if metric else text


def _check(check: Mapping[str, Any]) -> Table | None:
    if not check["comparisons"]:
        return None
    rows = []
    for own in check["comparisons"]:
        scores = [check["scores"][arm][own["metric"]] for arm in ("best", "ratio_zero")]
        cells = [
            with_spread(100 * np.mean(each), 100 * np.std(each, ddof=1), len(each))
            for each in scores
        ]
        change = [points(own["difference"]), interval(own["ci95"])]
        rows.append([plain(own["metric"]), *cells, *change])
    return Table(
        "F1 on dev in points, mean ± standard deviation over seeds; 95 % interval of a crossed "
        "paired bootstrap over dialogues and seeds",
        ["metric", "best recipe", "ratio 0", "difference", "interval"],
        rows,
    )


def _trials(trials: pd.DataFrame, objectives: list[str]) -> Table:
    hidden = {"tracked_as"} | ({"reason"} if trials["reason"].isna().all() else set())
    names = [str(name) for name in trials.columns if name not in hidden]
    rows = [
        [_cell(name, row[name], objectives) for name in names] for row in trials.to_dict("records")
    ]
    heads = [plain(name.removeprefix("training.")) for name in names]
    return Table("Finished trials; scores in points of F1 by cross-validation", heads, rows)


def _cell(name: str, value: Any, objectives: list[str]) -> str:
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return DASH
    if name in objectives:
        return f"{100 * value:.2f}"
    if name == "seconds":
        return f"{value:.1f}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)

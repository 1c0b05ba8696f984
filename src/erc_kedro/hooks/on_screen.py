"""What a run says on screen: its data first and last, a line per stage, and the result table."""

import logging
import os
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import pandas as pd
from kedro.framework.hooks import hook_impl
from kedro.io import CatalogProtocol
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

from erc_kedro.core.metrics import HEADLINE
from erc_kedro.core.progress import show_on
from erc_kedro.core.wording import interval, over_seeds, p_text, plain, points, with_spread
from erc_kedro.hooks.namespaces import arm_of, corpus_of, stage_of
from erc_kedro.hooks.provenance import tuned_command
from erc_kedro.screen import choose_display, in_stage, take_over

logger = logging.getLogger(__name__)

_TABLE_WIDTH = 118
_WORTH_A_WORD = 1.0  # seconds


class OnScreen:
    """Says what a run works on, which stage speaks, how long it took, and what came out."""

    def __init__(self) -> None:
        self._started: dict[str, float] = {}
        self._took: defaultdict[str, float] = defaultdict(float)
        self._run_started = 0.0

    @hook_impl
    def after_context_created(self) -> None:
        """Let log lines name their stage."""
        take_over(logging.getLogger())

    @hook_impl
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: CatalogProtocol
    ) -> None:
        """Say which data the run works on."""
        self._run_started = time.monotonic()
        self._took.clear()
        show_on(choose_display())
        if corpus := corpus_of(pipeline):
            logger.info(self._source_line(corpus, catalog))

    @hook_impl
    def before_node_run(self, node: Node) -> None:
        """Let log lines begin with the node's stage from now on."""
        self._started[node.name] = time.monotonic()
        arm, stage = arm_of(node.namespace), stage_of(node.namespace)
        in_stage(f"{arm} {stage}" if arm else stage)

    @hook_impl
    def after_node_run(self, node: Node) -> None:
        """Note how long the node took."""
        self._took[stage_of(node.namespace)] += time.monotonic() - self._started[node.name]
        in_stage(None)

    @hook_impl
    def on_node_error(self, error: Exception, node: Node) -> None:
        """End the stage; the error itself is said at the end of the command."""
        in_stage(None)
        logger.error("%s stops the run", node.name)

    @hook_impl
    def on_pipeline_error(self) -> None:
        """Show no more bars."""
        show_on(None)

    @hook_impl
    def after_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: CatalogProtocol
    ) -> None:
        """Print the result table, if there is one, and once more which data it is about."""
        show_on(None)
        corpus = corpus_of(pipeline)
        if corpus is None:
            return
        if f"{corpus}.result_table" in pipeline.all_outputs():
            comparison = catalog.load(f"{corpus}.comparison")
            _print_table(catalog.load(f"{corpus}.result_table"), comparison)
        else:
            _say_scores(pipeline, catalog)
        if f"{corpus}.tuning_summary" in pipeline.all_outputs():
            _say_proposal(catalog.load(f"{corpus}.tuning_summary"), run_params)
        if f"{corpus}.preview" in pipeline.all_outputs():
            print(catalog.load(f"{corpus}.preview"))
        _say_what_is_older(corpus, pipeline, catalog)
        for name in ("report", "release", "tuning_report", "study_report"):
            if f"{corpus}.{name}" in pipeline.all_outputs():
                path = Path(str(getattr(catalog.get(f"{corpus}.{name}"), "_filepath", "")))
                logger.info("%s: %s", name.replace("_", " ").capitalize(), os.path.relpath(path))
        parts = ", ".join(
            f"{stage} {took:.0f} s" for stage, took in self._took.items() if took >= _WORTH_A_WORD
        )
        seconds = time.monotonic() - self._run_started
        logger.info("Done in %.0f s%s.", seconds, f" ({parts})" if parts else "")
        logger.info(self._source_line(corpus, catalog))

    @staticmethod
    def _source_line(corpus: str, catalog: CatalogProtocol) -> str:
        raw = catalog.get(f"{corpus}.raw")
        source, digest = raw.source_and_digest()
        part = f"{raw.train_fraction:.0%} of train alone, " if raw.train_fraction < 1 else ""
        if source == "official":
            return f"Corpus {corpus}: official files ({part}digest {digest})."
        return (
            f"Corpus {corpus}: SAMPLE that ships with the package ({part}digest {digest}), for "
            f"trying out; nothing follows from it for {corpus}. Real files: make data "
            f"CORPUS={corpus}"
        )


def _say_scores(pipeline: Pipeline, catalog: CatalogProtocol) -> None:
    """Say the scores of arms that were run without their comparison."""
    names = sorted(name for name in pipeline.all_outputs() if name.endswith(".metrics"))
    for name in names:
        metrics = catalog.load(name)["metrics"]
        weighted, macro = (100 * metrics[metric]["mean"] for metric in HEADLINE)
        arm = name.removesuffix(".metrics")
        logger.info("%s: weighted F1 %.1f, macro F1 %.1f", arm, weighted, macro)


def _say_proposal(summary: dict[str, Any], run_params: dict[str, Any]) -> None:
    """Print what a search proposes, and last the command that uses it."""
    for sentence in summary["proposal"]["sentences"]:
        print(sentence)
    print(f"\n{tuned_command(summary, run_params)}\n")


def _say_what_is_older(corpus: str, pipeline: Pipeline, catalog: CatalogProtocol) -> None:
    """Say which results no longer belong to what this run made."""
    made = pipeline.all_outputs()
    if not any(name.endswith((".metrics", ".comparison")) for name in made):
        return
    results = {"comparison": "comparison.json", "result_table": "the result table"}
    results |= {"report": "the report"}
    older = [
        text
        for name, text in results.items()
        if f"{corpus}.{name}" not in made and catalog.exists(f"{corpus}.{name}")
    ]
    if older:
        logger.info(
            "Of an earlier run: %s. To renew: kedro run --pipeline=augment_%s",
            ", ".join(older),
            corpus,
        )


def _print_table(table: pd.DataFrame, comparison: dict[str, Any]) -> None:
    """Print the result table of an experiment."""
    from rich.console import Console
    from rich.table import Table

    corpus, source = comparison["corpus"], comparison["corpus_source"]
    smallest, n_seeds = comparison["smallest_detectable"], len(comparison["seeds"])
    shown = Table(
        title=f"{corpus} ({source} data): test F1 in points, {over_seeds(n_seeds)}, "
        f"real fraction {comparison['real_fraction']:g}",
        caption="Difference from the first arm, 95 % interval, p adjusted (Holm). Smallest true "
        "difference that a single test at 5 % finds with 80 % power: "
        + ", ".join(f"{100 * size:.1f} {plain(metric)}" for metric, size in smallest.items()),
    )
    for heading in ("arm", "utterances"):
        shown.add_column(heading)
    for metric in HEADLINE:
        for heading in (plain(metric), "difference"):
            shown.add_column(heading, justify="right")
    for _, row in table.iterrows():
        cells = [str(row["arm"]), f"{row['utterances']:,}"]
        for metric in HEADLINE:
            score = with_spread(row[metric], row[f"{metric}_std"], n_seeds)
            cells += [score, _difference(row, metric)]
        shown.add_row(*cells)
    Console(width=None if sys.stdout.isatty() else _TABLE_WIDTH).print(shown)


def _difference(row: pd.Series, metric: str) -> str:
    if pd.isna(row.get(f"{metric}_difference")):
        return ""
    bounds = [row[f"{metric}_{end}"] / 100 for end in ("ci_low", "ci_high")]
    p_value = p_text(row[f"{metric}_p_adjusted"])
    return f"{points(row[f'{metric}_difference'] / 100)} {interval(bounds)} p {p_value}"

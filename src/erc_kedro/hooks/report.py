"""What a run says on screen: its data first and last, and the result table."""

import logging
import time
from typing import Any

import pandas as pd
from kedro.framework.hooks import hook_impl
from kedro.io import CatalogProtocol
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

from erc_kedro.core.metrics import HEADLINE
from erc_kedro.hooks.namespaces import corpus_of

logger = logging.getLogger(__name__)

_WORTH_A_LINE = 0.5  # seconds


class RunReport:
    """Says what a run works on, how long its longer nodes took, and what came out."""

    def __init__(self) -> None:
        self._started: dict[str, float] = {}
        self._run_started = 0.0

    @hook_impl
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: CatalogProtocol
    ) -> None:
        """Say which data the run works on."""
        self._run_started = time.monotonic()
        if corpus := corpus_of(pipeline):
            logger.info(self._source_line(corpus, catalog))

    @hook_impl
    def before_node_run(self, node: Node) -> None:
        """Note when a node started."""
        self._started[node.name] = time.monotonic()

    @hook_impl
    def after_node_run(self, node: Node) -> None:
        """Say how long a node took, if it was long."""
        took = time.monotonic() - self._started.pop(node.name)
        if took >= _WORTH_A_LINE:
            logger.info("%s done in %.1f s", node.name, took)

    @hook_impl
    def after_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: CatalogProtocol
    ) -> None:
        """Print the result table, if there is one, and once more which data it is about."""
        corpus = corpus_of(pipeline)
        if corpus is None:
            return
        if f"{corpus}.result_table" in pipeline.all_outputs():
            comparison = catalog.load(f"{corpus}.comparison")
            _print_table(catalog.load(f"{corpus}.result_table"), comparison)
        else:
            _say_scores(corpus, pipeline, catalog)
        logger.info("done in %.0f s", time.monotonic() - self._run_started)
        logger.info(self._source_line(corpus, catalog))

    @staticmethod
    def _source_line(corpus: str, catalog: CatalogProtocol) -> str:
        source, digest = catalog.get(f"{corpus}.raw").source_and_digest()
        if source == "official":
            return f"Corpus {corpus}: official files (digest {digest})."
        return (
            f"Corpus {corpus}: SAMPLE that ships with the package (digest {digest}), for trying "
            f"out; nothing follows from it for {corpus}. Real files: make data CORPUS={corpus}"
        )


def _say_scores(corpus: str, pipeline: Pipeline, catalog: CatalogProtocol) -> None:
    """Say the scores of arms that were run without their comparison."""
    names = sorted(name for name in pipeline.all_outputs() if name.endswith(".metrics"))
    for name in names:
        metrics = catalog.load(name)["metrics"]
        weighted, macro = (100 * metrics[metric]["mean"] for metric in HEADLINE)
        arm = name.removesuffix(".metrics")
        logger.info("%s: weighted F1 %.1f, macro F1 %.1f", arm, weighted, macro)
    if names:
        logger.info(
            "comparison.json and the result table are of an earlier run; to renew them: "
            "kedro run --pipeline=augment_%s --namespaces=%s.evaluation",
            corpus,
            corpus,
        )


def _print_table(table: pd.DataFrame, comparison: dict[str, Any]) -> None:
    """Print the result table of an experiment."""
    from rich.console import Console
    from rich.table import Table

    corpus, source = comparison["corpus"], comparison["corpus_source"]
    smallest = comparison["smallest_detectable"]
    shown = Table(
        title=f"{corpus} ({source} data): test F1 in points, mean ± sd of "
        f"{len(comparison['seeds'])} seeds, real fraction {comparison['real_fraction']:g}",
        caption="Difference to the first arm, 95 % interval, p adjusted (Holm). Smallest true "
        "difference this test set shows with 80 % power: "
        + ", ".join(f"{100 * v:.1f} {k.replace('_', ' ')}" for k, v in smallest.items()),
    )
    for heading in ("arm", "utterances"):
        shown.add_column(heading)
    for heading in ("weighted F1", "difference", "macro F1", "difference"):
        shown.add_column(heading, justify="right")
    for _, row in table.iterrows():
        cells = [str(row["arm"]), f"{row['utterances']:,}"]
        for metric in ("weighted_f1", "macro_f1"):
            cells += [f"{row[metric]:.1f} ± {row[f'{metric}_std']:.1f}", _difference(row, metric)]
        shown.add_row(*cells)
    Console(width=118).print(shown)


def _difference(row: pd.Series, metric: str) -> str:
    if pd.isna(row.get(f"{metric}_difference")):
        return ""
    p = f"{row[f'{metric}_p_adjusted']:.3f}".removeprefix("0")
    return (
        f"{row[f'{metric}_difference']:+.1f} [{row[f'{metric}_ci_low']:+.1f}, "
        f"{row[f'{metric}_ci_high']:+.1f}] p {'<.001' if p == '.000' else p}"
    )

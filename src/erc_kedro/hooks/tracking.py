"""The experiment in MLflow: kedro-mlflow's parent run, and one child run per arm."""

import atexit
import logging
import os
from pathlib import Path
from typing import Any

import mlflow
from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import CatalogProtocol
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node
from kedro_mlflow.framework.hooks.mlflow_hook import MlflowHook
from mlflow import MlflowClient
from pydantic import BaseModel

from erc_kedro.core.mixing import Recipe
from erc_kedro.hooks.namespaces import arm_of, corpus_of
from erc_kedro.tracking.provenance import provenance_tags
from erc_kedro.tracking.runs import (
    ExperimentRuns,
    arm_metrics,
    comparison_metrics,
    validation_metrics,
)

for _library in ("kedro_mlflow", "mlflow"):  # they set their own levels when imported
    logging.getLogger(_library).setLevel(logging.WARNING)


class ExperimentTracking(MlflowHook):
    """kedro-mlflow's hook, with flattened typed parameters, true provenance and child runs.

    Arms' nodes interleave, so their runs are addressed by id instead of being active: a child
    starts with its arm's first node and ends with its last.
    """

    def __init__(self) -> None:
        super().__init__()
        self._runs: ExperimentRuns | None = None
        self._left: dict[str, set[str]] = {}
        atexit.register(self._end_interrupted)

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Set up the tracking store: by default an SQLite file in the project."""
        self._project = context.project_path
        loader = context.config_loader
        loader.config_patterns.setdefault("mlflow", ["mlflow*", "mlflow*/**", "**/mlflow*"])
        loader["mlflow"] = _with_local_store(loader["mlflow"], self._project)
        super().after_context_created(context)

    @hook_impl
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: CatalogProtocol
    ) -> None:
        """Start the parent run; log parameters, corpus and provenance."""
        self._runs = None
        corpus = corpus_of(pipeline)
        if corpus is None:
            super().before_pipeline_run(run_params, pipeline, catalog)
            return
        # All that can fail comes first: Kedro tells no hook of an error in this one.
        source, digest = catalog.get(f"{corpus}.raw").source_and_digest()
        tags = {"corpus": corpus, "corpus_source": source, "corpus_digest": digest}
        tags |= provenance_tags(self._project, run_params)
        names = sorted(name for name in pipeline.inputs() if name.startswith("params:"))
        values = {name.removeprefix("params:"): _plain(catalog.load(name)) for name in names}
        super().before_pipeline_run(run_params, pipeline, catalog)
        if not self._is_mlflow_enabled:
            return
        self._runs = ExperimentRuns(MlflowClient(), self.run_id, tags)
        self._runs.log_parameters(self._runs.parent_id, values)
        self._left = {}
        for node in pipeline.nodes:
            if arm := arm_of(node.namespace):
                self._left.setdefault(arm, set()).add(node.name)

    @hook_impl
    def before_node_run(
        self, node: Node, catalog: CatalogProtocol, inputs: dict[str, Any], is_async: bool
    ) -> None:
        """Start the arm's run with its first node, and log its recipe."""
        super().before_node_run(node, catalog, inputs, is_async)
        arm = arm_of(node.namespace)
        if self._runs is not None and arm is not None:
            run_id = self._runs.child(arm)
            recipe = next((v for name, v in inputs.items() if name.endswith(f".{arm}")), None)
            if isinstance(recipe, Recipe):
                self._runs.log_parameters(run_id, recipe.in_effect())

    @hook_impl
    def after_node_run(self, node: Node, outputs: dict[str, Any]) -> None:
        """Log what a node made, and end the arm's run with its last node."""
        if self._runs is None:
            return
        arm = arm_of(node.namespace)
        run_id = self._runs.child(arm) if arm else self._runs.parent_id
        for name, value in outputs.items():
            self._log_output(run_id, name.rsplit(".", maxsplit=1)[-1], value)
        if arm is not None:
            self._left[arm].discard(node.name)
            if not self._left[arm]:
                self._runs.end(arm)

    def _log_output(self, run_id: str, kind: str, value: Any) -> None:
        """Log one output by what it is; most need no entry here, the catalog keeps them."""
        runs = self._runs
        assert runs is not None
        if kind == "metrics":
            runs.log_metrics(run_id, *arm_metrics(value))
            runs.log_json(run_id, value["confusion"], "confusion.json")
        elif kind == "mixture":
            emotions = {f"train_{name}": n for name, n in value["emotions"].items()}
            numbers = {f"train_{key}": n for key, n in value.items() if key != "emotions"}
            runs.log_metrics(run_id, numbers | emotions)
        elif kind == "training_history":
            steps = value.groupby("step")["loss"].mean()
            runs.log_metrics(run_id, {"optimiser_steps": len(steps)}, {"loss": steps.tolist()})
        elif kind == "validation_report":
            runs.log_metrics(run_id, validation_metrics(value))
            runs.log_json(run_id, value, "validation_report.json")
        elif kind == "corpus_report":
            runs.log_json(run_id, value, "corpus_report.json")
        elif kind == "comparison":
            runs.log_metrics(run_id, comparison_metrics(value))
            runs.log_json(run_id, value, "comparison.json")
        elif kind == "result_table":
            runs.log_text(run_id, value.to_csv(index=False), "result_table.csv")

    @hook_impl
    def on_pipeline_error(
        self,
        error: Exception,
        run_params: dict[str, Any],
        pipeline: Pipeline,
        catalog: CatalogProtocol,
    ) -> None:
        """End all open runs as FAILED, the error as a tag."""
        if self._runs is not None:
            self._runs.fail_open(error)
            self._runs = None
        super().on_pipeline_error(error, run_params, pipeline, catalog)

    @hook_impl
    def after_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: CatalogProtocol
    ) -> None:
        """End the parent run."""
        self._runs = None
        super().after_pipeline_run(run_params, pipeline, catalog)

    def _end_interrupted(self) -> None:
        """End as KILLED what a stop from the keyboard left open; no hook is told of one."""
        if self._runs is not None:
            self._runs.fail_open(KeyboardInterrupt("stopped from the keyboard"), "KILLED")
            mlflow.end_run("KILLED")

    def _log_param(self, name: str, value: Any) -> None:
        """Do nothing: parameters were logged, flattened, when the run started."""


def _with_local_store(config: dict[str, Any], project: Path) -> dict[str, Any]:
    """Return the MLflow configuration with a store in the project if none is named.

    Its address and that of its artifacts are absolute: relative ones follow the working folder.
    """
    server = dict(config.get("server") or {})
    if server.get("mlflow_tracking_uri") is not None:
        return config
    if uri := os.environ.get("MLFLOW_TRACKING_URI"):
        return config | {"server": server | {"mlflow_tracking_uri": uri}}
    tracking = dict(config.get("tracking") or {})
    experiment = dict(tracking.get("experiment") or {})
    place = {"artifact_location": (project / "mlartifacts").as_uri()}
    experiment["create_experiment_kwargs"] = place
    return config | {
        "server": server | {"mlflow_tracking_uri": f"sqlite:///{project / 'mlflow.db'}"},
        "tracking": tracking | {"experiment": experiment},
    }


def _plain(value: Any) -> Any:
    if isinstance(value, Recipe):
        return value.in_effect()
    return value.model_dump() if isinstance(value, BaseModel) else value

"""The experiment in MLflow: kedro-mlflow's parent run, and one child run per arm."""

import atexit
import logging
from typing import Any

import mlflow
from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import CatalogProtocol
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node
from kedro_mlflow.framework.hooks.mlflow_hook import MlflowHook
from mlflow import MlflowClient
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

from erc_kedro.core.experiment import AUGMENTED
from erc_kedro.core.mixing import Recipe
from erc_kedro.hooks.configuration import plain, rendered, secrets_of, with_local_store
from erc_kedro.hooks.namespaces import arm_of, corpus_of
from erc_kedro.hooks.records import record
from erc_kedro.tracking.processes import PROCESS, mark_killed, this_process
from erc_kedro.tracking.provenance import changed_parameters, provenance_tags, repeat_command
from erc_kedro.tracking.runs import ExperimentRuns

logger = logging.getLogger(__name__)

for _library in ("kedro_mlflow", "mlflow"):  # they set their own levels when imported
    logging.getLogger(_library).setLevel(logging.WARNING)

_MONITOR_SECONDS = 5.0
_NAME_LENGTH = 150
_SHARED_PARAMETERS = (
    ("experiment", "real_fraction"),
    ("experiment", "n_seeds"),
    ("encoding", "encoder"),
    ("training", "classifier"),
)
"""Logged with every arm, so that arms of several runs can be told apart and filtered."""

_MODEL_PARTS = {"classifiers", "features", "training", "corpus_card"}


class ExperimentTracking(MlflowHook):
    """kedro-mlflow's hook, with flattened typed parameters, true provenance and child runs.

    Arms' nodes interleave, so their runs are addressed by id instead of being active: a child
    starts with its arm's first node and ends with its last.
    """

    def __init__(self) -> None:
        super().__init__()
        self._runs: ExperimentRuns | None = None
        self._monitor: SystemMetricsMonitor | None = None
        self._left: dict[str, set[str]] = {}
        self._trained: dict[str, dict[str, Any]] = {}
        self._registers = False
        atexit.register(self._end_interrupted)

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Set up the tracking store: by default an SQLite file in the project."""
        self._context = context
        loader = context.config_loader
        loader.config_patterns.setdefault("mlflow", ["mlflow*", "mlflow*/**", "**/mlflow*"])
        loader["mlflow"] = with_local_store(loader["mlflow"], context.project_path)
        super().after_context_created(context)

    @hook_impl
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: CatalogProtocol
    ) -> None:
        """Start the parent run; log parameters, corpus, provenance and configuration."""
        self._runs = None
        corpus = corpus_of(pipeline)
        if corpus is None:
            super().before_pipeline_run(run_params, pipeline, catalog)
            return
        # What can fail comes first: Kedro tells no hook of an error in this one.
        source, digest = catalog.get(f"{corpus}.raw").source_and_digest()
        tags = {"corpus": corpus, "corpus_source": source, "corpus_digest": digest}
        tags |= provenance_tags(self._context.project_path, run_params)
        names = sorted(name for name in pipeline.inputs() if name.startswith("params:"))
        values = {name.removeprefix("params:"): plain(catalog.load(name)) for name in names}
        # kedro-mlflow makes tags of all run parameters; `tags` holds what is worth one.
        bare = dict.fromkeys(run_params) | {"pipeline_names": run_params.get("pipeline_names")}
        super().before_pipeline_run(bare, pipeline, catalog)
        if not self._is_mlflow_enabled:
            return
        mlflow.delete_tag("pipeline_names")  # kedro_command has them
        changed = " ".join(changed_parameters(run_params, corpus))
        name = f"({source}) {changed}".removeprefix("(official) ")[:_NAME_LENGTH]
        client = MlflowClient()
        runs = self._runs = ExperimentRuns(
            client,
            self.run_id,
            tags | {PROCESS: this_process()},
            name=name,
            secrets=secrets_of(self._context),
        )
        runs.log_parameters(runs.parent_id, values)
        for file, text in rendered(self._context).items():
            runs.log_text(runs.parent_id, text, f"configuration/{file}")
        for killed in mark_killed(client, runs.experiment_id):
            logger.info("An earlier run, %s, was killed: MLflow has it as KILLED now.", killed)
        self._command = repeat_command(run_params, corpus)
        if f"{corpus}.provenance" in pipeline.inputs():
            about = tags | {"kedro_command": self._command, "mlflow_run_id": self.run_id}
            about["parameters"] = runs.plain_parameters(values)
            catalog.save(f"{corpus}.provenance", runs.secrets.hide_in(about))
        self._registers = bool(values.get(f"{corpus}.experiment", {}).get("register_model"))
        self._shared = {
            key: values[f"{corpus}.{group}"][key]
            for group, key in _SHARED_PARAMETERS
            if f"{corpus}.{group}" in values
        }
        self._left, self._trained = {}, {}
        for node in pipeline.nodes:
            if arm := arm_of(node.namespace):
                self._left.setdefault(arm, set()).add(node.name)
        self._monitor = SystemMetricsMonitor(self.run_id, sampling_interval=_MONITOR_SECONDS)
        self._monitor.start()

    @hook_impl
    def before_node_run(
        self, node: Node, catalog: CatalogProtocol, inputs: dict[str, Any], is_async: bool
    ) -> None:
        """Start the arm's run with its first node, and log its recipe."""
        super().before_node_run(node, catalog, inputs, is_async)
        arm = arm_of(node.namespace)
        if self._runs is None or arm is None:
            return
        run_id = self._runs.child(arm)
        recipe = next((v for name, v in inputs.items() if name.endswith(f".{arm}")), None)
        if isinstance(recipe, Recipe):
            self._runs.log_parameters(run_id, recipe.in_effect() | self._shared)

    @hook_impl
    def after_node_run(
        self,
        node: Node,
        catalog: CatalogProtocol,
        inputs: dict[str, Any],
        outputs: dict[str, Any],
    ) -> None:
        """Log what a node made; end the arm's run, its model logged, with its last node."""
        if self._runs is None:
            return
        arm = arm_of(node.namespace)
        run_id = self._runs.child(arm) if arm else self._runs.parent_id
        for name, value in outputs.items():
            source = getattr(catalog.get(name), "_filepath", name)
            record(self._runs, run_id, name, value, str(source))
            if name.endswith(".comparison"):
                self._runs.describe(value, self._command)
        if arm is None:
            return
        seen = self._trained.setdefault(arm, {})
        for name, value in (inputs | outputs).items():
            if (kind := name.rsplit(".", maxsplit=1)[-1]) in _MODEL_PARTS:
                seen[kind] = value
        self._left[arm].discard(node.name)
        if not self._left[arm]:
            self._log_model(arm, run_id)
            self._runs.end(arm)

    def _log_model(self, arm: str, run_id: str) -> None:
        """Log the arm's classifiers as one model, if this run trained or kept them."""
        seen = self._trained.pop(arm)
        if seen.keys() < _MODEL_PARTS:
            return
        from erc_kedro.serving.log import log_classifier

        card = seen["corpus_card"]
        official = card["corpus_source"] == "official"
        registered = card["corpus"] if official else f"{card['corpus']}-{card['corpus_source']}"
        log_classifier(
            run_id,
            seen["classifiers"],
            features=seen["features"],
            training=seen["training"],
            corpus_card=card,
            arm=arm,
            registered_name=registered if self._registers and arm == AUGMENTED else None,
        )

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
        self._stop()
        super().on_pipeline_error(error, run_params, pipeline, catalog)

    @hook_impl
    def after_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: CatalogProtocol
    ) -> None:
        """End the parent run."""
        self._stop()
        super().after_pipeline_run(run_params, pipeline, catalog)

    def _stop(self) -> None:
        if self._monitor is not None:
            self._monitor.finish()
        self._monitor = self._runs = None

    def _end_interrupted(self) -> None:
        """End as KILLED what a stop from the keyboard left open; no hook is told of one."""
        if self._runs is not None:
            logger.info("Stopped. What is done is kept: the same command goes on from there.")
            self._runs.fail_open(KeyboardInterrupt("stopped from the keyboard"), "KILLED")
            self._stop()
            mlflow.end_run("KILLED")

    def _log_param(self, name: str, value: Any) -> None:
        """Do nothing: parameters were logged, flattened, when the run started."""

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
from mlflow.exceptions import MlflowException

from erc_kedro.core.errors import UserError
from erc_kedro.core.mixing import Recipe
from erc_kedro.core.progress import tell
from erc_kedro.hooks.configuration import plain, rendered, secrets_of, set_up, with_local_store
from erc_kedro.hooks.namespaces import arm_of, corpus_of
from erc_kedro.hooks.provenance import how_to_repeat, tuned_command, write_provenance
from erc_kedro.hooks.records import MODEL_PARTS, record, record_model, shared_parameters
from erc_kedro.pipelines.tuning.parameters import objectives_of
from erc_kedro.tracking.machine import MachineMonitor
from erc_kedro.tracking.processes import PROCESS, mark_killed, this_process
from erc_kedro.tracking.provenance import changed_parameters, command_line, provenance_tags
from erc_kedro.tracking.runs import ExperimentRuns
from erc_kedro.tracking.secrets import Secrets
from erc_kedro.tracking.trials import TrialRuns, describe_search

logger = logging.getLogger(__name__)
for _library in ("kedro_mlflow", "mlflow"):  # they set their own levels when imported
    logging.getLogger(_library).setLevel(logging.WARNING)

_MONITOR_SECONDS = 5.0

_UNTOLD = (MlflowException, OSError, UserError)
"""What keeps MLflow from being told something, and is no fault of the run."""


class ExperimentTracking(MlflowHook):
    """kedro-mlflow's hook, with flattened typed parameters, true provenance and child runs.

    Arms' nodes interleave, so their runs are addressed by id instead of being active: a child
    starts with its arm's first node and ends with its last.
    """

    def __init__(self) -> None:
        super().__init__()
        self._runs: ExperimentRuns | None = None
        self._trials: TrialRuns | None = None
        self._monitor: MachineMonitor | None = None
        self._left: dict[str, set[str]] = {}
        self._trained: dict[str, dict[str, Any]] = {}
        self._shared: dict[str, Any] = {}
        self._registers = False
        atexit.register(self._end_interrupted)

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Set up the tracking store: by default an SQLite file in the project."""
        self._end_interrupted()  # a run of this process that was stopped from the keyboard
        self._context = context
        loader = context.config_loader
        loader.config_patterns.setdefault("mlflow", ["mlflow*", "mlflow*/**", "**/mlflow*"])
        loader["mlflow"] = with_local_store(loader["mlflow"], context.project_path)
        set_up(lambda: super(ExperimentTracking, self).after_context_created(context))

    @hook_impl
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: CatalogProtocol
    ) -> None:
        """Start the parent run; log parameters, corpus, provenance and configuration."""
        self._runs = self.run_id = None
        corpus = corpus_of(pipeline)
        if corpus is None:
            super().before_pipeline_run(run_params, pipeline, catalog)
            return
        # What can fail comes first: Kedro tells no hook of an error in this one.
        tags = {"corpus": corpus} | catalog.get(f"{corpus}.raw").tags()
        tags |= provenance_tags(self._context.project_path, run_params)
        names = sorted(name for name in pipeline.inputs() if name.startswith("params:"))
        values = {name.removeprefix("params:"): plain(catalog.load(name)) for name in names}
        # kedro-mlflow makes tags of all run parameters; `tags` holds what is worth one.
        bare = dict.fromkeys(run_params) | {"pipeline_names": run_params.get("pipeline_names")}
        super().before_pipeline_run(bare, pipeline, catalog)
        try:
            secrets = secrets_of(self._context)
            if self._is_mlflow_enabled:
                self._start(corpus, tags, values, run_params, pipeline, secrets)
            about = tags | {"mlflow_run_id": self.run_id if self._runs else None}
            write_provenance(corpus, about, values, run_params, pipeline, catalog, secrets)
        except Exception as error:
            if self._runs is not None:
                self._runs.fail_open(error)
            self._stop()
            mlflow.end_run("FAILED")
            raise

    def _start(
        self,
        corpus: str,
        tags: dict[str, str],
        values: dict[str, Any],
        run_params: dict[str, Any],
        pipeline: Pipeline,
        secrets: Secrets,
    ) -> None:
        """Log what is known before the first node, and begin to watch."""
        if run_params.get("pipeline_names"):
            mlflow.delete_tag("pipeline_names")  # kedro_command has them
        self._run_params = run_params
        changed = " ".join(changed_parameters(run_params, corpus))
        client = MlflowClient()
        runs = self._runs = ExperimentRuns(
            client,
            str(self.run_id),
            tags | {PROCESS: this_process()},
            name=f"({tags['corpus_source']}) {changed}".removeprefix("(official) "),
            secrets=secrets,
        )
        runs.log_parameters(runs.parent_id, values)
        for file, text in rendered(self._context, secrets).items():
            runs.log_text(runs.parent_id, text, f"configuration/{file}")
        for killed in mark_killed(client, runs.experiment_id):
            logger.info("An earlier run, %s, was killed: MLflow has it as KILLED now.", killed)
        self._how = how_to_repeat(corpus, run_params, pipeline)
        self._registers = bool(values.get(f"{corpus}.experiment", {}).get("register_model"))
        self._shared = shared_parameters(corpus, values)
        self._left, self._trained = {}, {}
        for node in pipeline.nodes:
            if arm := arm_of(node.namespace):
                self._left.setdefault(arm, set()).add(node.name)
        self._monitor = MachineMonitor(self.run_id, sampling_interval=_MONITOR_SECONDS)
        self._monitor.start()
        tell(runs.log_progress)
        if tuning := values.get(f"{corpus}.tuning"):
            self._trials = TrialRuns(runs, objectives_of(tuning["objective"]))

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
        """Log what a node made; end the arm's run, its model logged, with its last node.

        What MLflow cannot take now fails no node: its results are worth more than their record.
        """
        if self._runs is None:
            return
        arm = arm_of(node.namespace)
        run_id = self._runs.child(arm) if arm else self._runs.parent_id
        try:
            self._record(run_id, catalog, outputs)
            if arm is not None:
                self._after_arms_node(arm, node.name, inputs | outputs, run_id)
        except _UNTOLD as error:
            message = self._runs.secrets.hide(str(error))
            logger.warning("Not all of this is in MLflow: %s", message)

    def _record(self, run_id: str, catalog: CatalogProtocol, outputs: dict[str, Any]) -> None:
        assert self._runs is not None
        for name, value in outputs.items():
            source = getattr(catalog.get(name), "_filepath", name)
            record(self._runs, run_id, name, value, str(source))
            if name.endswith(".comparison"):
                self._runs.describe(value, self._how)
            if name.endswith(".tuning_summary"):
                describe_search(self._runs, value, tuned_command(value, self._run_params))

    def _after_arms_node(self, arm: str, node: str, seen: dict[str, Any], run_id: str) -> None:
        assert self._runs is not None
        kept = self._trained.setdefault(arm, {})
        for name, value in seen.items():
            if (kind := name.rsplit(".", maxsplit=1)[-1]) in MODEL_PARTS:
                kept[kind] = value
        self._left[arm].discard(node)
        if self._left[arm]:
            return
        try:
            record_model(run_id, arm, self._trained.pop(arm), registers=self._registers)
        except _UNTOLD:
            self._runs.end(arm)
            raise
        self._runs.end(arm)

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

    @hook_impl(tryfirst=True)
    def after_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: CatalogProtocol
    ) -> None:
        """End the parent run, before anything is printed: a closed pipe must not make it fail."""
        self._stop()
        super().after_pipeline_run(run_params, pipeline, catalog)

    def _stop(self) -> None:
        tell(None)
        self._close_trials()
        if self._monitor is not None:
            self._monitor.finish()
        self._monitor = self._runs = None

    def _close_trials(self, *how: str) -> None:
        if self._trials is not None:
            self._trials.close(*how)
        self._trials = None

    def _end_interrupted(self) -> None:
        """End as KILLED what a stop left open; no hook is told of one."""
        if self._runs is not None:
            how, command = "stopped by Ctrl-C or SIGTERM", command_line(self._run_params)
            logger.info("Stopped. What is done is kept. To go on: %s", command)
            self._close_trials("KILLED", how)
            self._runs.fail_open(KeyboardInterrupt(how), "KILLED")
            self._stop()
            mlflow.end_run("KILLED")

    def _log_param(self, name: str, value: Any) -> None:
        """Do nothing: parameters were logged, flattened, when the run started."""

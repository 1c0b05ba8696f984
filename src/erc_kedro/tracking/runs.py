"""One MLflow child run per arm, addressed by run id: nothing here depends on an active run."""

import time
from collections.abc import Mapping
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.utils.validation import MAX_PARAM_VAL_LENGTH

from erc_kedro.tracking.provenance import flatten

_BATCH = 100
"""Most parameters that MLflow takes at once."""


class ExperimentRuns:
    """The parent run of an experiment and its arms' child runs.

    Args:
        client: Of the tracking server.
        parent_id: Id of the parent run, which somebody else starts and ends.
        tags: Tags that the parent and every child carry.
    """

    def __init__(self, client: MlflowClient, parent_id: str, tags: Mapping[str, str]) -> None:
        self._client = client
        self._tags = dict(tags)
        self._parent = client.get_run(parent_id).info
        self._children: dict[str, str] = {}
        self._open: set[str] = set()
        for key, value in tags.items():
            client.set_tag(parent_id, key, value)

    @property
    def parent_id(self) -> str:
        """The parent's run id."""
        return str(self._parent.run_id)

    def child(self, arm: str) -> str:
        """Return the run id of an arm, whose run is started at the first call."""
        if arm not in self._children:
            tags = self._tags | {
                "mlflow.parentRunId": self.parent_id,
                "mlflow.user": self._parent.user_id,
                "arm": arm,
            }
            run = self._client.create_run(self._parent.experiment_id, tags=tags, run_name=arm)
            self._children[arm] = run.info.run_id
            self._open.add(arm)
        return self._children[arm]

    def end(self, arm: str, status: str = "FINISHED") -> None:
        """End an arm's run."""
        self._client.set_terminated(self._children[arm], status)
        self._open.discard(arm)

    def fail_open(self, error: BaseException, status: str = "FAILED") -> None:
        """End every arm's run that is not ended yet, the error as a tag on all."""
        message = f"{type(error).__name__}: {error}"[:MAX_PARAM_VAL_LENGTH]
        for run_id in [self.parent_id, *(self._children[arm] for arm in self._open)]:
            self._client.set_tag(run_id, "error", message)
        for arm in sorted(self._open):
            self.end(arm, status)

    def log_parameters(self, run_id: str, values: Mapping[str, Any]) -> None:
        """Log nested values flattened; what is too long is cut off."""
        flat = flatten(values)
        params = [Param(key, str(value)[:MAX_PARAM_VAL_LENGTH]) for key, value in flat.items()]
        for start in range(0, len(params), _BATCH):
            self._client.log_batch(run_id, params=params[start : start + _BATCH])

    def log_metrics(
        self,
        run_id: str,
        values: Mapping[str, float],
        series: Mapping[str, list[float]] | None = None,
    ) -> None:
        """Log single values, and series with the position in the list as step."""
        now = int(time.time() * 1000)
        metrics = [Metric(key, float(value), now, 0) for key, value in values.items()]
        for key, points in (series or {}).items():
            metrics += [Metric(key, float(v), now, step) for step, v in enumerate(points)]
        for start in range(0, len(metrics), 1000):
            self._client.log_batch(run_id, metrics=metrics[start : start + 1000])

    def log_json(self, run_id: str, value: Any, name: str) -> None:
        """Log a plain value as a JSON artifact."""
        self._client.log_dict(run_id, value, name)

    def log_text(self, run_id: str, text: str, name: str) -> None:
        """Log a text artifact."""
        self._client.log_text(run_id, text, name)

    def tag(self, run_id: str, values: Mapping[str, str]) -> None:
        """Set tags."""
        tags = [RunTag(key, str(value)) for key, value in values.items()]
        self._client.log_batch(run_id, tags=tags)


def arm_metrics(metrics: Mapping[str, Any]) -> tuple[dict[str, float], dict[str, list[float]]]:
    """Return an arm's metrics as MLflow wants them.

    Returns:
        test_<metric> and test_<metric>_std; and test_<metric>_per_seed as series.
    """
    single: dict[str, float] = {}
    series: dict[str, list[float]] = {}
    for name, values in metrics["metrics"].items():
        single[f"test_{name}"] = values["mean"]
        single[f"test_{name}_std"] = values["std"]
        series[f"test_{name}_per_seed"] = values["per_seed"]
    return single, series


def validation_metrics(report: Mapping[str, Any]) -> dict[str, float]:
    """Return a validation report's metrics: gx_success_percent, dialogues, refusals by rule."""
    return {
        "gx_success_percent": report["success_percent"],
        "synthetic_planned": report["planned"],
        "synthetic_accepted": report["accepted"],
        "synthetic_refused": report["refused"],
    } | {f"refused_{rule}": n for rule, n in report["refused_by_rule"].items()}


def comparison_metrics(comparison: Mapping[str, Any]) -> dict[str, float]:
    """Return the comparison's metrics for the parent run: differences and adjusted p-values."""
    metrics: dict[str, float] = {}
    for entry in comparison["comparisons"]:
        name = f"{entry['arm']}_minus_{entry['baseline']}_{entry['metric']}"
        metrics[name] = entry["difference"]
        metrics[f"{name}_p_adjusted"] = entry["p_adjusted"]
    return metrics

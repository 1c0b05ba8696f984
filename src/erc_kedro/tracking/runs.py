"""One MLflow child run per arm, addressed by run id: nothing here depends on an active run."""

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import DatasetInput, Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NOTE
from mlflow.utils.validation import MAX_PARAM_VAL_LENGTH

from erc_kedro.core.metrics import HEADLINE
from erc_kedro.core.verdict import headline, verdict
from erc_kedro.core.wording import over_seeds, with_spread
from erc_kedro.tracking.provenance import flatten
from erc_kedro.tracking.secrets import Secrets

_EXPERIMENT_KIND = ("mlflow.experimentKind", "custom_model_development")
"""Lets the MLflow UI show runs, metrics and models first, and not traces of prompts."""

_NAME_LENGTH = 150
_BATCH = 100
"""Most parameters that MLflow takes at once."""


class ExperimentRuns:
    """The parent run of an experiment and its arms' child runs.

    Args:
        client: Of the tracking server.
        parent_id: Id of the parent run, which somebody else starts and ends.
        tags: Tags that the parent and every child carry.
        name: What a child's name says after its arm, to tell children of several runs apart.
        secrets: What is hidden in all that is logged.
    """

    def __init__(
        self,
        client: MlflowClient,
        parent_id: str,
        tags: Mapping[str, str],
        *,
        name: str = "",
        secrets: Secrets | None = None,
    ) -> None:
        self._client = client
        self.secrets = secrets or Secrets({}, {})
        self._tags = {key: self.secrets.hide(value) for key, value in tags.items()}
        self._name = self.secrets.hide(name).strip()[:_NAME_LENGTH]
        self._parent = client.get_run(parent_id).info
        if name:
            client.update_run(parent_id, name=f"{self._parent.run_name} {self._name}")
        self._children: dict[str, str] = {}
        self._open: set[str] = set()
        self.tag(parent_id, tags)
        client.set_experiment_tag(self._parent.experiment_id, *_EXPERIMENT_KIND)

    @property
    def parent_id(self) -> str:
        """The parent's run id."""
        return str(self._parent.run_id)

    @property
    def experiment_id(self) -> str:
        """The id of the MLflow experiment that the runs are in."""
        return str(self._parent.experiment_id)

    def arm_of(self, run_id: str) -> str:
        """Return the arm whose run this is."""
        return next(arm for arm, child in self._children.items() if child == run_id)

    def child(self, arm: str) -> str:
        """Return the run id of an arm, whose run is started at the first call."""
        if arm not in self._children:
            self._children[arm] = self.start_child(arm, {"arm": arm})
            self._open.add(arm)
        return self._children[arm]

    def start_child(self, name: str, tags: Mapping[str, str], at: int | None = None) -> str:
        """Start a child run (at a time, in milliseconds since 1970); return its id."""
        own = {"mlflow.parentRunId": self.parent_id, "mlflow.user": self._parent.user_id}
        run = self._client.create_run(
            self._parent.experiment_id,
            start_time=at,
            tags={**self._tags, **own, **tags},
            run_name=f"{name} {self._name}".strip(),
        )
        return str(run.info.run_id)

    def end_run(self, run_id: str, status: str, at: int | None = None) -> None:
        """End a run (at a time, in milliseconds since 1970)."""
        self._client.set_terminated(run_id, status, at)

    def end(self, arm: str, status: str = "FINISHED") -> None:
        """End an arm's run."""
        self.end_run(self._children[arm], status)
        self._open.discard(arm)

    def fail_open(self, error: BaseException, status: str = "FAILED") -> None:
        """End every arm's run that is not ended yet, the error as a tag on all."""
        message = self.secrets.hide(f"{type(error).__name__}: {error}")[:MAX_PARAM_VAL_LENGTH]
        for run_id in [self.parent_id, *(self._children[arm] for arm in self._open)]:
            self.tag(run_id, {"error": message})
        for arm in sorted(self._open):
            self.end(arm, status)

    def log_parameters(self, run_id: str, values: Mapping[str, Any]) -> None:
        """Log nested values flattened; what is too long is cut off."""
        params = [Param(key, value) for key, value in self.plain_parameters(values).items()]
        for start in range(0, len(params), _BATCH):
            self._client.log_batch(run_id, params=params[start : start + _BATCH])

    def plain_parameters(self, values: Mapping[str, Any]) -> dict[str, str]:
        """Return nested values as MLflow takes them: flat, as texts, cut off, nothing secret."""
        flat = flatten(self.secrets.hide_in(values))
        return {key: str(value)[:MAX_PARAM_VAL_LENGTH] for key, value in flat.items()}

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

    def log_progress(self, numbers: Mapping[str, float], step: int) -> None:
        """Log numbers of work under way to the parent, if MLflow can take them now."""
        with suppress(MlflowException, OSError):
            self.log_at(self.parent_id, numbers, step)

    def log_at(self, run_id: str, values: Mapping[str, float], step: int) -> None:
        """Log values at a step."""
        now = int(time.time() * 1000)
        metrics = [Metric(key, value, now, step) for key, value in values.items()]
        self._client.log_batch(run_id, metrics=metrics)

    def log_json(self, run_id: str, value: Any, name: str) -> None:
        """Log a plain value as a JSON artifact."""
        self._client.log_dict(run_id, self.secrets.hide_in(value), name)

    def log_text(self, run_id: str, text: str, name: str) -> None:
        """Log a text artifact."""
        self._client.log_text(run_id, self.secrets.hide(text), name)

    def log_table(self, run_id: str, table: pd.DataFrame, name: str) -> None:
        """Log a table that the MLflow UI shows as one, and compares between runs."""
        self._client.log_table(run_id, table, name)

    def log_bytes(self, run_id: str, content: bytes, name: str) -> None:
        """Log a binary artifact, such as a picture."""
        folder, _, file = name.rpartition("/")
        with TemporaryDirectory() as place:
            path = Path(place, file)
            path.write_bytes(content)
            self._client.log_artifact(run_id, str(path), folder or None)

    def log_inputs(self, run_id: str, inputs: Sequence[DatasetInput]) -> None:
        """Log which data a run used."""
        self._client.log_inputs(run_id, datasets=list(inputs))

    def describe(self, comparison: Mapping[str, Any], how: str) -> None:
        """Put verdict, scores and how to repeat it on the parent run's page."""
        lines = [f"**{headline(comparison)}**", "", *_score_lines(comparison), ""]
        lines += [f"- {sentence}" for sentence in verdict(comparison)]
        lines += ["", how]
        self.tag(self.parent_id, {MLFLOW_RUN_NOTE: "\n".join(lines)})

    def describe_arm(self, arm: str, metrics: Mapping[str, Any]) -> None:
        """Put an arm's headline scores on its run's page."""
        scores = ", ".join(f"{name} {_points(metrics['metrics'][name])}" for name in HEADLINE)
        note = f"**{arm}**: {scores} on real test (points, {over_seeds(len(metrics['seeds']))})."
        self.tag(self.child(arm), {MLFLOW_RUN_NOTE: note})

    def tag(self, run_id: str, values: Mapping[str, str]) -> None:
        """Set tags."""
        tags = [RunTag(key, self.secrets.hide(str(value))) for key, value in values.items()]
        self._client.log_batch(run_id, tags=tags)


def _score_lines(comparison: Mapping[str, Any]) -> list[str]:
    """Return the arms' headline scores in points as a Markdown table."""
    rows = [f"| arm | {' | '.join(HEADLINE)} |", "|---" * (len(HEADLINE) + 1) + "|"]
    for arm, values in comparison["arms"].items():
        cells = " | ".join(_points(values[name]) for name in HEADLINE)
        rows.append(f"| {arm} | {cells} |")
    return rows


def _points(values: Mapping[str, Any]) -> str:
    return with_spread(100 * values["mean"], 100 * values["std"], len(values["per_seed"]))


def arm_metrics(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Return an arm's metrics under MLflow's names.

    Returns:
        test_<metric> and test_<metric>_std, mean and standard deviation over the seeds (if there
        are several), and test_<metric>_ensemble of the seeds' mean probabilities; fractions of 1.
    """
    named: dict[str, float] = {}
    for name, values in metrics["metrics"].items():
        named[f"test_{name}"] = values["mean"]
        if len(values["per_seed"]) > 1:
            named[f"test_{name}_std"] = values["std"]
    for name, value in metrics["ensemble"].items():
        named[f"test_{name}_ensemble"] = value
    return named


def validation_metrics(report: Mapping[str, Any]) -> dict[str, float]:
    """Return a validation report's metrics: gx_success_percent, dialogues, refusals by rule."""
    return {
        "gx_success_percent": report["success_percent"],
        "synthetic_planned": report["planned"],
        "synthetic_accepted": report["accepted"],
        "synthetic_refused": report["refused"],
    } | {f"refused_{rule}": n for rule, n in report["refused_by_rule"].items()}


def comparison_metrics(comparison: Mapping[str, Any]) -> dict[str, float]:
    """Return what the parent run says of its arms, so that whole runs can be compared.

    Returns:
        <arm>_<metric>, and for all arms but the baseline <arm>_<metric>_gain, the difference to
        it, with _gain_low and _gain_high (95 % interval) and _gain_p (adjusted); fractions of 1.
    """
    entries = comparison["comparisons"]
    compared = dict.fromkeys(entry["metric"] for entry in entries)
    metrics = {
        f"{arm}_{metric}": values[metric]["mean"]
        for arm, values in comparison["arms"].items()
        for metric in compared
    }
    for entry in entries:
        name = f"{entry['arm']}_{entry['metric']}_gain"
        low, high = entry["ci95"]
        metrics |= {name: entry["difference"], f"{name}_low": low, f"{name}_high": high}
        metrics[f"{name}_p"] = entry["p_adjusted"]
    return metrics

"""A study in MLflow: a child run per group of cells, its seeds as steps."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NOTE

from erc_kedro.core.study_verdict import findings
from erc_kedro.tracking.runs import ExperimentRuns


def log_groups(runs: ExperimentRuns, run_id: str, scores: Mapping[str, Any]) -> None:
    """Log every group of cells as a child run.

    A run per cell would be hundreds, and slower than the cells; so a group's seeds are the steps
    of `test_<metric>_by_seed`, and `test_<metric>` is their mean.

    Args:
        runs: The parent run and its children.
        run_id: Of the parent.
        scores: As `core.study_results.scores_of` returns them.
    """
    for key, group in scores.items():
        tags = {"study_part": group["part"], "treatment": group["treatment"]}
        child = runs.start_child(key, tags | ({"emotion": e} if (e := group["emotion"]) else {}))
        about = {"real_fraction": group["real_fraction"], "seeds": len(group["seeds"])}
        runs.log_parameters(child, about | group["what"])
        series = {f"test_{metric}_by_seed": list(v) for metric, v in group["per_seed"].items()}
        means = {f"test_{metric}": float(np.mean(v)) for metric, v in group["per_seed"].items()}
        runs.log_metrics(child, means, series)
        runs.end_run(child, "FINISHED")


def describe_study(runs: ExperimentRuns, run_id: str, confirmatory: Mapping[str, Any]) -> None:
    """Put what was tested, and what came of it, on the parent run's page, and log the numbers."""
    runs.log_json(run_id, dict(confirmatory), "study/confirmatory.json")
    for entry in confirmatory["comparisons"]:
        name = f"{entry['real_fraction']:g}_{entry['metric']}_over_{entry['against']}"
        low, high = entry["ci95"]
        values = {name: entry["difference"], f"{name}_low": low, f"{name}_high": high}
        runs.log_metrics(run_id, values | {f"{name}_p": entry["p_adjusted"]})
    lead, *others = findings(confirmatory)
    lines = [f"**{lead}**", "", *(f"- {sentence}" for sentence in others)]
    lines += ["", "All of it: artifact `study_report.html`."]
    runs.tag(run_id, {MLFLOW_RUN_NOTE: "\n".join(lines)})

"""What of tuning and of studies goes to MLflow, and under which name."""

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from erc_kedro.tracking.runs import ExperimentRuns
from erc_kedro.tracking.study_runs import describe_study, log_groups


def _trials(runs: ExperimentRuns, run_id: str, trials: pd.DataFrame) -> None:
    runs.log_table(run_id, trials.astype(object).where(trials.notna(), None), "trials.json")


def _tuning_summary(runs: ExperimentRuns, run_id: str, summary: dict[str, Any]) -> None:
    runs.log_json(run_id, summary, "tuning/tuning_summary.json")


def _tuned_recipe(runs: ExperimentRuns, run_id: str, text: str) -> None:
    runs.log_text(run_id, text, "tuning/tuned_recipe.yml")


def _figures(runs: ExperimentRuns, run_id: str, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        runs.log_bytes(run_id, content, f"figures/{name}")


def _tuning_report(runs: ExperimentRuns, run_id: str, page: str) -> None:
    runs.log_text(run_id, page, "tuning_report.html")


def _study_table(runs: ExperimentRuns, run_id: str, table: pd.DataFrame) -> None:
    runs.log_table(run_id, table.astype(object).where(table.notna(), None), "study_table.json")
    runs.log_text(run_id, table.to_csv(index=False), "study/study_table.csv")


def _study_report(runs: ExperimentRuns, run_id: str, page: str) -> None:
    runs.log_text(run_id, page, "study_report.html")


SEARCH_RECORDS: Mapping[str, Callable[[ExperimentRuns, str, Any], None]] = {
    "confirmatory": describe_study,
    "study_figures": _figures,
    "study_report": _study_report,
    "study_scores": log_groups,
    "study_table": _study_table,
    "trials": _trials,
    "tuned_recipe": _tuned_recipe,
    "tuning_figures": _figures,
    "tuning_report": _tuning_report,
    "tuning_summary": _tuning_summary,
}
"""By the last part of the dataset's name."""

"""Hold checks up to their tables, and say in plain values what came out."""

import logging
from collections.abc import Iterable, Mapping
from functools import cache
from threading import Lock
from typing import Any

import great_expectations as gx
from great_expectations.data_context.types.base import ProgressBarsConfig

from erc_kedro.quality.suites import Check

# It sets its own level when imported, to tell of a temporary folder.
logging.getLogger("great_expectations.data_context.types.base").setLevel(logging.WARNING)

ONE_AT_A_TIME = Lock()
"""Great Expectations keeps state in its context, and ThreadRunner runs nodes side by side."""


@cache
def shared_context() -> Any:
    """Return the one context of this process; to be used under `ONE_AT_A_TIME`."""
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    return context


def run_checks(checks: Iterable[Check]) -> dict[str, Any]:
    """Validate every check with Great Expectations; return the report, as `report_of` does."""
    return report_of(hold_up(checks))


def hold_up(checks: Iterable[Check]) -> dict[str, Any]:
    """Validate every check with Great Expectations.

    Returns:
        What Great Expectations found (`ExpectationSuiteValidationResult`), by name of the check.
    """
    with ONE_AT_A_TIME:
        return {check.name: _validate(check) for check in checks}


def report_of(results: Mapping[str, Any]) -> dict[str, Any]:
    """Say in plain values what came out.

    Args:
        results: As `hold_up` returned them.

    Returns:
        success (no critical failure), evaluated, successful, success_percent, and expectations:
        one entry each with check, expectation, column, severity, success, wanted and observed.
    """
    entries = [
        _entry(check, result)
        for check, results_of_check in results.items()
        for result in results_of_check.to_json_dict()["results"]
    ]
    successful = sum(entry["success"] for entry in entries)
    return {
        "success": not failures(entries, "critical"),
        "evaluated": len(entries),
        "successful": successful,
        "success_percent": round(100 * successful / max(len(entries), 1), 3),
        "expectations": entries,
    }


def failures(entries: Iterable[Mapping[str, Any]], severity: str) -> list[Mapping[str, Any]]:
    """Return the failed entries of a severity."""
    return [entry for entry in entries if not entry["success"] and entry["severity"] == severity]


def _validate(check: Check) -> Any:
    sources = shared_context().data_sources
    source = sources.add_or_update_pandas(name="pandas")
    asset = source.add_dataframe_asset(name=check.name)
    batch = asset.add_batch_definition_whole_dataframe("whole").get_batch(
        {"dataframe": check.table}
    )
    suite = gx.ExpectationSuite(name=check.name, expectations=list(check.expectations))
    return batch.validate(suite)


def _entry(check: str, result: Mapping[str, Any]) -> dict[str, Any]:
    config, outcome = result["expectation_config"], result["result"]
    wanted = {k: v for k, v in config["kwargs"].items() if k not in {"batch_id", "column"}}
    return {
        "check": check,
        "expectation": config["type"],
        "column": config["kwargs"].get("column"),
        "severity": config["severity"],
        "success": bool(result["success"]),
        "wanted": wanted,
        "observed": _observed(outcome, result["exception_info"]),
    }


def _observed(outcome: Mapping[str, Any], exceptions: Mapping[str, Any]) -> Any:
    """Return what was observed: a value, offending values, a partition, or what was raised."""
    if outcome.get("observed_value") is not None:
        return outcome["observed_value"]
    if outcome.get("unexpected_count"):
        examples = ", ".join(map(str, outcome["partial_unexpected_list"][:5]))
        return f"{outcome['unexpected_count']} of {outcome['element_count']}: {examples}"
    if "observed_partition" in outcome.get("details", {}):
        return outcome["details"]["observed_partition"]
    # GX keys what was raised by metric, or gives it alone.
    raised = [exceptions, *(value for value in exceptions.values() if isinstance(value, Mapping))]
    messages = (str(one["exception_message"]) for one in raised if one.get("exception_message"))
    return next(messages, None)

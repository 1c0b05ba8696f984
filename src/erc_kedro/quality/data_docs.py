"""Great Expectations' own pages about validation results (Data Docs)."""

import copy
import html
import json
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from great_expectations import ExpectationSuite
from great_expectations.core.run_identifier import RunIdentifier
from great_expectations.data_context.types.resource_identifiers import (
    ExpectationSuiteIdentifier,
    ValidationResultIdentifier,
)

from erc_kedro.quality.report import ONE_AT_A_TIME, shared_context

_SITE = "validation"


def data_docs(results: Mapping[str, Any]) -> dict[str, str]:
    """Return the results as Great Expectations' static site, and as it gives them.

    The pages take style sheets and scripts from the web; the site's own pictures are left out.

    Args:
        results: As `report.hold_up` returned them.

    Returns:
        Text by relative path: index.html, pages per check under validations/ (what came out) and
        expectations/ (what was expected), and the raw result as results/<check>.json.
    """
    with ONE_AT_A_TIME, TemporaryDirectory() as folder:
        pages = _build(results, Path(folder))
    raw = {
        f"results/{check}.json": json.dumps(result.to_json_dict(), indent=1, ensure_ascii=False)
        for check, result in results.items()
    }
    return pages | raw


def _build(results: Mapping[str, Any], folder: Path) -> dict[str, str]:
    context, run = shared_context(), RunIdentifier(run_name=_SITE)
    store = context.validation_results_store
    place = {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(folder)}
    context.add_data_docs_site(_SITE, {"class_name": "SiteBuilder", "store_backend": place})
    keys = {
        check: ValidationResultIdentifier(ExpectationSuiteIdentifier(check), run, check)
        for check in results
    }
    try:
        for check, key in keys.items():
            store.set(key, _shown(results[check]))
            context.suites.add(_suite(check, results[check]))
        context.build_data_docs(site_names=[_SITE])
    finally:
        context.delete_data_docs_site(_SITE)
        for check, key in keys.items():
            store.remove_key(key)
            context.suites.delete(check)
    return {
        path.relative_to(folder).as_posix(): path.read_text("utf-8")
        for path in sorted(folder.rglob("*.html"))
    }


def _suite(check: str, result: Any) -> ExpectationSuite:
    """Return what was expected, without the batch that it was held up to."""
    configurations = [copy.deepcopy(one.expectation_config) for one in result.results]
    for configuration in configurations:
        configuration.kwargs.pop("batch_id", None)
        configuration.id = None
    return ExpectationSuite(name=check, expectations=configurations)


def _shown(result: Any) -> Any:
    """Return a copy of a result that can be put into a page.

    Great Expectations does not escape unexpected values, which may be text from anywhere.
    """
    shown = copy.deepcopy(result)
    for one in shown.results:
        one.result, one.exception_info = _escaped(one.result), _escaped(one.exception_info)
    return shown


def _escaped(value: Any) -> Any:
    if isinstance(value, str):
        return html.escape(value)
    if isinstance(value, Mapping):
        return {key: _escaped(own) for key, own in value.items()}
    return [_escaped(own) for own in value] if isinstance(value, list | tuple) else value

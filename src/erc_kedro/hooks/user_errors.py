"""Bad input is refused before the first node, and said in a few lines instead of a traceback."""

import logging
import sys
import traceback
from collections.abc import Mapping
from contextlib import suppress
from difflib import get_close_matches
from types import TracebackType
from typing import Any

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import CatalogProtocol, DatasetError
from kedro.pipeline import Pipeline
from kedro.validation.exceptions import ParameterValidationError
from pydantic import BaseModel

from erc_kedro.core.errors import UserError
from erc_kedro.corpora import CORPORA
from erc_kedro.hooks.configuration import secrets_of
from erc_kedro.hooks.namespaces import corpus_of
from erc_kedro.hooks.parameter_errors import said_plainly
from erc_kedro.modelling.files import check_writable
from erc_kedro.tracking.provenance import flatten
from erc_kedro.tracking.secrets import Secrets


class UserErrors:
    """Refuses parameter paths that nothing uses, runners that cannot work, and stale data."""

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """From here on, an error of the user's ends the command with its message alone.

        Neither an error nor a log line says what is secret.

        Raises:
            UserError: If a parameter stands for all of a corpus: parameters of another one that
                are taken over from it could not be resolved.
        """
        secrets = secrets_of(context)
        sys.excepthook = _Errors(secrets)
        for handler in logging.getLogger().handlers:
            for old in [own for own in handler.filters if isinstance(own, _HideSecrets)]:
                handler.removeFilter(old)
            handler.addFilter(_HideSecrets(secrets))
        self._data = context.project_path / "data"
        for name, value in (context.config_loader.runtime_params or {}).items():
            if name in CORPORA and not isinstance(value, Mapping):
                raise UserError(
                    "No node of this run reads this parameter.",
                    where=f"--params {name}",
                    expected=f"a path such as {name}.generation.seed",
                    remedy="see docs/configuration.md",
                )

    @hook_impl
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: CatalogProtocol
    ) -> None:
        """Check the run before its first node.

        Raises:
            UserError: If something cannot work; nothing was run then.
        """
        if "ParallelRunner" in str(run_params.get("runner")):
            raise UserError(
                "ParallelRunner cannot run these pipelines.",
                expected="SequentialRunner or ThreadRunner",
                found="ParallelRunner, whose worker processes run no hooks: MLflow would miss them",
                remedy="leave out --runner",
            )
        check_writable(self._data, "data folder")
        check_paths(run_params.get("runtime_params") or {}, pipeline.inputs(), catalog)
        check_fresh(pipeline, catalog)
        check_devices(pipeline, catalog)


def check_paths(runtime_params: dict[str, Any], inputs: set[str], catalog: CatalogProtocol) -> None:
    """Refuse a --params path that no node of the run reads (Kedro ignores it).

    Raises:
        UserError: Naming the nearest path that is read.
    """
    groups = {name.removeprefix("params:") for name in inputs if name.startswith("params:")}
    for path in flatten(runtime_params):
        if any(f"{path}.".startswith(f"{group}.") for group in groups):
            continue
        known: dict[str, Any] = {}
        for group in groups:
            with suppress(DatasetError):  # the path may have replaced the whole group
                value = catalog.load(f"params:{group}")
                known[group] = value.model_dump() if isinstance(value, BaseModel) else value
        leaves = flatten(known)
        nearest = get_close_matches(path, [*leaves, *groups], n=1, cutoff=0.3)
        raise UserError(
            "No node of this run reads this parameter.",
            where=f"--params {path}",
            expected=f"a path under {', '.join(sorted(groups))}",
            remedy=f"did you mean {nearest[0]}?" if nearest else "see conf/base/parameters_*.yml",
        )


def check_devices(pipeline: Pipeline, catalog: CatalogProtocol) -> None:
    """Refuse a device that is not there, before anything is computed for it.

    Raises:
        UserError: Naming the devices that are.
    """
    for name in sorted(name for name in pipeline.inputs() if name.startswith("params:")):
        device = getattr(catalog.load(name), "device", "auto")
        if device not in {"auto", "cpu"}:
            from erc_kedro.modelling.devices import choose_device

            choose_device(device, f"{name.removeprefix('params:')}.device")


def check_fresh(pipeline: Pipeline, catalog: CatalogProtocol) -> None:
    """Refuse to go on from outputs of another corpus digest (say, the sample's).

    Raises:
        UserError: If a partial run would read outputs that were made from other raw data.
    """
    corpus = corpus_of(pipeline)
    if corpus is None or f"{corpus}.corpus_card" not in pipeline.inputs():
        return
    if not catalog.exists(f"{corpus}.corpus_card"):
        return
    made_from = catalog.load(f"{corpus}.corpus_card")["digest"]
    source, digest = catalog.get(f"{corpus}.raw").source_and_digest()
    if made_from != digest:
        raise UserError(
            "The outputs that this run would start from were made from other raw data.",
            expected=f"digest {digest} ({source} files)",
            found=f"digest {made_from}",
            remedy=f"run the whole pipeline: kedro run --pipeline=augment_{corpus}",
        )


class _Errors:
    """An exception hook: the user's errors by their message, others with their traceback."""

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets

    def __call__(
        self, kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        cause: BaseException | None = error
        while isinstance(cause, DatasetError):  # Kedro wraps what a dataset says, and again
            cause = cause.__cause__
        error = cause if isinstance(cause, UserError) else error
        unknown_pipeline = str(error).startswith("Failed to find the pipeline named")
        if isinstance(error, ParameterValidationError):
            text = f"\nError: {said_plainly(error)}"
        elif isinstance(error, UserError) or unknown_pipeline:
            text = f"\nError: {error}"
        else:
            text = "".join(traceback.format_exception(kind, error, trace)).rstrip()
        print(self._secrets.hide(text), file=sys.stderr)


class _HideSecrets(logging.Filter):
    """Hides secrets in log records."""

    def __init__(self, secrets: Secrets) -> None:
        super().__init__()
        self._secrets = secrets

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass, hidden."""
        record.msg, record.args = self._secrets.hide(record.getMessage()), None
        if record.exc_info:
            text = logging.Formatter().formatException(record.exc_info)
            record.exc_info, record.exc_text = None, self._secrets.hide(text)
        return True

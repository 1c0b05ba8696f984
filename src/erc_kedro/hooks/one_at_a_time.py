"""Runs on one corpus follow each other: they write to the same folders."""

import json
import logging
import os
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import CatalogProtocol
from kedro.pipeline import Pipeline

from erc_kedro.hooks.namespaces import corpus_of
from erc_kedro.hooks.user_errors import check_fresh
from erc_kedro.tracking.provenance import command_line

logger = logging.getLogger(__name__)


class OneAtATime:
    """Lets a run wait until no other run works on its corpus in this project.

    The lock is the operating system's, so it ends with the process that holds it, however that
    ends.
    """

    def __init__(self) -> None:
        self._lock: FileLock | None = None

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Note where the data lies; let go of what a stopped run in this process held."""
        self.release()
        self._data = context.project_path / "data"

    @hook_impl
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: CatalogProtocol
    ) -> None:
        """Wait for the corpus to be free, and take it."""
        self.release()
        corpus = corpus_of(pipeline)
        if corpus is None:
            return
        lock, holder = (self._data / f".{corpus}.{kind}" for kind in ("lock", "holder"))
        self._lock = FileLock(lock, thread_local=False)
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            logger.info("Another run works on %s: %s. This one waits.", corpus, _read(holder))
            self._lock.acquire()
            logger.info("%s is free now.", corpus)
            check_fresh(pipeline, catalog)  # the other run may have worked on other raw data
        since = datetime.now().isoformat(timespec="seconds")
        about = {"process": os.getpid(), "since": since, "command": command_line(run_params)}
        holder.write_text(json.dumps(about), encoding="utf-8")

    @hook_impl(trylast=True)
    def after_pipeline_run(self) -> None:
        """Set the corpus free."""
        self.release()

    @hook_impl(trylast=True)
    def on_pipeline_error(self) -> None:
        """Set the corpus free."""
        self.release()

    def release(self) -> None:
        """Set the corpus free, if this run holds it."""
        if self._lock is not None:
            self._lock.release(force=True)
            self._lock = None


def _read(holder: Path) -> str:
    with suppress(OSError, ValueError, KeyError):
        about = json.loads(holder.read_text(encoding="utf-8"))
        return f"process {about['process']} since {about['since']}, {about['command']}"
    return "an unknown process"

"""A place for a store, with the log at hand."""

import logging
from pathlib import Path

import pytest

from tests.llm.writer import Place


@pytest.fixture
def place(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Place:
    caplog.set_level(logging.INFO, logger="erc_kedro.llm")
    return Place(tmp_path)

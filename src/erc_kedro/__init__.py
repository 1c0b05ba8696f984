"""erc_kedro: synthetic dialogues for emotion recognition in conversation, tracked end to end."""

import os
import re
import warnings
from typing import Any

__version__ = "0.1.0"

# No command phones home. Set early: kedro, MLflow and Great Expectations read these at import.
os.environ.setdefault("DO_NOT_TRACK", "true")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

# No bars but our own.
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
# Nor the tracking server's address, which may hold a password.
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")

# What libraries say about themselves at import, to every user: nothing anyone here can act on.
# A filter would not do, since some of them put their own in front of it.
_NOISE = re.compile(
    r"type hints to the `predict` method|dataset names contain '\.' characters|"
    r"Option '--pipeline' is deprecated"
)
_show_warning = warnings.showwarning


def _show_other_warnings(message: Warning | str, *details: Any, **more: Any) -> None:
    if not _NOISE.search(str(message)):
        _show_warning(message, *details, **more)


warnings.showwarning = _show_other_warnings

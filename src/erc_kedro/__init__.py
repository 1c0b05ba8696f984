"""erc_kedro: synthetic dialogues for emotion recognition in conversation, tracked end to end."""

import os
import warnings

__version__ = "0.1.0"

# No command phones home. Set early: kedro, MLflow and Great Expectations read these at import.
os.environ.setdefault("DO_NOT_TRACK", "true")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

# Said by libraries about themselves, at import, to every user: nothing anyone here can act on.
warnings.filterwarnings("ignore", message=".*type hints to the `predict` method.*")
warnings.filterwarnings("ignore", message=".*dataset names contain '.' characters.*")

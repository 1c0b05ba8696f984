"""Kedro settings of the project."""

from kedro.config import OmegaConfigLoader

from erc_kedro.hooks import ExperimentTracking, OneAtATime, OnScreen, UserErrors

DISABLE_HOOKS_FOR_PLUGINS = ("kedro_mlflow",)  # ExperimentTracking extends its hook

# Hooks registered last are called first: what is refused starts no run, what waits neither.
HOOKS = (ExperimentTracking(), OnScreen(), OneAtATime(), UserErrors())

CONFIG_LOADER_CLASS = OmegaConfigLoader
CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "local",
    # An overlay states only its difference; "destructive" would wipe what it does not name.
    "merge_strategy": {"parameters": "soft", "mlflow": "soft"},
}

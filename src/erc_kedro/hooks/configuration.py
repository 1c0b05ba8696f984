"""The project's configuration as the hooks need it."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml
from kedro.config import MissingConfigException
from kedro.framework.context import KedroContext
from mlflow.exceptions import MlflowException
from pydantic import BaseModel

from erc_kedro.core.mixing import Recipe
from erc_kedro.tracking.secrets import Secrets

_LOCAL_STORES: set[str] = set()
"""Stores in projects that this process worked on: kedro-mlflow puts the last one's address into
the environment, where the next project must not take it for the user's wish."""


def secrets_of(context: KedroContext) -> Secrets:
    """Return what is secret in a project: its credentials, and keys in the environment.

    The credentials of every configuration environment count, also of those that a run does not
    use: conf/local's are secret in a run with --env too.
    """
    credentials: dict[str, Any] = {}
    with suppress(MissingConfigException):
        credentials["run"] = context.config_loader["credentials"] or {}
    for path in sorted((context.project_path / "conf").glob("*/**/credentials*.y*ml")):
        with suppress(OSError, ValueError, yaml.YAMLError):
            credentials[str(path)] = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    return Secrets(credentials)


def with_local_store(config: dict[str, Any], project: Path) -> dict[str, Any]:
    """Return the MLflow configuration with a store in the project if none is named.

    Its address and that of its artifacts are absolute: relative ones follow the working folder.
    """
    server = dict(config.get("server") or {})
    if server.get("mlflow_tracking_uri") is not None:
        return config
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    if uri and uri not in _LOCAL_STORES:
        return config | {"server": server | {"mlflow_tracking_uri": uri}}
    tracking = dict(config.get("tracking") or {})
    experiment = dict(tracking.get("experiment") or {})
    place = {"artifact_location": (project / "mlartifacts").as_uri()}
    given = dict(experiment.get("create_experiment_kwargs") or {})
    experiment["create_experiment_kwargs"] = place | given
    local = f"sqlite:///{project / 'mlflow.db'}"
    _LOCAL_STORES.add(local)
    return config | {
        "server": server | {"mlflow_tracking_uri": local},
        "tracking": tracking | {"experiment": experiment},
    }


def set_up(tracking: Callable[[], object]) -> None:
    """Set tracking up; once more if another run made the experiment at the same moment.

    Raises:
        MlflowException: If it cannot be set up.
    """
    try:
        tracking()
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
        tracking()


def rendered(context: KedroContext, secrets: Secrets) -> dict[str, str]:
    """Return the configuration of a run, all layers merged, as YAML by file name.

    The catalog names its credentials and does not hold them; what is secret is hidden.
    """
    parts = {"parameters.yml": context.params, "catalog.yml": context.config_loader["catalog"]}
    return {
        name: yaml.safe_dump(secrets.hide_in(plain(part)), sort_keys=False, allow_unicode=True)
        for name, part in parts.items()
    }


def plain(value: Any) -> Any:
    """Return a parameter as plain values; of a recipe, what is in effect."""
    if isinstance(value, Recipe):
        return value.in_effect()
    if isinstance(value, BaseModel):
        return value.model_dump()
    if isinstance(value, dict):
        return {key: plain(own) for key, own in value.items()}
    return value

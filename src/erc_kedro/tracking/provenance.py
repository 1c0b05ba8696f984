"""Where a run came from: the command, the commit, the version."""

import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from erc_kedro import __version__


def provenance_tags(project: Path, run_params: Mapping[str, Any]) -> dict[str, str]:
    """Return the tags that say how to repeat a run: command, commit, dirty, version."""
    commit = _git(project, "rev-parse", "HEAD")
    changes = None if commit is None else _git(project, "status", "--porcelain")
    dirty = "unknown" if changes is None else str(bool(changes)).lower()
    return {
        "kedro_command": command_line(run_params),
        "git_commit": commit or "unknown",
        "git_dirty": dirty,
        "erc_kedro_version": __version__,
    }


def command_line(run_params: Mapping[str, Any]) -> str:
    """Return the `kedro run` command of a run, with --params and --env.

    It is built from the run's own parameters, so it holds nothing from credentials, and is right
    for a run started from Python too.
    """
    words = ["kedro", "run"]
    names = run_params.get("pipeline_names") or (
        [run_params["pipeline_name"]] if run_params.get("pipeline_name") else []
    )
    if names:
        words.append(f"--pipelines={','.join(names)}")
    if run_params.get("env"):
        words.append(f"--env={run_params['env']}")
    filters = {"tags": "tags", "node_names": "nodes", "from_nodes": "from-nodes"}
    filters |= {"to_nodes": "to-nodes", "from_inputs": "from-inputs", "to_outputs": "to-outputs"}
    filters |= {"namespaces": "namespaces"}
    for key, option in filters.items():
        if run_params.get(key):
            words.append(f"--{option}={','.join(run_params[key])}")
    if run_params.get("only_missing_outputs"):
        words.append("--only-missing-outputs")
    if params := changed_parameters(run_params):
        words.append(f"--params={','.join(params)}")
    return shlex.join(words)


def repeat_command(run_params: Mapping[str, Any], corpus: str) -> str:
    """Return the command that makes all of a run's experiment, whatever part of it ran."""
    kept = {key: run_params.get(key) for key in ("env", "runtime_params")}
    return command_line(kept | {"pipeline_names": [f"augment_{corpus}"]})


def changed_parameters(run_params: Mapping[str, Any], corpus: str = "") -> list[str]:
    """Return the run's --params as "path=value", paths without the corpus that is given."""
    return [
        f"{key.removeprefix(f'{corpus}.')}={'null' if value is None else value}"
        for key, value in flatten(run_params.get("runtime_params") or {}).items()
    ]


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested mappings as one with dotted keys.

    >>> flatten({"a": {"b": 1}, "c": 2})
    {'a.b': 1, 'c': 2}
    """
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _git(project: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=project, capture_output=True, text=True, check=True, timeout=20
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()

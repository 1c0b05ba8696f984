"""Loads released folders as others do: the datasets library, in a process of its own, offline."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_LOAD = """
import json, sys
from datasets import get_dataset_config_names, load_dataset
found = {}
for folder in sys.argv[1:]:
    own = found[folder] = {}
    for name in get_dataset_config_names(folder):
        [(split, rows)] = load_dataset(folder, name).items()
        kinds = {column: str(kind.dtype) for column, kind in rows.features.items()}
        own[name] = [split, len(rows), kinds, rows[0]]
    first = next(iter(own.values()))
    assert len(load_dataset(folder, split="train")) == first[1]  # the default
print(json.dumps(found))
"""


def load_offline(folders: Sequence[Path], home: Path) -> dict[str, dict[str, list[Any]]]:
    """Return by folder and configuration: split, rows, column types and the first row."""
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(home)}
    done = subprocess.run(
        [sys.executable, "-c", _LOAD, *map(str, folders)],
        env=os.environ | offline | {"HF_DATASETS_CACHE": str(home / "datasets")},
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, dict[str, list[Any]]] = json.loads(done.stdout.splitlines()[-1])
    return found

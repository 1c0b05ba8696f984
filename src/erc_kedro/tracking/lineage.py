"""Which data a run used, as MLflow dataset inputs."""

import hashlib
import json

import pandas as pd
from mlflow.entities import Dataset, DatasetInput, InputTag


def table_digest(table: pd.DataFrame) -> str:
    """Return the digest of a table's columns and rows, in their order (16 hex digits)."""
    total = hashlib.sha256("\0".join(map(str, table.columns)).encode())
    total.update(pd.util.hash_pandas_object(table, index=False).to_numpy().tobytes())
    return total.hexdigest()[:16]


def dataset_input(table: pd.DataFrame, *, name: str, context: str, source: str) -> DatasetInput:
    """Return a table as a dataset input: name, digest, columns and size, but no rows.

    Args:
        table: A dialogue table.
        name: What MLflow shows it as.
        context: What it was used for: "training", "validation" or "testing".
        source: The file it was saved to.
    """
    columns = [
        {"name": str(column), "type": _TYPES.get(dtype.kind, "string"), "required": True}
        for column, dtype in table.dtypes.items()
    ]
    profile = {
        "num_rows": len(table),
        "num_elements": table.size,
        "dialogues": table["dialogue_id"].nunique(),
    }
    dataset = Dataset(
        name=name,
        digest=table_digest(table),
        source_type="local",
        source=json.dumps({"uri": source}),
        schema=json.dumps({"mlflow_colspec": columns}),
        profile=json.dumps(profile),
    )
    return DatasetInput(dataset, [InputTag("mlflow.data.context", context)])


_TYPES = {"i": "long", "f": "double", "b": "boolean"}
"""MLflow's column types by numpy's kinds; all else is text."""

"""Datasets in MLflow: name, digest and columns, but no row."""

import json

import pandas as pd
from mlflow import MlflowClient

from erc_kedro.tracking.lineage import dataset_input, table_digest
from tests.builders import sticky_table


def test_the_digest_tells_tables_apart() -> None:
    table = sticky_table(5)
    same = table.copy()
    assert table_digest(same) == table_digest(table)
    relabelled = table.assign(emotion=["joy", *table["emotion"][1:]])
    changes: list[pd.DataFrame] = [
        table.iloc[::-1],
        table.rename(columns={"text": "utterance"}),
        table.iloc[:-1],
        table.assign(text=["other", *table["text"][1:]]),
        relabelled.assign(emotion=["anger", *table["emotion"][1:]]),
    ]
    assert len({table_digest(changed) for changed in [table, *changes]}) == len(changes) + 1


def test_a_run_shows_its_data_but_none_of_its_rows(client: MlflowClient, parent: str) -> None:
    table = sticky_table(5)
    entry = dataset_input(table, name="meld_train", context="training", source="data/t.parquet")
    client.log_inputs(parent, datasets=[entry])
    [found] = client.get_run(parent).inputs.dataset_inputs
    assert found.dataset.name == "meld_train"
    assert found.dataset.digest == table_digest(table)
    assert [(tag.key, tag.value) for tag in found.tags] == [("mlflow.data.context", "training")]
    assert json.loads(found.dataset.profile)["num_rows"] == len(table)
    assert table["text"][0] not in str(found)

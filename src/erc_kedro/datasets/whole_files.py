"""kedro-datasets' file datasets, written whole or not at all."""

import copy
from pathlib import Path, PurePosixPath
from typing import Any

from kedro.io import DatasetError
from kedro_datasets.json import json_dataset
from kedro_datasets.pandas import csv_dataset, parquet_dataset
from kedro_datasets.text import text_dataset

from erc_kedro.modelling.files import replacing


class WholeFile:
    """Makes a dataset's file appear whole or not at all; put before the dataset's class.

    The dataset writes to a hidden file beside its own, which then takes its place. On file
    systems other than the local one it writes as ever: object stores show whole objects only.
    """

    def save(self: Any, data: Any) -> None:
        """Write the data.

        Raises:
            DatasetError: If it cannot be written, or is to be appended.
        """
        write = super().save.__wrapped__  # type: ignore[misc]
        if self._protocol != "file":
            write(self, data)
            return
        if "a" in self._fs_open_args_save.get("mode", ""):
            raise DatasetError(f"{self} is written as a whole; it cannot be appended to.")
        with replacing(Path(self._get_save_path())) as incoming:
            writer = copy.copy(self)
            writer._filepath, writer._version = PurePosixPath(incoming.as_posix()), None
            write(writer, data)


class ParquetDataset(WholeFile, parquet_dataset.ParquetDataset):
    """A table as a Parquet file.

    Example:
        ```yaml
        "{corpus}.texts":
          type: erc_kedro.datasets.ParquetDataset
          filepath: data/04_feature/{corpus}/texts.parquet
          save_args: {index: false}
        ```
    """


class CSVDataset(WholeFile, csv_dataset.CSVDataset):
    """A table as a CSV file; options as those of `pandas.CSVDataset`."""


class JSONDataset(WholeFile, json_dataset.JSONDataset):
    """Plain values as a JSON file; options as those of `json.JSONDataset`."""


class TextDataset(WholeFile, text_dataset.TextDataset):
    """A text file; options as those of `text.TextDataset`."""

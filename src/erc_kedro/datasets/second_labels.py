"""What a second labeller said of stored dialogues, as a dataset."""

from importlib.resources import files
from pathlib import Path
from typing import Any, NoReturn

import pandas as pd
from kedro.io import AbstractDataset, DatasetError

from erc_kedro.core.errors import UserError

COLUMNS = ("dialogue_id", "turn", "emotion")


class SecondLabelsDataset(AbstractDataset[NoReturn, pd.DataFrame]):
    """Reads the labels that somebody who did not know the plan gave to synthetic utterances.

    Without a path it reads those of the corpus's bank, if there are any.

    Example:
        ```yaml
        "{corpus}.second_labels":
          type: erc_kedro.datasets.SecondLabelsDataset
          corpus: "{corpus}"
          path: data/01_raw/labels.csv    # columns dialogue_id, turn, emotion
        ```
    """

    def __init__(
        self, *, corpus: str, path: str | None = None, metadata: dict[str, Any] | None = None
    ) -> None:
        shipped = Path(str(files("erc_kedro") / "bank" / corpus / "second_labels.csv"))
        self._is_own = path is not None
        self._path = Path(path) if path else shipped
        self.metadata = metadata

    def load(self) -> pd.DataFrame:
        """Return the labels: dialogue_id, turn (from 0) and emotion; no rows if there are none.

        Raises:
            UserError: If the named file is not there, or is no such table.
        """
        if not self._path.is_file() and not self._is_own:
            return pd.DataFrame(columns=list(COLUMNS)).astype({"turn": "int64"})
        try:
            table = pd.read_csv(self._path, dtype={"dialogue_id": "str", "emotion": "str"})
            return table[list(COLUMNS)].astype({"turn": "int64"})
        except (OSError, ValueError, KeyError) as error:
            raise UserError(
                "The second labels cannot be read.",
                where=str(self._path),
                expected=f"a CSV file with columns {', '.join(COLUMNS)}, turns counted from 0",
                found=str(error),
                remedy="mend the file, or take its path out of the catalog entry second_labels",
            ) from error

    def save(self, data: NoReturn) -> None:
        """Refuse: labels come from outside."""
        raise DatasetError("Second labels are read only.")

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        return {"path": str(self._path)}

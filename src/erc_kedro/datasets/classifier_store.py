"""An arm's classifier store as a dataset."""

from pathlib import Path
from typing import Any, NoReturn

from kedro.io import AbstractDataset, DatasetError

from erc_kedro.modelling.classifier_store import ClassifierStore


class ClassifierStoreDataset(AbstractDataset[NoReturn, ClassifierStore]):
    """Opens the store that keeps an arm's trained classifiers, one file per seed.

    Example:
        ```yaml
        "{corpus}.{arm}.classifier_store":
          type: erc_kedro.datasets.ClassifierStoreDataset
          path: data/06_models/{corpus}/{arm}
        ```
    """

    def __init__(self, *, path: str, metadata: dict[str, Any] | None = None) -> None:
        self._folder = Path(path)
        self.metadata = metadata

    def load(self) -> ClassifierStore:
        """Return the store; it writes to its folder itself."""
        return ClassifierStore(self._folder)

    def save(self, data: NoReturn) -> None:
        """Refuse: the store is opened, then written to."""
        raise DatasetError("The classifier store is opened, not saved.")

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        return {"folder": str(self._folder)}

"""The feature store as a dataset."""

from pathlib import Path
from typing import Any, NoReturn

from kedro.io import AbstractDataset, DatasetError

from erc_kedro.modelling.features import FeatureStore


class FeatureStoreDataset(AbstractDataset[NoReturn, FeatureStore]):
    """Opens the store that keeps every text's features, shared by all corpora and runs.

    Example:
        ```yaml
        feature_store:
          type: erc_kedro.datasets.FeatureStoreDataset
          path: data/04_feature/store
        ```
    """

    def __init__(self, *, path: str, metadata: dict[str, Any] | None = None) -> None:
        self._folder = Path(path)
        self.metadata = metadata

    def load(self) -> FeatureStore:
        """Return the store; it writes to its folder itself."""
        return FeatureStore(self._folder)

    def save(self, data: NoReturn) -> None:
        """Refuse: the store is opened, then written to."""
        raise DatasetError("The feature store is opened, not saved.")

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        return {"folder": str(self._folder)}

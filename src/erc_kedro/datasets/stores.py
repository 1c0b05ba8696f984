"""The stores that stages fill themselves, as datasets."""

from pathlib import Path
from typing import Any, ClassVar, Generic, NoReturn, TypeVar

from kedro.io import AbstractDataset, DatasetError

from erc_kedro.modelling.cell_store import CellStore
from erc_kedro.modelling.classifier_store import ClassifierStore
from erc_kedro.modelling.encoder_store import EncoderStore
from erc_kedro.modelling.features import FeatureStore

Store = TypeVar("Store")


class StoreDataset(AbstractDataset[NoReturn, Store], Generic[Store]):
    """Opens a store by its folder; the store writes to it."""

    opens: ClassVar[type[Any]]

    def __init__(self, *, path: str, metadata: dict[str, Any] | None = None) -> None:
        self._folder = Path(path)
        self.metadata = metadata

    def load(self) -> Store:
        """Return the store; it writes to its folder itself."""
        return self.opens(self._folder)

    def save(self, data: NoReturn) -> None:
        """Refuse: a store is opened, then written to."""
        raise DatasetError("A store is opened, not saved.")

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        return {"folder": str(self._folder)}


class FeatureStoreDataset(StoreDataset[FeatureStore]):
    """Opens the store that keeps every text's features, shared by all corpora and runs.

    Example:
        ```yaml
        feature_store:
          type: erc_kedro.datasets.FeatureStoreDataset
          path: data/04_feature/store
        ```
    """

    opens = FeatureStore


class EncoderStoreDataset(StoreDataset[EncoderStore]):
    """Opens the store that keeps adapted encoders, shared by all corpora and runs.

    Example:
        ```yaml
        encoder_store:
          type: erc_kedro.datasets.EncoderStoreDataset
          path: data/06_models/encoders
        ```
    """

    opens = EncoderStore


class ClassifierStoreDataset(StoreDataset[ClassifierStore]):
    """Opens the store that keeps an arm's trained classifiers, one file per seed.

    Example:
        ```yaml
        "{corpus}.{arm}.classifier_store":
          type: erc_kedro.datasets.ClassifierStoreDataset
          path: data/06_models/{corpus}/{arm}
        ```
    """

    opens = ClassifierStore


class CellStoreDataset(StoreDataset[CellStore]):
    """Opens the store that keeps what every cell of a study predicted, one file per cell.

    Example:
        ```yaml
        "{corpus}.cell_store":
          type: erc_kedro.datasets.CellStoreDataset
          path: data/07_model_output/{corpus}/study_cells
        ```
    """

    opens = CellStore

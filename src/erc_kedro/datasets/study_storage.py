"""Where studies are kept, as a dataset: a journal file, or a database by its URL."""

from pathlib import Path
from typing import Any, NoReturn

from kedro.io import AbstractDataset, DatasetError

from erc_kedro.core.errors import UserError
from erc_kedro.tuning.storage import StudyStorage


class StudyStorageDataset(AbstractDataset[NoReturn, StudyStorage]):
    """Names the storage of studies; opening it is left to the search.

    Example:
        ```yaml
        study_storage:
          type: erc_kedro.datasets.StudyStorageDataset
          path: data/06_models/studies.journal
        ```

    Args:
        path: A journal file, for the processes of one machine; or
        url: a database's URL, such as postgresql://host:5432/name, without user and password.
        credentials: The whole URL with user and password under `url`, in place of `url`.
        metadata: For kedro-viz.

    Raises:
        UserError: If no place is named, or more than one.
    """

    def __init__(
        self,
        *,
        path: str | None = None,
        url: str | None = None,
        credentials: dict[str, str] | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        if credentials is not None and not (url := credentials.get("url")):
            raise UserError(
                "The address of the studies' storage is not set.",
                where="credentials of study_storage in the catalog",
                expected="{url: postgresql://user:password@host:5432/name}",
                remedy="with --env=cluster: export ERC_STUDY_URL=postgresql://...",
            )
        self._storage = StudyStorage(path=Path(path) if path else None, url=url)
        self.metadata = metadata

    def load(self) -> StudyStorage:
        """Return where studies are kept."""
        return self._storage

    def save(self, data: NoReturn) -> None:
        """Refuse: the search writes to the storage itself."""
        raise DatasetError("A study is opened, not saved.")

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        return {"storage": str(self._storage)}

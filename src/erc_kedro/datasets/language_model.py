"""A language model as a dataset, so that the catalog decides who writes."""

from typing import Any, NoReturn

from kedro.io import AbstractDataset, DatasetError

from erc_kedro.llm import open_language_model
from erc_kedro.llm.protocol import LanguageModel
from erc_kedro.llm.store import CompletionStore
from erc_kedro.llm.stored import StoredLanguageModel


class LanguageModelDataset(AbstractDataset[NoReturn, LanguageModel]):
    """Opens a language-model back-end.

    Example:
        ```yaml
        "{corpus}.language_model":
          type: erc_kedro.datasets.LanguageModelDataset
          backend: bank
          options: {corpus: "{corpus}"}
          store: {path: "data/03_primary/{corpus}/completions.db"}
        ```

    Args:
        backend: One of `erc_kedro.llm.BACKENDS`.
        options: Its options.
        store: Where the completions of a back-end that writes are kept, so that it is never
            asked twice: {path: ...}, relative to the project. Without it nothing is kept.
        credentials: A back-end's secrets, such as {api_key: ...}; shown nowhere.
        metadata: Any.
    """

    def __init__(
        self,
        *,
        backend: str,
        options: dict[str, Any] | None = None,
        store: dict[str, str] | None = None,  # Kedro makes a "path" in an entry absolute
        credentials: dict[str, str] | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        self._backend = backend
        self._options = options or {}
        self._credentials = {"credentials": credentials} if credentials else {}
        self._store = CompletionStore(**store) if store else None
        self.metadata = metadata

    def load(self) -> LanguageModel:
        """Return the language model; it writes to its store itself."""
        model = open_language_model(self._backend, self._options | self._credentials)
        if self._store is None or model.stored_specs is not None:
            return model
        return StoredLanguageModel(model, self._store)

    def save(self, data: NoReturn) -> None:
        """Refuse: a language model is only used."""
        raise DatasetError("A language model is not written by the pipeline.")

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        return {"backend": self._backend, "options": self._options}

"""A language model as a dataset, so that the catalog decides who writes."""

from typing import Any, NoReturn

from kedro.io import AbstractDataset, DatasetError

from erc_kedro.llm import open_language_model
from erc_kedro.llm.protocol import LanguageModel


class LanguageModelDataset(AbstractDataset[NoReturn, LanguageModel]):
    """Opens a language-model back-end.

    Example:
        ```yaml
        "{corpus}.language_model":
          type: erc_kedro.datasets.LanguageModelDataset
          backend: bank
          options: {corpus: "{corpus}"}
        ```
    """

    def __init__(
        self,
        *,
        backend: str,
        options: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        self._backend = backend
        self._options = options or {}
        self.metadata = metadata

    def load(self) -> LanguageModel:
        """Return the language model."""
        return open_language_model(self._backend, self._options)

    def save(self, data: NoReturn) -> None:
        """Refuse: a language model is only used."""
        raise DatasetError("A language model is not written by the pipeline.")

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        return {"backend": self._backend, "options": self._options}

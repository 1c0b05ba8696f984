"""Raw folders as datasets: a corpus's own, and those of the others that are at hand."""

from pathlib import Path
from typing import Any, NoReturn

from kedro.io import AbstractDataset, DatasetError

from erc_kedro.core.corpus import RawCorpus
from erc_kedro.corpora import find_corpus
from erc_kedro.corpora.at_hand import read_others
from erc_kedro.corpora.folder import locate, raw_digest, read_raw


class RawCorpusDataset(AbstractDataset[NoReturn, RawCorpus]):
    """Reads a corpus: its official files if they are in the folder, else the sample.

    Example:
        ```yaml
        "{corpus}.raw":
          type: erc_kedro.datasets.RawCorpusDataset
          corpus: "{corpus}"
          path: data/01_raw/{corpus}
        ```
    """

    def __init__(self, *, corpus: str, path: str, metadata: dict[str, Any] | None = None) -> None:
        self._corpus = find_corpus(corpus)
        self._folder = Path(path)
        self.metadata = metadata

    def load(self) -> RawCorpus:
        """Return the corpus and where it came from."""
        return read_raw(self._corpus, self._folder)

    def save(self, data: NoReturn) -> None:
        """Refuse: raw data is put there by `make data`."""
        raise DatasetError("Raw data is read only; put the official files there with `make data`.")

    def source_and_digest(self) -> tuple[str, str]:
        """Return "official" or "sample", and the digest of the files, without reading tables."""
        return locate(self._corpus, self._folder).source, raw_digest(self._corpus, self._folder)

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        return {"corpus": self._corpus.name, "folder": str(self._folder)}


class OtherCorporaDataset(AbstractDataset[NoReturn, dict[str, RawCorpus]]):
    """Reads all corpora but one, as far as their official files are there.

    Example:
        ```yaml
        "{corpus}.other_corpora":
          type: erc_kedro.datasets.OtherCorporaDataset
          corpus: "{corpus}"
          path: data/01_raw
        ```
    """

    def __init__(self, *, corpus: str, path: str, metadata: dict[str, Any] | None = None) -> None:
        self._corpus = find_corpus(corpus)
        self._folder = Path(path)
        self.metadata = metadata

    def load(self) -> dict[str, RawCorpus]:
        """Return the others by name; of one that cannot be read a warning says why."""
        return read_others(self._corpus.name, self._folder)

    def save(self, data: NoReturn) -> None:
        """Refuse: raw data is put there by `make data`."""
        raise DatasetError("Raw data is read only; put the official files there with `make data`.")

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        return {"but": self._corpus.name, "folder": str(self._folder)}

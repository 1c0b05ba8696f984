"""Raw folders as datasets: a corpus's own, and those of the others that are at hand."""

from pathlib import Path
from typing import Any, NoReturn

from kedro.io import AbstractDataset, DatasetError

from erc_kedro.core.corpus import RawCorpus, digest_of_part, with_part_of_train
from erc_kedro.core.errors import UserError
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

    Args:
        corpus: Name of the corpus.
        path: Its raw folder.
        train_fraction: Part of train's dialogues, in (0, 1], that every stage may see: what would
            be possible if there were no more.
        metadata: For plugins.

    Raises:
        UserError: If there is no such corpus, or no such part.
    """

    def __init__(
        self,
        *,
        corpus: str,
        path: str,
        train_fraction: float = 1.0,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        if not 0 < train_fraction <= 1:
            raise UserError(
                "There is no such part of train.",
                where=f"{corpus}.raw, train_fraction",
                expected="more than 0, at most 1",
                found=str(train_fraction),
            )
        self._corpus = find_corpus(corpus)
        self._folder = Path(path)
        self.train_fraction = train_fraction
        self.metadata = metadata

    def load(self) -> RawCorpus:
        """Return the corpus and where it came from."""
        return with_part_of_train(read_raw(self._corpus, self._folder), self.train_fraction)

    def save(self, data: NoReturn) -> None:
        """Refuse: raw data is put there by `make data`."""
        raise DatasetError("Raw data is read only; put the official files there with `make data`.")

    def source_and_digest(self) -> tuple[str, str]:
        """Return "official" or "sample", and the digest of `load`, without reading tables."""
        digest = raw_digest(self._corpus, self._folder)
        source = locate(self._corpus, self._folder).source
        return source, digest_of_part(digest, self.train_fraction)

    def tags(self) -> dict[str, str]:
        """Return what tells runs on this data from others."""
        source, digest = self.source_and_digest()
        part = str(self.train_fraction)
        found = {"corpus_source": source, "corpus_digest": digest, "corpus_train_fraction": part}
        return {name: value for name, value in found.items() if value != "1.0"}

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        return {
            "corpus": self._corpus.name,
            "folder": str(self._folder),
            "train_fraction": self.train_fraction,
        }


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

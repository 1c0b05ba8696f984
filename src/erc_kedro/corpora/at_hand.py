"""The corpora whose official files lie beside a corpus's own."""

import logging
from pathlib import Path

from erc_kedro.core.corpus import RawCorpus
from erc_kedro.core.errors import UserError
from erc_kedro.corpora import CORPORA
from erc_kedro.corpora.folder import read_raw

logger = logging.getLogger(__name__)


def read_others(name: str, raw_data: Path) -> dict[str, RawCorpus]:
    """Read all corpora but one, as far as their official files are there.

    Args:
        name: The corpus that is left out.
        raw_data: The folder that holds each corpus's raw folder.

    Returns:
        The others by name; of one that cannot be read a warning says why.
    """
    found = {}
    for other, corpus in CORPORA.items():
        folder = raw_data / other
        if other == name or not folder.is_dir() or not any(folder.iterdir()):
            continue
        try:
            raw = read_raw(corpus, folder)
        except UserError as error:
            logger.warning("%s is passed over in the search for leaks: %s", other, error)
            continue
        if raw.source == "official":
            found[other] = raw
    return found

"""Importing: files that people have, and other corpora, become a bank of stored dialogues."""

from erc_kedro.importing.bank import import_file
from erc_kedro.importing.other_corpus import import_corpus

__all__ = ["import_corpus", "import_file"]

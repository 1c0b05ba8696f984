"""Importing: files that people have become a bank of stored dialogues."""

from erc_kedro.importing.bank import import_file

__all__ = ["import_file"]

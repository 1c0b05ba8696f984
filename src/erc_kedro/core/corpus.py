"""What a corpus is, and what reading one yields."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from erc_kedro.core.labels import LabelSet

SPLITS = ("train", "dev", "test")

CorpusSource = Literal["official", "sample"]


@dataclass(frozen=True)
class Corpus:
    """A real benchmark: its label set, its files, and how to read one split.

    Attributes:
        name: The corpus's name; also its Kedro namespace.
        label_set: Its emotions in their fixed order.
        files: Split name to file name, as officially released.
        checksums: File name to SHA-256 of the official file.
        address: Folder address the official files are downloaded from.
        licence: Under which terms the official files come.
        read: Reads one split's file to a dialogue table and a list of findings.
        sample: Folder of the sample that ships with the package, if there is one.
    """

    name: str
    label_set: LabelSet
    files: Mapping[str, str]
    checksums: Mapping[str, str]
    address: str
    licence: str
    read: Callable[[Path, str], tuple[pd.DataFrame, list[str]]] = field(repr=False)
    sample: Path | None = None


@dataclass(frozen=True)
class RawCorpus:
    """A corpus as read: its splits, where they came from, and what is odd about them.

    Attributes:
        name: The corpus's name.
        label_set: Its emotions in their fixed order.
        source: "official" or "sample".
        digest: SHA-256 over the files, the first 16 hex digits.
        splits: One dialogue table per split.
        findings: What the files lack or repeat, per split; nothing of it was mended.
    """

    name: str
    label_set: LabelSet
    source: CorpusSource
    digest: str
    splits: Mapping[str, pd.DataFrame]
    findings: Mapping[str, list[str]]


def digest_of(contents: Mapping[str, bytes]) -> str:
    """Return one digest (16 hex digits) for named file contents, independent of their order."""
    total = hashlib.sha256()
    for name in sorted(contents):
        total.update(name.encode() + b"\0" + hashlib.sha256(contents[name]).digest())
    return total.hexdigest()[:16]


def label_set_of(card: Mapping[str, Any]) -> LabelSet:
    """Return the label set that a corpus card names."""
    return LabelSet(card["corpus"], tuple(card["emotions"]))

"""What a corpus is, in which layouts its files come, and what reading one yields."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from erc_kedro.core.digests import digest_of
from erc_kedro.core.labels import LabelSet
from erc_kedro.core.mixing import draw_real

SPLITS = ("train", "dev", "test")

CorpusSource = Literal["official", "sample"]


@dataclass(frozen=True)
class Layout:
    """One way in which a corpus's files come: which they are, and how to read them.

    Attributes:
        name: What messages call it.
        files: Paths or glob patterns relative to the raw folder; each must match a file.
        read: Reads a folder to a dialogue table and a list of findings per split.
        checksums: File name to SHA-256 of the official file; without any, nothing is checked
            (as for data under licence).
    """

    name: str
    files: tuple[str, ...]
    read: Callable[[Path], Mapping[str, tuple[pd.DataFrame, list[str]]]] = field(repr=False)
    checksums: Mapping[str, str] = field(default_factory=dict, repr=False)


def file_per_split(
    name: str,
    files: Mapping[str, str],
    read: Callable[[Path, str], tuple[pd.DataFrame, list[str]]],
    checksums: Mapping[str, str] | None = None,
) -> Layout:
    """Return the layout of a corpus that has one file for each split.

    Args:
        name: What messages call it.
        files: Split to file name.
        read: Reads one split's file, of the split named, to a dialogue table and findings.
        checksums: File name to SHA-256 of the official file, if it is known.
    """

    def read_folder(folder: Path) -> dict[str, tuple[pd.DataFrame, list[str]]]:
        return {split: read(folder / file, split) for split, file in files.items()}

    return Layout(name, tuple(files.values()), read_folder, checksums or {})


@dataclass(frozen=True)
class Corpus:
    """A real benchmark: its label set, and its files in one or more layouts.

    Attributes:
        name: The corpus's name; also its Kedro namespace.
        label_set: Its emotions in their fixed order.
        layouts: The ways in which its files come; of several complete ones the first is read.
        licence: Under which terms the official files come.
        address: Folder address the first layout's files are downloaded from, if anybody may.
        obtain: Page where the files are asked for, if they cannot be downloaded.
        sample: Folder of the sample that ships with the package, if there is one.
        agreement: How far the people who labelled it agreed, in words, with the source.
    """

    name: str
    label_set: LabelSet
    layouts: tuple[Layout, ...]
    licence: str
    address: str | None = None
    obtain: str | None = None
    sample: Path | None = None
    agreement: str | None = None


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
        agreement: As of `Corpus`.
        train_fraction: Which part of train there is, by dialogues.
    """

    name: str
    label_set: LabelSet
    source: CorpusSource
    digest: str
    splits: Mapping[str, pd.DataFrame]
    findings: Mapping[str, list[str]]
    agreement: str | None = None
    train_fraction: float = 1.0


def with_part_of_train(raw: RawCorpus, train_fraction: float) -> RawCorpus:
    """Return a corpus of whose train a part is left, as if there had never been more of it.

    The part is what a seed of 0 would see of a real fraction. The digest is another one.
    """
    if train_fraction == 1:
        return raw
    train = draw_real(raw.splits["train"], train_fraction, seed=0).drop(columns="seed")
    return replace(
        raw,
        digest=digest_of_part(raw.digest, train_fraction),
        splits={**raw.splits, "train": train},
        train_fraction=train_fraction,
    )


def digest_of_part(digest: str, train_fraction: float) -> str:
    """Return the digest of a corpus of whose train a part is left, from that of the whole."""
    if train_fraction == 1:
        return digest
    return digest_of({"corpus": digest.encode(), "train": repr(train_fraction).encode()})


def held_out_of(raw: RawCorpus) -> pd.DataFrame:
    """Return the texts of dev and test without labels: columns corpus, split and text."""
    parts = [raw.splits[split].assign(corpus=raw.name, split=split) for split in ("dev", "test")]
    return pd.concat(parts, ignore_index=True)[["corpus", "split", "text"]]


def label_set_of(card: Mapping[str, Any]) -> LabelSet:
    """Return the label set that a corpus card names."""
    neutral = card.get("neutral", LabelSet.neutral)
    return LabelSet(card["corpus"], tuple(card["emotions"]), neutral)

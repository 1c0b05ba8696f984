"""A corpus's raw folder: what lies in it, and putting the official files there."""

import hashlib
import http.client
import json
import shutil
import urllib.request
from collections.abc import Iterable
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple

from erc_kedro.core.corpus import Corpus, CorpusSource, Layout, RawCorpus
from erc_kedro.core.digests import digest_of
from erc_kedro.core.errors import UserError

SOURCE_FILE = "SOURCE.json"


class Located(NamedTuple):
    """Which files are read: "official" or "sample", the folder they lie in, and their layout."""

    source: CorpusSource
    folder: Path
    layout: Layout


def locate(corpus: Corpus, folder: Path) -> Located:
    """Decide by what lies in the raw folder which files to read.

    Returns:
        "official", the folder and the layout if all files of a layout are there; "sample", the
        sample's folder and layout if none of any is and the corpus has a sample.

    Raises:
        UserError: If some files are missing, if one differs from the official one, or if there
            is nothing and no sample.
    """
    layout, missing = nearest_layout(corpus, folder)
    if not missing:
        check_sums(corpus, layout, folder)
        return Located("official", folder, layout)
    if len(missing) < len(layout.files):
        or_sample = "; or empty the folder to use the sample corpus" if corpus.sample else ""
        raise UserError(
            f"The folder of {corpus.name} is incomplete.",
            where=str(folder),
            expected=", ".join(layout.files),
            found=f"no {', '.join(missing)}",
            remedy=f"make data CORPUS={corpus.name} [FROM=folder]{or_sample}",
        )
    if corpus.sample is None:
        raise UserError(
            f"The files of {corpus.name} are not there, and it has no sample.",
            where=str(folder),
            expected=_files_of(corpus),
            remedy=_how_to_get(corpus),
        )
    return Located("sample", corpus.sample, nearest_layout(corpus, corpus.sample)[0])


def nearest_layout(corpus: Corpus, folder: Path) -> tuple[Layout, list[str]]:
    """Return the layout that a folder holds most of, and those of its files that are missing."""
    lacking = [
        (layout, [name for name in layout.files if not _matches((name,), folder)])
        for layout in corpus.layouts
    ]
    return min(lacking, key=lambda pair: len(pair[1]) / len(pair[0].files))


def files_in(layout: Layout, folder: Path) -> list[str]:
    """Return the names, relative to a folder, of the files of a layout in it; hidden ones not."""
    return _matches(layout.files, folder)


def _matches(patterns: Iterable[str], folder: Path) -> list[str]:
    paths = (path for pattern in patterns for path in sorted(folder.glob(pattern)))
    names = dict.fromkeys(path.relative_to(folder) for path in paths if path.is_file())
    return [name.as_posix() for name in names if not any(p.startswith(".") for p in name.parts)]


def read_raw(corpus: Corpus, folder: Path) -> RawCorpus:
    """Read a corpus from its raw folder: the official files, or the sample if there are none.

    Raises:
        UserError: As `locate` and the layout's reader do.
    """
    found = locate(corpus, folder)
    read = found.layout.read(found.folder)
    return RawCorpus(
        name=corpus.name,
        label_set=corpus.label_set,
        source=found.source,
        digest=_digest(found),
        splits={split: table for split, (table, _) in read.items()},
        findings={split: findings for split, (_, findings) in read.items()},
        agreement=corpus.agreement if found.source == "official" else None,
    )


def raw_digest(corpus: Corpus, folder: Path) -> str:
    """Return the digest of the files that `read_raw` would read (16 hex digits)."""
    return _digest(locate(corpus, folder))


def _digest(found: Located) -> str:
    names = files_in(found.layout, found.folder)
    return digest_of({name: (found.folder / name).read_bytes() for name in names})


def check_sums(corpus: Corpus, layout: Layout, folder: Path) -> None:
    """Check a layout's files against their official SHA-256 sums, as far as these are known.

    Raises:
        UserError: If the sums differ.
    """
    for name, expected in layout.checksums.items():
        path = folder / name
        if (found := _sha256(path)) != expected:
            raise UserError(
                f"The file is not the official one of {corpus.name}.",
                where=str(path),
                expected=f"SHA-256 {expected}",
                found=f"SHA-256 {found} ({path.stat().st_size} bytes)",
                remedy=f"fetch it again: make data CORPUS={corpus.name}",
            )


def fetch(corpus: Corpus, folder: Path, origin: Path | None = None) -> Path:
    """Put the official files into the raw folder, checked, all of them or none.

    Args:
        corpus: The corpus.
        folder: The raw folder, made if missing.
        origin: A local folder that holds the files of a layout; without it those of the first
            layout are downloaded from the corpus's official address.

    Returns:
        The path of SOURCE.json, which says where the files came from.

    Raises:
        UserError: If a file cannot be had or is not the official one, or if the raw folder holds
            the corpus in another layout.
    """
    incoming = folder / ".incoming"
    try:
        incoming.mkdir(parents=True, exist_ok=True)
        layout = _copy(corpus, origin, incoming) if origin else _download(corpus, incoming)
        check_sums(corpus, layout, incoming)
        there, missing = nearest_layout(corpus, folder)
        if there is not layout and not missing:
            raise UserError(
                f"The folder holds {corpus.name} in another layout.",
                where=str(folder),
                expected=f"layout {layout.name}, or an empty folder",
                found=f"layout {there.name}",
                remedy="empty the folder first",
            )
        sums = {name: _sha256(incoming / name) for name in files_in(layout, incoming)}
        for name in sums:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (incoming / name).replace(folder / name)
        record = {
            "corpus": corpus.name,
            "from": str(origin.resolve()) if origin else corpus.address,
            "fetched": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "licence": corpus.licence,
            "sha256": sums,
        }
        (incoming / SOURCE_FILE).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        return (incoming / SOURCE_FILE).replace(folder / SOURCE_FILE)
    except PermissionError as error:
        raise UserError(
            "The data folder cannot be written.", where=str(folder), found=str(error)
        ) from error
    finally:
        shutil.rmtree(incoming, ignore_errors=True)


def _copy(corpus: Corpus, origin: Path, incoming: Path) -> Layout:
    """Copy the files of the layout that is found in a folder."""
    layout, missing = nearest_layout(corpus, origin)
    if missing:
        raise UserError(
            "The file is not in the given folder.",
            where=str(origin.resolve()),
            expected=_files_of(corpus),
            found=f"no {', '.join(missing)}",
        )
    for name in files_in(layout, origin):
        (incoming / name).parent.mkdir(parents=True, exist_ok=True)
        (incoming / name).write_bytes((origin / name).read_bytes())
    return layout


def _download(corpus: Corpus, incoming: Path) -> Layout:
    """Download the files of the first layout."""
    layout = corpus.layouts[0]
    if corpus.address is None or set("*?[") & set("".join(layout.files)):
        raise UserError(
            f"The files of {corpus.name} cannot be downloaded.",
            expected=_files_of(corpus),
            remedy=_how_to_get(corpus),
        )
    for name in layout.files:
        try:
            with urllib.request.urlopen(corpus.address + name, timeout=60) as reply:
                content = reply.read()
        except (OSError, http.client.HTTPException) as error:
            raise UserError(
                f"{name} could not be downloaded.",
                where=corpus.address + name,
                found=str(error),
                remedy=f"get it by hand, then: make data CORPUS={corpus.name} FROM=folder",
            ) from error
        (incoming / name).write_bytes(content)
    return layout


def _files_of(corpus: Corpus) -> str:
    """Return the files of a corpus in words: those of each layout, if there are several."""
    if len(corpus.layouts) == 1:
        return ", ".join(corpus.layouts[0].files)
    own = (f"{', '.join(layout.files)} (layout {layout.name})" for layout in corpus.layouts)
    return "; or ".join(own)


def _how_to_get(corpus: Corpus) -> str:
    """Return what to do to have the files of a corpus."""
    if corpus.obtain:
        ask = f"ask for the files at {corpus.obtain}, then make data CORPUS={corpus.name}"
        return f"{ask} FROM=folder; licence: {corpus.licence}"
    return f"make data CORPUS={corpus.name} [FROM=folder]; licence: {corpus.licence}"


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()

"""A corpus's raw folder: what lies in it, and putting the official files there."""

import hashlib
import http.client
import json
import shutil
import urllib.request
from datetime import datetime, timezone
from pathlib import Path

from erc_kedro.core.corpus import Corpus, CorpusSource, RawCorpus, digest_of
from erc_kedro.core.errors import UserError

SOURCE_FILE = "SOURCE.json"


def locate(corpus: Corpus, folder: Path) -> tuple[CorpusSource, Path]:
    """Decide by what lies in the raw folder which files to read.

    Returns:
        ("official", folder) if all official files are there; ("sample", the sample's folder) if
        none is and the corpus has a sample.

    Raises:
        UserError: If some files are missing, if one differs from the official one, or if there
            is nothing and no sample.
    """
    names = list(corpus.files.values())
    there = [name for name in names if (folder / name).exists()]
    fetch = f"make data CORPUS={corpus.name} [FROM=folder]"
    if not there:
        if corpus.sample is None:
            raise UserError(
                f"The files of {corpus.name} are not there, and it has no sample.",
                where=str(folder),
                expected=", ".join(names),
                remedy=f"{fetch}; licence: {corpus.licence}",
            )
        return "sample", corpus.sample
    if len(there) < len(names):
        missing = [name for name in names if name not in there]
        raise UserError(
            f"The folder of {corpus.name} is incomplete.",
            where=str(folder),
            expected=", ".join(names),
            found=f"no {', '.join(missing)}",
            remedy=f"{fetch}; or empty the folder to use the sample corpus",
        )
    for name in names:
        check_sum(corpus, folder / name)
    return "official", folder


def read_raw(corpus: Corpus, folder: Path) -> RawCorpus:
    """Read a corpus from its raw folder: the official files, or the sample if there are none.

    Raises:
        UserError: As `locate` and the corpus's reader do.
    """
    source, place = locate(corpus, folder)
    read = {split: corpus.read(place / name, split) for split, name in corpus.files.items()}
    return RawCorpus(
        name=corpus.name,
        label_set=corpus.label_set,
        source=source,
        digest=raw_digest(corpus, folder),
        splits={split: table for split, (table, _) in read.items()},
        findings={split: findings for split, (_, findings) in read.items()},
    )


def raw_digest(corpus: Corpus, folder: Path) -> str:
    """Return the digest of the files that `read_raw` would read (16 hex digits)."""
    _, place = locate(corpus, folder)
    return digest_of({name: (place / name).read_bytes() for name in corpus.files.values()})


def check_sum(corpus: Corpus, path: Path) -> None:
    """Check a file against its official SHA-256 sum.

    Raises:
        UserError: If the sums differ.
    """
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != corpus.checksums[path.name]:
        raise UserError(
            f"The file is not the official one of {corpus.name}.",
            where=str(path),
            expected=f"SHA-256 {corpus.checksums[path.name]}",
            found=f"SHA-256 {found} ({path.stat().st_size} bytes)",
            remedy=f"fetch it again: make data CORPUS={corpus.name}",
        )


def fetch(corpus: Corpus, folder: Path, origin: Path | None = None) -> Path:
    """Put the official files into the raw folder, checked, all of them or none.

    Args:
        corpus: The corpus.
        folder: The raw folder, made if missing.
        origin: A local folder that holds the files; without it they are downloaded from the
            corpus's official address.

    Returns:
        The path of SOURCE.json, which says where the files came from.

    Raises:
        UserError: If a file cannot be had or is not the official one.
    """
    incoming = folder / ".incoming"
    try:
        incoming.mkdir(parents=True, exist_ok=True)
        for name in corpus.files.values():
            (incoming / name).write_bytes(_content(corpus, name, origin))
            check_sum(corpus, incoming / name)
        for name in corpus.files.values():
            (incoming / name).replace(folder / name)
        record = {
            "corpus": corpus.name,
            "from": str(origin.resolve()) if origin else corpus.address,
            "fetched": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "licence": corpus.licence,
            "sha256": {name: corpus.checksums[name] for name in corpus.files.values()},
        }
        (incoming / SOURCE_FILE).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        return (incoming / SOURCE_FILE).replace(folder / SOURCE_FILE)
    except PermissionError as error:
        raise UserError(
            "The data folder cannot be written.", where=str(folder), found=str(error)
        ) from error
    finally:
        shutil.rmtree(incoming, ignore_errors=True)


def _content(corpus: Corpus, name: str, origin: Path | None) -> bytes:
    if origin is not None:
        if not (origin / name).is_file():
            raise UserError(
                "The file is not in the given folder.",
                where=str(origin.resolve()),
                expected=", ".join(corpus.files.values()),
                found=f"no {name}",
            )
        return (origin / name).read_bytes()
    try:
        with urllib.request.urlopen(corpus.address + name, timeout=60) as reply:
            return bytes(reply.read())
    except (OSError, http.client.HTTPException) as error:
        raise UserError(
            f"{name} could not be downloaded.",
            where=corpus.address + name,
            found=str(error),
            remedy=f"get it by hand, then: make data CORPUS={corpus.name} FROM=folder",
        ) from error

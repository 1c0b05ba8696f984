"""A corpus's folder among the releases, replaced as a whole."""

from collections.abc import Mapping
from pathlib import Path

from kedro.io import DatasetError

from erc_kedro.core.errors import UserError
from erc_kedro.corpora import find_corpus
from erc_kedro.datasets import FolderDataset
from erc_kedro.modelling.files import check_writable
from erc_kedro.reporting.release_card import SAMPLE


def copy_release(corpus: str, origin: Path, into: Path) -> tuple[Path, dict[str, bytes]]:
    """Copy what the release pipeline made in place of what is kept.

    Args:
        corpus: The corpus.
        origin: The folder that the pipeline wrote.
        into: The folder of all releases.

    Returns:
        The corpus's folder, and its files by their paths.

    Raises:
        UserError: If there is no release of the real corpus, or the folder cannot be written.
    """
    name = find_corpus(corpus).name
    files = FolderDataset(path=str(origin)).load()
    if "README.md" not in files:
        raise UserError(
            "There is no release to copy.",
            where=str(origin),
            expected="a folder with README.md",
            found=", ".join(files) or "nothing",
            remedy=f"kedro run --pipeline=release_{name}",
        )
    if SAMPLE in files["README.md"].decode("utf-8"):
        raise UserError(
            "A release of the sample corpus is for trying out: it is not kept.",
            where=str(origin),
            expected=f"a release made with the official files of {name}",
            found="its card begins with SAMPLE",
            remedy=f"make data CORPUS={name}, then make release CORPUS={name}",
        )
    return write_folder(name, files, into), files


def write_folder(corpus: str, files: Mapping[str, bytes], into: Path) -> Path:
    """Write a release in place of the one that is kept: as a whole, or not at all.

    Returns:
        The corpus's folder.

    Raises:
        UserError: If it cannot be written.
    """
    check_writable(into, "folder of releases")
    folder = into / corpus
    try:
        FolderDataset(path=str(folder)).save(files)
    except DatasetError as error:
        raise UserError(
            "The release cannot be written.",
            where=str(folder),
            expected="a folder, or nothing, that can be replaced",
            found=str(error.__cause__ or error),
            remedy="check owner, permissions and free space of the folder",
        ) from error
    return folder

"""Files that appear whole or not at all, whatever stops the writer."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile

from erc_kedro.core.errors import UserError


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Give a path to write to; what stands there at the end takes the target's place at once.

    It is a hidden file in the target's folder, ".<name>.<process>.new", so a reader sees the old
    content or the new one. An error removes it. What a killed process left is removed by the
    next writer of the same target.

    Args:
        target: The file to be written; its folder is made if missing. Through a link, the file
            that it points to is replaced.

    Returns:
        The path to write to.
    """
    target = Path(os.path.realpath(target))
    target.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(target)
    incoming = target.with_name(f".{target.name}.{os.getpid()}.new")
    try:
        yield incoming
        _to_disk(incoming)
        incoming.replace(target)
    finally:
        incoming.unlink(missing_ok=True)
    if os.name == "posix":  # a folder cannot be opened elsewhere
        _to_disk(target.parent)


@contextmanager
def replacing_folder(target: Path) -> Iterator[Path]:
    """Give a folder to write into; it takes the target folder's place, whole, at the end.

    As `replacing` does for a file, but that for a moment, between two renames, there may be no
    folder. What stood in the target before is gone then.

    Args:
        target: The folder to be written; its parent is made if missing.

    Returns:
        An empty folder.
    """
    target = Path(os.path.realpath(target))
    target.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(target)
    incoming = target.with_name(f".{target.name}.{os.getpid()}.new")
    former = target.with_name(f".{target.name}.former.{os.getpid()}.new")
    try:
        incoming.mkdir()
        yield incoming
        if target.exists():
            target.rename(former)
        incoming.rename(target)
    finally:
        for left in (incoming, former):
            shutil.rmtree(left, ignore_errors=True)


def check_writable(folder: Path, name: str) -> None:
    """Refuse a folder that cannot be written to, before hours of work are lost on it.

    Args:
        folder: It is made if missing.
        name: What messages call it.

    Raises:
        UserError: With what the operating system says.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(
            f"The {name} cannot be written.",
            where=str(folder),
            expected="a folder that files can be written to",
            found=str(error),
            remedy="check owner, permissions and free space of the folder",
        ) from error


def remove_leftovers(target: Path) -> None:
    """Remove what writers of a file or folder left that are no more."""
    for path in target.parent.glob(f".{target.name}.*.new"):
        process = path.name.split(".")[-2]
        if process.isdecimal() and not _is_running(int(process)):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    if os.name != "posix":  # signal 0 would end it there
        return process != os.getpid()
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # it runs, for somebody else
        pass
    return True


def _to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDWR if path.is_file() else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

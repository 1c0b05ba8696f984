"""`python -m erc_kedro.corpora meld [--from folder]`: fetch a corpus (what `make data` calls)."""

import argparse
import sys
from pathlib import Path

from erc_kedro.core.errors import UserError
from erc_kedro.corpora import CORPORA, find_corpus
from erc_kedro.corpora.folder import fetch, files_in, locate


def main() -> int:
    """Fetch a corpus; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="make data", description="Fetch a corpus's official files."
    )
    parser.add_argument("corpus", help=", ".join(CORPORA))
    parser.add_argument("--from", dest="origin", type=Path, help="a local folder with the files")
    parser.add_argument(
        "--into", type=Path, default=Path("data/01_raw"), help="the raw data folder"
    )
    arguments = parser.parse_args()
    try:
        corpus = find_corpus(arguments.corpus)
        written = fetch(corpus, arguments.into / corpus.name, arguments.origin)
        found = locate(corpus, written.parent)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    n_files = len(files_in(found.layout, found.folder))
    checked = "checksums agree" if found.layout.checksums else f"layout {found.layout.name}"
    print(f"{corpus.name}: {n_files} files, {checked}; see {written}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

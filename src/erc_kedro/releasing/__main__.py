"""`python -m erc_kedro.releasing <corpus> [--into releases]` (`make card`).

With `--from folder`, what the release pipeline made is taken instead (`make release`).
"""

import argparse
import logging
import sys
from pathlib import Path

from erc_kedro.core.errors import UserError
from erc_kedro.core.progress import show_on
from erc_kedro.corpora import CORPORA
from erc_kedro.releasing.card import make_card
from erc_kedro.releasing.folder import copy_release
from erc_kedro.screen import ScreenFormatter, ScreenHandler, choose_display


def main() -> int:
    """Make or copy a release; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="make card", description="Release a corpus's stored dialogues without its real files."
    )
    parser.add_argument("corpus", help=", ".join(CORPORA))
    parser.add_argument("--into", type=Path, default=Path("releases"), help="gets <corpus>/")
    parser.add_argument(
        "--from", dest="origin", type=Path, help="a release made with the real files, to be copied"
    )
    arguments = parser.parse_args()
    _show_work()
    try:
        if arguments.origin:
            folder, files = copy_release(arguments.corpus, arguments.origin, arguments.into)
        else:
            folder, files = make_card(arguments.corpus, Path.cwd(), arguments.into)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        show_on(None)
    size = sum(map(len, files.values())) / 1000
    print(f"{arguments.corpus}: {len(files)} files, {size:,.0f} kB, in {folder}")
    return 0


def _show_work() -> None:
    handler = ScreenHandler()
    handler.setFormatter(ScreenFormatter())
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    logging.getLogger("erc_kedro").setLevel(logging.INFO)
    show_on(choose_display())


if __name__ == "__main__":
    sys.exit(main())

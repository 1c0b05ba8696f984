"""`python -m erc_kedro.importing <corpus> data.json [--mapping mapping.yml]` (`make import`).

With `--other <corpus>` in place of a file, the train split of another corpus is imported.
"""

import argparse
import json
import sys
from pathlib import Path

from erc_kedro.core.errors import UserError
from erc_kedro.core.importing import REASONS
from erc_kedro.corpora import CORPORA
from erc_kedro.importing.bank import REFUSED_ROWS, Import, import_file
from erc_kedro.importing.other_corpus import import_corpus

_MAPPINGS = Path("conf/mappings")


def main() -> int:
    """Import a file, or another corpus; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="make import", description="Make a bank of a file, or of another corpus's train."
    )
    parser.add_argument("corpus", help=", ".join(CORPORA))
    taken = parser.add_mutually_exclusive_group(required=True)
    taken.add_argument("file", type=Path, nargs="?", help=".json, .jsonl, .csv or .parquet")
    taken.add_argument("--other", help=f"another corpus; mapped by {_MAPPINGS}/OTHER_to_CORPUS.yml")
    parser.add_argument("--mapping", type=Path, help="what its columns and labels mean (YAML)")
    parser.add_argument(
        "--into", type=Path, default=Path("data/01_raw"), help="the raw data folder"
    )
    arguments = parser.parse_args()
    try:
        done = _import(arguments.corpus, arguments)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    print("\n".join([*_account(done), "", *_next_steps(done)]))
    return 0


def _import(corpus: str, arguments: argparse.Namespace) -> Import:
    if arguments.other is None:
        return import_file(corpus, arguments.file, arguments.mapping, arguments.into)
    shipped = _MAPPINGS / f"{arguments.other}_to_{corpus}.yml"
    return import_corpus(corpus, arguments.other, arguments.mapping or shipped, arguments.into)


def _account(done: Import) -> list[str]:
    columns = ", ".join(f"{name}: {column}" for name, column in done.columns.named.items())
    lines = [f"columns guessed: {{{columns}}}"] if done.guessed else []
    if done.columns.dialogue_id is None:
        lines.append("no dialogue ids: a flat list, cut into dialogues in file order")
    lines += [f"labels {line}" for line in done.lost]
    lines.append(
        f"{done.n_utterances:,} of {done.n_rows:,} rows are in {done.n_dialogues:,} dialogues of "
        f"strategy {done.strategy!r}: {done.bank}"
    )
    if done.aside:
        n_aside = sum(done.aside.values())
        lines.append(f"{n_aside:,} rows are kept aside: {done.bank.parent / REFUSED_ROWS}")
    for reason, n in done.aside.items():
        lines += [f"  {n:,} {reason} ({done.examples[reason]})", f"    {REASONS[reason]}"]
    return lines


def _next_steps(done: Import) -> list[str]:
    corpus, strategy = done.corpus, done.strategy
    dialogues = {"balanced": 0, "faithful": 0, strategy: done.n_dialogues}
    params = [f"{corpus}.generation.dialogues.{name}={n}" for name, n in dialogues.items()]
    params += [f"{corpus}.{arm}.strategy={strategy}" for arm in ("augmented", "synthetic_only")]
    params += [f"{corpus}.augmented.amount=1.0"]
    return [
        "To use them, put into conf/local/catalog.yml:",
        f"{corpus}.language_model:",
        "  type: erc_kedro.datasets.LanguageModelDataset",
        "  backend: file",
        f"  options: {{folder: {json.dumps(str(done.bank.parent))}}}",
        "and run:",
        f"kedro run --pipeline=augment_{corpus} --params={','.join(params)}",
    ]


if __name__ == "__main__":
    sys.exit(main())

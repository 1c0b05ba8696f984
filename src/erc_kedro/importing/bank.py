"""An imported bank: a file's dialogues as stored pairs, and the rows that are kept aside."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from erc_kedro.core.dialogue import Dialogue, normalise_text
from erc_kedro.core.errors import UserError
from erc_kedro.core.import_mapping import ImportColumns, ImportMapping, guess_columns
from erc_kedro.core.importing import REASONS, Aside, import_rows
from erc_kedro.core.specs import DialogueSpec
from erc_kedro.corpora import find_corpus
from erc_kedro.importing.files import read_mapping, read_rows
from erc_kedro.modelling.files import replacing

REFUSED_ROWS = "refused_rows.parquet"


@dataclass(frozen=True)
class Import:
    """What came of an import.

    Attributes:
        corpus: The corpus for which it is.
        strategy: The strategy's name.
        bank: The file with the dialogues.
        columns: How the table's columns were read.
        guessed: Whether they were guessed.
        n_rows: Rows of the table.
        n_dialogues: Dialogues in the bank.
        n_utterances: Their utterances.
        aside: Rows kept aside by reason.
        examples: Of each reason the first row; the labels, if it is about them.
        lost: What the mapping of another corpus's labels loses, in words.
    """

    corpus: str
    strategy: str
    bank: Path
    columns: ImportColumns
    guessed: bool
    n_rows: int
    n_dialogues: int
    n_utterances: int
    aside: dict[str, int]
    examples: dict[str, str]
    lost: Sequence[str] = ()


def import_file(corpus: str, file: Path, mapping: Path | None, into: Path) -> Import:
    """Make a bank of a file.

    Args:
        corpus: The corpus whose emotions the labels are.
        file: What `files.read_rows` reads.
        mapping: A mapping file; without it the columns are guessed.
        into: The raw data folder: the bank is its "<corpus>_imported/<strategy>.jsonl", beside it
            lie the rows kept aside, of all strategies. What an earlier import wrote under the
            same strategy is replaced.

    Raises:
        UserError: If the file or the mapping cannot be used, or nothing of it; nothing is written
            then.
    """
    label_set = find_corpus(corpus).label_set
    how = read_mapping(mapping) if mapping else ImportMapping()
    rows, names = read_rows(file, how.encoding)
    columns = how.columns or guess_columns(names, str(file))
    if missing := [own for own in columns.named.values() if own not in names]:
        raise UserError(
            "Missing column.",
            where=str(file),
            expected=", ".join(columns.named.values()),
            found=f"no {', '.join(missing)}; the file has {', '.join(names)}",
            remedy="name the columns as they are in the mapping file, columns: {...}",
        )
    dialogues, aside = import_rows(rows, columns, how, label_set, f"{corpus}-{how.strategy}")
    return write_import(
        corpus,
        how.strategy,
        dialogues,
        aside,
        source=str(file),
        n_rows=len(rows),
        columns=columns,
        guessed=how.columns is None,
        into=into,
    )


def write_import(
    corpus: str,
    strategy: str,
    dialogues: Sequence[Dialogue],
    aside: Sequence[Aside],
    *,
    source: str,
    n_rows: int,
    columns: ImportColumns,
    into: Path,
    guessed: bool = False,
    lost: Sequence[str] = (),
) -> Import:
    """Write a bank and the rows kept aside.

    Args:
        corpus: The corpus it is for.
        strategy: The strategy's name.
        dialogues: What the bank shall hold.
        aside: What is kept aside, in file order.
        source: What was read, for messages.
        n_rows: How many rows it had.
        columns: How its columns were read.
        into: The raw data folder.
        guessed: Whether the columns were guessed.
        lost: What a mapping of labels loses.

    Raises:
        UserError: If there is no dialogue, or the folder cannot be written.
    """
    found = Counter(own.reason for own in aside)
    counts = {why: found[why] for why in REASONS if found[why]}
    examples = {why: _example([own for own in aside if own.reason == why]) for why in counts}
    if not dialogues:
        raise UserError(
            "No row of it can be used.",
            where=source,
            found="; ".join(f"{n} {why} ({examples[why]})" for why, n in counts.items()),
            remedy="; ".join(f"{why}: {REASONS[why]}" for why in counts),
        )
    bank = into / f"{corpus}_imported" / f"{strategy}.jsonl"
    try:
        _write_aside(bank.parent / REFUSED_ROWS, strategy, aside)
        _write_bank(bank, strategy, dialogues)
    except OSError as error:
        raise UserError(
            "The bank cannot be written.", where=str(bank.parent), found=str(error)
        ) from error
    return Import(
        corpus,
        strategy,
        bank,
        columns,
        guessed,
        n_rows,
        len(dialogues),
        sum(len(dialogue.turns) for dialogue in dialogues),
        counts,
        examples,
        lost,
    )


def spec_of(dialogue: Dialogue, strategy: str) -> DialogueSpec:
    """Return the spec that an imported dialogue fulfils: nothing else was planned."""
    return DialogueSpec(
        id=dialogue.id,
        strategy=strategy,
        scenario="not stated",
        n_speakers=len({normalise_text(turn.speaker) for turn in dialogue.turns}),
        emotions=tuple(turn.emotion for turn in dialogue.turns),
    )


def _write_bank(path: Path, strategy: str, dialogues: Sequence[Dialogue]) -> None:
    with replacing(path) as incoming, incoming.open("w", encoding="utf-8", newline="\n") as lines:
        for dialogue in dialogues:
            turns = [asdict(turn) for turn in dialogue.turns]
            pair = {"spec": spec_of(dialogue, strategy).to_dict(), "completion": {"turns": turns}}
            lines.write(json.dumps(pair, ensure_ascii=False) + "\n")


def _write_aside(path: Path, strategy: str, aside: Sequence[Aside]) -> None:
    rows = [
        (strategy, own.row.number, own.row.line, own.reason, own.detail, _shown(own.row.values))
        for own in aside
    ]
    table = pd.DataFrame(rows, columns=["strategy", "row", "line", "reason", "detail", "content"])
    types = {"row": "int64", "line": "Int64"}
    table = table.astype(dict.fromkeys(table.columns, "str") | types)
    if path.exists():
        others = pd.read_parquet(path)
        table = pd.concat([others[others["strategy"] != strategy], table], ignore_index=True)
    with replacing(path) as incoming:
        table.to_parquet(incoming, index=False)


def _example(aside: Sequence[Aside]) -> str:
    example = f"first in row {aside[0].row.number}"
    if "label" not in aside[0].reason:
        return f"{example}: {aside[0].detail}"
    labels = Counter(own.detail for own in aside)
    more = f", {len(labels) - 10} others" if len(labels) > 10 else ""
    return ", ".join(f"{label} {n:,}" for label, n in labels.most_common(10)) + f"{more}; {example}"


def _shown(values: Any) -> str:
    text = values if isinstance(values, str) else json.dumps(values, default=str)
    return text.encode("utf-8", "backslashreplace").decode()

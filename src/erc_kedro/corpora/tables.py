"""What every reader of a delimited file shares: strict reading, and findings about the result."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import pandas as pd

from erc_kedro.core.dialogue import normalise_text, words
from erc_kedro.core.errors import UserError
from erc_kedro.core.labels import LabelSet


def read_table(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """Read a UTF-8 CSV file, every column as text.

    Args:
        path: The file.
        columns: The columns it must have; others are kept.

    Returns:
        The table, with a column `line`: where in the file each row begins.

    Raises:
        UserError: If the file is empty, not UTF-8, no table, or lacks a column.
    """
    content = path.read_bytes()
    if not content.strip():
        raise UserError(
            "Empty file.",
            where=str(path),
            expected=f"a table with columns {', '.join(columns)}",
            found=f"{len(content)} bytes",
            remedy="fetch the file again (make data)",
        )
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(
            "The file is not UTF-8.",
            where=f"{path}, line {line}",
            expected="UTF-8 text, as officially released",
            found=f"byte 0x{content[error.start]:02x} at position {error.start}",
            remedy="fetch the official file again, or convert it: iconv -f cp1252 -t utf-8",
        ) from error
    try:
        table = pd.read_csv(
            BytesIO(content), dtype="str", keep_default_na=False, encoding="utf-8-sig"
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise UserError("The file is no CSV table.", where=str(path), found=str(error)) from error
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise UserError(
            "Missing column.",
            where=str(path),
            expected=", ".join(columns),
            found=f"no {', '.join(missing)}; the file has {', '.join(table.columns)}",
            remedy="use the official file, or rename the columns",
        )
    if table.empty:
        raise UserError("The split has no rows.", where=str(path), found="a header alone")
    if not isinstance(table.index, pd.RangeIndex):
        raise UserError(
            "The rows have more fields than the header.",
            where=str(path),
            expected=f"{len(table.columns)} fields",
            remedy="put quotes around texts that hold commas",
        )
    breaks = table.apply(lambda column: column.str.count("\n")).sum(axis=1)
    return table.assign(line=range(2, len(table) + 2) + breaks.cumsum() - breaks)


def finish_table(
    table: pd.DataFrame, label_set: LabelSet, path: Path
) -> tuple[pd.DataFrame, list[str]]:
    """Check a table as read and bring it into the common shape.

    Args:
        table: Columns dialogue_id, utterance_id, speaker, original_text, emotion, as text, and,
            for messages alone, line: its number in the file, or the place in words.
        label_set: The emotions allowed; case and outer white space do not matter.
        path: The file it was read from, for messages.

    Returns:
        The table, sorted by utterance within each dialogue, with `turn`, normalised `text` and
        `source`; and its findings. Nothing is dropped or mended.

    Raises:
        UserError: If an utterance number is no integer, a turn stands twice, or an emotion is
            unknown.
    """
    table = table.assign(emotion=table["emotion"].str.strip().str.lower())
    unknown = ~table["emotion"].isin(label_set.emotions)
    if unknown.any():
        first = int(unknown.to_numpy().argmax())
        label_set.codes(
            table.loc[unknown, "emotion"], where=place_in(path, table["line"].iloc[first])
        )
    numbers = whole_numbers(table, "utterance_id", "An utterance number", path)
    table = table.assign(utterance_id=numbers)
    twice = table.duplicated(["dialogue_id", "utterance_id"])
    if twice.any():
        first = int(twice.to_numpy().argmax())
        row = table.iloc[first]
        raise UserError(
            "A turn stands twice.",
            where=place_in(path, table["line"].iloc[first]),
            expected="every utterance number once in a dialogue",
            found=f"utterance {row['utterance_id']} of dialogue {row['dialogue_id']} again",
            remedy="fetch the official file again; a joined or edited copy may repeat rows",
        )
    order = pd.Series(pd.factorize(table["dialogue_id"])[0], index=table.index)
    table = table.assign(_order=order).sort_values(["_order", "utterance_id"], kind="stable")
    table = table.drop(columns=["_order", "line"]).reset_index(drop=True)
    table = table.assign(
        turn=table.groupby("dialogue_id", sort=False).cumcount(),
        speaker=table["speaker"].map(normalise_text),
        text=table["original_text"].map(normalise_text),
        source="real",
    )
    front = ["dialogue_id", "turn", "speaker", "text", "emotion", "source"]
    return table[[*front, *(c for c in table.columns if c not in front)]], _findings(table)


def whole_numbers(table: pd.DataFrame, column: str, what: str, path: Path) -> pd.Series:
    """Return a column of text as integers.

    Args:
        table: The table, with `line` for messages.
        column: Which of its columns.
        what: What the message calls such a number.
        path: The file it was read from.

    Raises:
        UserError: At the first that is none.
    """
    numbers = pd.to_numeric(table[column], errors="coerce")
    broken = ~(numbers % 1 == 0)  # no number, or no whole one
    if broken.any():
        first = int(broken.to_numpy().argmax())
        raise UserError(
            f"{what} is no integer.",
            where=place_in(path, table["line"].iloc[first]),
            found=repr(table[column].iloc[first]),
        )
    return numbers.astype("int64")


def place_in(path: Path, line: int | str) -> str:
    """Return where something stands, for messages: a line number, or the place in words."""
    return f"{path}, {line}" if isinstance(line, str) else f"{path}, line {line}"


def _findings(table: pd.DataFrame) -> list[str]:
    """Say what a split lacks or repeats."""
    groups = table.groupby("dialogue_id", sort=False)
    lengths = groups.size()
    first, last = groups["utterance_id"].min(), groups["utterance_id"].max()
    gaps = int((last - first + 1 > lengths).sum())
    late = int((first > first.min()).sum())
    repeats = int(table.duplicated(["dialogue_id", "speaker", "original_text", "emotion"]).sum())
    keyed = table.assign(key=table["text"].map(lambda text: " ".join(words(text))))
    labels = keyed.groupby("key")["emotion"].nunique()
    conflicting = int((labels > 1).sum())
    wordless = int((keyed["key"] == "").sum())
    mended = int((table["original_text"].str.contains("[\x80-\x9f]", regex=True)).sum())
    wanted = {
        "dialogues have gaps in their utterance numbers": gaps,
        "dialogues start after the first utterance number": late,
        "dialogues have a single turn": int((lengths == 1).sum()),
        "rows repeat an earlier row of their dialogue": repeats,
        "normalised utterances carry more than one emotion": conflicting,
        "utterances have no word": wordless,
        "utterances hold remains of Windows-1252, repaired in `text`": mended,
    }
    return [f"{count} {what}" for what, count in wanted.items() if count]

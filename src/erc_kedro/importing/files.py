"""Reading what people have: JSON, JSON lines, CSV and Parquet, as rows with their numbers."""

import csv
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from erc_kedro.core.errors import UserError
from erc_kedro.core.import_mapping import ImportMapping
from erc_kedro.core.importing import Row

Table = tuple[list[Row], list[str]]
"""Rows in file order, and the names of the columns."""


def read_mapping(path: Path) -> ImportMapping:
    """Read a mapping file.

    Raises:
        UserError: If there is none, or it is no mapping.
    """
    try:
        values = yaml.safe_load(_decode(path, _content(path), "utf-8"))
        return ImportMapping.model_validate({} if values is None else values)
    except yaml.YAMLError as error:
        raise UserError("The mapping is no YAML.", where=str(path), found=str(error)) from error
    except ValidationError as error:
        raise UserError(
            "The mapping cannot be used.",
            where=str(path),
            expected=", ".join(ImportMapping.model_fields),
            found="; ".join(
                f"{'.'.join(map(str, own['loc'])) or 'the file'}: {own['msg']}"
                for own in error.errors()
            ),
            remedy="see docs/your_own_data.md",
        ) from error


def read_rows(path: Path, encoding: str) -> Table:
    """Read a table.

    Args:
        path: A .json, .jsonl (.ndjson), .csv (.tsv) or .parquet file.
        encoding: Of a text file.

    Returns:
        The rows in file order, broken lines among them, and the names of the columns.

    Raises:
        UserError: If there is no such file, or it is empty, no text of the encoding, or no table.
    """
    kind = path.suffix.lower()
    if kind not in _READERS and kind != ".parquet":
        raise UserError(
            "A file of an unknown type.",
            where=str(path),
            expected=", ".join([*_READERS, ".parquet"]),
            found=repr(kind),
        )
    content = _content(path)
    if not content.strip():
        raise UserError("Empty file.", where=str(path), found=f"{len(content)} bytes")
    if kind == ".parquet":
        rows, names = _parquet(path)
    else:
        rows, names = _READERS[kind](path, _decode(path, content, encoding))
    if not rows:
        raise UserError("The table has no rows.", where=str(path))
    if twice := [name for name, n in Counter(names).items() if n > 1]:
        raise UserError("A column stands twice.", where=str(path), found=", ".join(twice))
    return rows, names


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(
            "The file cannot be read.", where=str(path), found=error.strerror or str(error)
        ) from error


def _decode(path: Path, content: bytes, encoding: str) -> str:
    try:
        return content.decode("utf-8-sig" if encoding == "utf-8" else encoding)
    except (UnicodeDecodeError, LookupError) as error:
        at = error.start if isinstance(error, UnicodeDecodeError) else 0
        before = content[:at]
        raise UserError(
            f"The file is not {encoding.upper()}.",
            where=_where(path, before.count(b"\n") + 1, at - before.rfind(b"\n")),
            found=str(error),
            remedy="name its encoding in the mapping file, as in encoding: cp1252",
        ) from error


def _where(path: Path, line: int, column: int | None = None) -> str:
    return f"{path}, line {line}" + (f", column {column}" if column is not None else "")


def _parquet(path: Path) -> Table:
    from pyarrow import ArrowException, parquet

    try:
        table = parquet.read_table(path)
    except (ArrowException, OSError) as error:
        raise UserError("The file is no Parquet.", where=str(path), found=str(error)) from error
    return _numbered(table.to_pylist()), list(table.column_names)


def _json(path: Path, text: str) -> Table:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        if _starts_with_object_line(text):
            return _json_lines(path, text)
        line, column = getattr(error, "lineno", 1), getattr(error, "colno", None)
        raise UserError(
            "The file is no JSON.", where=_where(path, line, column), found=str(error)
        ) from error
    if isinstance(value, dict) and isinstance(value.get("data"), list | dict):
        value = value["data"]
    if isinstance(value, dict) and value and all(isinstance(own, list) for own in value.values()):
        lengths = {name: len(own) for name, own in value.items()}
        if len(set(lengths.values())) > 1:
            raise UserError(
                "The columns are not equally long.",
                where=str(path),
                found=", ".join(f"{name}: {n}" for name, n in lengths.items()),
            )
        value = [dict(zip(value, own, strict=True)) for own in zip(*value.values(), strict=True)]
    if not isinstance(value, list):
        raise UserError(
            "The file holds no table.",
            where=str(path),
            expected='a list of objects, an object of lists, or {"data": ...} with one of them',
            found=f"{text.strip()[:60]}...",
        )
    rows = _numbered(value)
    return rows, _names(rows)


def _starts_with_object_line(text: str) -> bool:
    """Say whether a text that is no JSON may be JSON lines."""
    first, _, others = text.strip().partition("\n")
    try:
        return bool(others) and isinstance(json.loads(first), dict)
    except (ValueError, RecursionError):
        return False


def _json_lines(path: Path, text: str) -> Table:
    rows: list[Row] = []
    for line, own in enumerate(text.split("\n"), start=1):
        if not own.strip():
            continue
        try:
            value, problem = json.loads(own), ""
        except (ValueError, RecursionError) as error:
            value, problem = own, str(error)
        rows.append(_row(len(rows) + 1, value, line, problem))
    return rows, _names(rows)


def _csv(path: Path, text: str) -> Table:
    header = text.lstrip().partition("\n")[0]
    delimiter = max(",;\t", key=header.count)
    reader = csv.reader(StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: list[Row] = []
    names: list[str] = []
    try:
        while True:
            line = reader.line_num + 1
            fields = next(reader, None)
            if fields is None:
                break
            if not fields:  # a blank line
                continue
            if not names:
                names = [name.strip() for name in fields]
            elif len(fields) != len(names):
                problem = f"{len(fields)} fields, the header has {len(names)}"
                rows.append(Row(len(rows) + 1, delimiter.join(fields), line, problem))
            else:
                rows.append(Row(len(rows) + 1, dict(zip(names, fields, strict=True)), line))
    except csv.Error as error:
        raise UserError(
            "The file is no CSV table.",
            where=_where(path, line),
            found=str(error),
            remedy='put quotes around texts that hold separators or quotes; inside, write ""',
        ) from error
    return rows, names


def _numbered(values: Sequence[Any]) -> list[Row]:
    return [_row(number, value) for number, value in enumerate(values, start=1)]


def _row(number: int, value: Any, line: int | None = None, problem: str = "") -> Row:
    if not problem and not isinstance(value, dict):
        problem = "no object"
    return Row(number, value, line, problem)


def _names(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(name for row in rows if not row.problem for name in row.values))


_READERS: Mapping[str, Callable[[Path, str], Table]] = {
    ".json": _json,
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".csv": _csv,
    ".tsv": _csv,
}

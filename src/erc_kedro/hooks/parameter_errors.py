"""What Kedro says of parameters that it cannot take, in the words of this project's errors."""

import re
from collections.abc import Iterator
from difflib import get_close_matches

from kedro.validation.exceptions import ParameterValidationError

from erc_kedro.core.parameters import ParameterGroup

_GROUP = re.compile(
    r"^- Parameter '([^']+)': Failed to instantiate (\w+) for parameter .*\n", re.MULTILINE
)
_FAULT = re.compile(
    r"(?P<path>\S.*)?\n?  (?P<what>[^\n]+(?:\n(?!    For further)[^\n]*)*?)"
    r" \[type=(?P<type>\w+)(?:, input_value=(?P<found>.*?), input_type=(?P<of>\w+))?\]"
    r"(?:\n    For further information .*)?\n?"
)
_SHOWN = {"int", "float", "str", "bool", "NoneType"}
"""What comes as one of these is short enough to be shown."""


def said_plainly(error: ParameterValidationError) -> str:
    """Return which parameters are refused and why, a line each; Kedro's text if that is another."""
    lines = list(_lines(str(error)))
    if not lines:
        return str(error)
    head = "A parameter is refused." if len(lines) == 1 else f"{len(lines)} parameters are refused."
    remedy = "  what to do: correct it; docs/configuration.md has names, ranges and defaults"
    return "\n".join([head, *(f"  {line}" for line in lines), remedy])


def _lines(text: str) -> Iterator[str]:
    _, *parts = _GROUP.split(text)
    for group, model, faults in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
        for fault in _FAULT.finditer(faults):
            path = fault["path"]
            where = f"{group}.{path}" if path else group
            if fault["type"] == "extra_forbidden":
                yield f"{where}: there is no such parameter{_meant(str(path), model)}"
                continue
            what = fault["what"].removeprefix("Value error, ").replace("Input should", "must")
            what = what.partition(", unable to parse")[0].replace("valid tuple", "list")
            found = f", not {fault['found']}" if fault["of"] in _SHOWN else ""
            yield f"{where}: {what}{found}"


def _kinds_of(group: type[ParameterGroup]) -> Iterator[type[ParameterGroup]]:
    for kind in group.__subclasses__():
        yield kind
        yield from _kinds_of(kind)


def _meant(path: str, model: str) -> str:
    """Return a question for the nearest name of a group's, if one is near."""
    groups = {kind.__name__: kind for kind in _kinds_of(ParameterGroup)}
    if model not in groups:
        return ""
    schema = groups[model].model_json_schema()
    known = [*schema["properties"]]
    for nested in schema.get("$defs", {}).values():
        known += nested.get("properties", {})
    nearest = get_close_matches(path.rpartition(".")[2], known, n=1)
    return f"; did you mean {nearest[0]}?" if nearest else ""

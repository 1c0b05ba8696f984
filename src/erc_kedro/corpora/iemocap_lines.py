"""The two kinds of files in IEMOCAP's official release, line by line: who said what, and how."""

import re
from pathlib import Path
from typing import NamedTuple

from erc_kedro.core.errors import UserError

_NUMBER = r"([0-9.]+|nan)"
_SPOKEN = re.compile(rf"(\S+)\s+\[{_NUMBER}\s*-\s*{_NUMBER}\]\s*:(.*)", re.DOTALL)
_JUDGED = re.compile(
    rf"\[{_NUMBER}\s*-\s*{_NUMBER}\]\s+(\S+)\s+(\w+)\s+"
    rf"\[{_NUMBER},\s*{_NUMBER},\s*{_NUMBER}\]\s*",
    re.IGNORECASE,
)
_VOTE = re.compile(r"C-E\w*:([^\t(]*\t?[^\t(]*)")


class Spoken(NamedTuple):
    """An utterance as transcribed: "F" or "M", what is said, and from when to when in seconds."""

    gender: str
    text: str
    start: float
    end: float


class Judged(NamedTuple):
    """An utterance as evaluated.

    Attributes:
        code: The emotion that most annotators named, such as "neu"; "xxx" if they did not agree.
        valence: From 1 (negative) to 5, mean over the annotators.
        activation: From 1 (calm) to 5.
        dominance: From 1 (weak) to 5.
        votes: What each annotator named, lower-cased: "neutral;anger,frustration" is one who
            named neutral, and one who named two.
    """

    code: str
    valence: float
    activation: float
    dominance: float
    votes: str


def read_transcription(path: Path) -> tuple[dict[str, Spoken], list[int]]:
    """Read a file of dialog/transcriptions; its name is the dialogue's id.

    Returns:
        The utterances by id, in the order of the file; and the numbers of the lines passed over:
        those without a time, of another form ("M: ..."), of another dialogue, or with an id that
        was there before. Blank lines are not among them.
    """
    owner = re.compile(rf"{re.escape(path.stem)}_([FM])\w+")
    spoken: dict[str, Spoken] = {}
    odd: list[int] = []
    for number, line in _lines(path):
        found = _SPOKEN.fullmatch(line)
        whose = owner.fullmatch(found[1]) if found else None
        times = _floats(*found.group(2, 3)) if found else None
        if found and whose and times and found[1] not in spoken:
            spoken[found[1]] = Spoken(whose[1], found[4].strip(), *times)
        else:
            odd.append(number)
    return spoken, odd


def read_evaluation(path: Path) -> dict[str, Judged]:
    """Read a file of dialog/EmoEvaluation.

    The speakers' own reports (C-F1, C-M1) are no votes, and each annotator's valence, activation
    and dominance are passed over: their means stand in the line of the utterance.

    Returns:
        The evaluations by utterance id.

    Raises:
        UserError: If an utterance's line cannot be read, or one stands twice.
    """
    judged: dict[str, Judged] = {}
    current = None
    for number, line in _lines(path):
        if line.startswith("["):
            current = _utterance(line, judged, f"{path}, line {number}")
        elif current and (vote := _VOTE.match(line)):
            named = [name.strip().lower() for name in vote[1].split(";")]
            own = ",".join(name for name in named if name)
            votes = ";".join(filter(None, [judged[current].votes, own]))
            judged[current] = judged[current]._replace(votes=votes)
    return judged


def _utterance(line: str, judged: dict[str, Judged], where: str) -> str:
    """Add the utterance of a line to those read; return its id."""
    found = _JUDGED.fullmatch(line)
    means = _floats(*found.group(5, 6, 7)) if found else None
    if not found or not means:
        raise UserError(
            "The line of an utterance cannot be read.",
            where=where,
            expected="[start - end] utterance emotion [valence, activation, dominance]",
            found=repr(line[:120]),
            remedy="copy the file from the official release again",
        )
    if found[3] in judged:
        raise UserError(
            "An utterance is evaluated twice.",
            where=where,
            found=found[3],
            remedy="copy the file from the official release again",
        )
    judged[found[3]] = Judged(found[4].lower(), means[0], means[1], means[2], votes="")
    return found[3]


def _floats(*numbers: str) -> list[float] | None:
    """Return numbers, or None if one is none, such as "1.2.3"."""
    try:
        return [float(number) for number in numbers]
    except ValueError:
        return None


def _lines(path: Path) -> list[tuple[int, str]]:
    r"""Return the lines of a file that are not blank, numbered from 1.

    What is not UTF-8 is taken for Latin-1, byte by byte: `normalise_text` mends the rest. Lines
    end with \n or \r\n alone: in Latin-1 an ellipsis is a line end to `str.splitlines`.
    """
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    lines = (line.removesuffix("\r") for line in text.split("\n"))
    return [(number, line) for number, line in enumerate(lines, start=1) if line.strip()]

"""IEMOCAP (Busso et al., 2008): acted and improvised scenes between two people, six emotions.

It comes under licence, on request. Two layouts are read: the official release, and JSON files that
are common in research code. Utterances of other classes (no agreement, surprise, fear, disgust,
other, not evaluated) stay in their dialogues as context: see `core.labels.OTHER`.
"""

import re
from collections.abc import Sequence
from math import nan
from pathlib import Path
from typing import Annotated, Any, Literal

import pandas as pd
from pydantic import BaseModel, Field, TypeAdapter, ValidationError, model_validator

from erc_kedro.core.corpus import Corpus, Layout
from erc_kedro.core.dialogue import COLUMNS, normalise_text, words
from erc_kedro.core.errors import UserError
from erc_kedro.core.labels import OTHER, VOTES, LabelSet
from erc_kedro.corpora.iemocap_lines import Judged, read_evaluation, read_transcription

LABELS = LabelSet("iemocap", ("happy", "sad", "neutral", "angry", "excited", "frustrated"))

Read = dict[str, tuple[pd.DataFrame, list[str]]]

_CODES = dict(zip(("hap", "sad", "neu", "ang", "exc", "fru"), LABELS.emotions, strict=True))
_NAMES = {
    "happiness": "happy",
    "happy": "happy",
    "sadness": "sad",
    "sad": "sad",
    "neutral": "neutral",
    "neutral state": "neutral",
    "anger": "angry",
    "angry": "angry",
    "excited": "excited",
    "excitement": "excited",
    "frustration": "frustrated",
    "frustrated": "frustrated",
}
"""What annotators call the emotions of the label set."""

_NOT_EVALUATED = Judged("not evaluated", nan, nan, nan, votes="")
_TRANSCRIPTIONS = tuple(f"Session{n}/dialog/transcriptions/Ses*.txt" for n in range(1, 6))
_EVALUATIONS = tuple(f"Session{n}/dialog/EmoEvaluation/Ses*.txt" for n in range(1, 6))
_JSON = {"train": "iemocap.train.json", "dev": "iemocap.valid.json", "test": "iemocap.test.json"}
_SHOWN_PLACES = 5


def read_official(folder: Path) -> Read:
    """Read the official release: the folders Session1 to Session5.

    Session 5 is test. Of the dialogues of sessions 1 to 4, sorted by id, every tenth is dev: 12 of
    120, as many as other authors take, who publish no list of theirs.

    Returns:
        Per split the dialogue table and the findings. A speaker is named by session and gender,
        "Ses01_F". Further columns: utterance_id; start and end in seconds; valence, activation
        and dominance, from 1 to 5, NaN if not evaluated; votes, what the annotators named (see
        `iemocap_lines.Judged`); vote_<emotion>, the emotion's share of these votes within the label
        set (see `core.labels.VOTES`; who names several splits the vote); original_text.

    Raises:
        UserError: If a dialogue's transcription or evaluation is missing or cannot be read.
    """
    spoken = {path.stem: path for glob in _TRANSCRIPTIONS for path in folder.glob(glob)}
    judged = {path.stem: path for glob in _EVALUATIONS for path in folder.glob(glob)}
    if alone := sorted(spoken.keys() ^ judged.keys()):
        raise UserError(
            "A dialogue lacks one of its two files.",
            where=str(folder),
            expected=f"{alone[0]}.txt in transcriptions and in EmoEvaluation",
            found=f"only {spoken.get(alone[0]) or judged[alone[0]]}",
            remedy="copy the official release again",
        )
    test = sorted(name for name in spoken if name.startswith("Ses05"))
    others = sorted(spoken.keys() - set(test))
    dev = others[9::10]
    splits = {"train": sorted(set(others) - set(dev)), "dev": dev, "test": test}
    return {
        split: _official([(spoken[name], judged[name]) for name in names], f"{folder}, {split}")
        for split, names in splits.items()
    }


def _official(files: Sequence[tuple[Path, Path]], where: str) -> tuple[pd.DataFrame, list[str]]:
    """Read dialogues, each from its transcription and its evaluation."""
    rows: list[dict[str, Any]] = []
    odd: list[str] = []
    unspoken = 0
    for transcription, evaluation in files:
        spoken, passed_over = read_transcription(transcription)
        judged = read_evaluation(evaluation)
        odd += [f"{transcription.name} line {line}" for line in passed_over]
        unspoken += len(judged.keys() - spoken.keys())
        for utterance_id, said in spoken.items():
            own = judged.get(utterance_id, _NOT_EVALUATED)._asdict()
            rows.append(
                {
                    "dialogue_id": transcription.stem,
                    "speaker": f"{transcription.stem[:5]}_{said.gender}",
                    "original_text": said.text,
                    "utterance_id": utterance_id,
                    "start": said.start,
                    "end": said.end,
                    **own,
                    **_shares_of(own["votes"]),
                    "emotion": _CODES.get(own["code"], OTHER),
                }
            )
    findings = []
    if odd:
        shown = ", ".join(odd[:_SHOWN_PLACES]) + (", ..." if len(odd) > _SHOWN_PLACES else "")
        findings.append(f"{len(odd)} lines are no utterance, passed over: {shown}")
    if unspoken:
        findings.append(f"{unspoken} evaluations are of no transcribed utterance, passed over")
    return _finish(rows, findings, where)


def _shares_of(votes: str) -> dict[str, float]:
    """Return each emotion's share of the votes within the label set, by its column's name."""
    total = dict.fromkeys(LABELS.emotions, 0.0)
    for voter in filter(None, votes.split(";")):
        named = [_NAMES.get(name.strip()) for name in voter.split(",")]
        for emotion in filter(None, named):
            total[emotion] += 1 / len(named)
    n = sum(total.values())
    return {f"{VOTES}{emotion}": own / n if n else nan for emotion, own in total.items()}


class _Turns(BaseModel):
    """A dialogue in the JSON layout: three lists of one length."""

    labels: list[Annotated[int, Field(ge=-1, lt=len(LABELS))] | None]
    sentences: list[str]
    genders: list[Literal["F", "M"]]

    @model_validator(mode="after")
    def _of_one_length(self) -> "_Turns":
        lengths = [len(self.labels), len(self.sentences), len(self.genders)]
        if len(set(lengths)) > 1:
            raise ValueError("{} labels, {} sentences, {} genders".format(*lengths))
        return self


_DIALOGUES = TypeAdapter(dict[str, _Turns])


def read_json(folder: Path) -> Read:
    """Read iemocap.train.json, iemocap.valid.json (dev) and iemocap.test.json.

    Each holds {dialogue: {"labels": [...], "sentences": [...], "genders": ["F" or "M", ...]}}; a
    label is a position in the label set, -1 or null another class.

    Returns:
        Per split the dialogue table, with original_text, and the findings. Speakers are named as
        `read_official` does, or by dialogue and gender if its id names no session.

    Raises:
        UserError: If a file is not of this form, or a dialogue stands in two of them.
    """
    read: Read = {}
    seen: dict[str, str] = {}
    for split, name in _JSON.items():
        dialogues = _load(folder / name)
        if twice := sorted(seen.keys() & dialogues.keys()):
            raise UserError(
                "A dialogue stands in two splits.",
                where=str(folder / name),
                found=f"{twice[0]}, which {seen[twice[0]]} holds too",
            )
        seen |= dict.fromkeys(dialogues, name)
        rows = [
            {
                "dialogue_id": dialogue_id,
                "speaker": f"{_session(dialogue_id)}_{gender}",
                "original_text": text,
                "code": "null" if label is None else str(label),
                "emotion": OTHER if label in (None, -1) else LABELS.emotions[label],
            }
            for dialogue_id, turns in dialogues.items()
            for label, text, gender in zip(
                turns.labels, turns.sentences, turns.genders, strict=True
            )
        ]
        read[split] = _finish(rows, [], str(folder / name))
    return read


def _load(path: Path) -> dict[str, _Turns]:
    try:
        return _DIALOGUES.validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors(include_input=False)[0]  # the input is text under licence
        raise UserError(
            "The file is not of the JSON layout.",
            where=", ".join([str(path), *map(str, first["loc"])]),
            expected='{dialogue: {"labels": [-1 to 5 or null], "sentences": [text], '
            '"genders": ["F" or "M"]}}, lists of one length',
            found=first["msg"],
        ) from error


def _session(dialogue_id: str) -> str:
    named = re.match(r"Ses\d\d(?=[FM]_)", dialogue_id)
    return named[0] if named else dialogue_id


def _finish(
    rows: list[dict[str, Any]], findings: list[str], where: str
) -> tuple[pd.DataFrame, list[str]]:
    """Bring the utterances of a split into the common shape, and say what is odd about them."""
    if not rows:
        raise UserError("The split has no utterance.", where=where)
    table = pd.DataFrame(rows)
    table = table.assign(
        turn=table.groupby("dialogue_id", sort=False).cumcount(),
        text=table["original_text"].map(normalise_text),
        source="real",
    )
    others = table.loc[table["emotion"] == OTHER, "code"].value_counts()
    if len(others):
        shares = ", ".join(f"{code} {n}" for code, n in sorted(others.items()))
        findings.append(f"{others.sum()} utterances are of other classes, context alone: {shares}")
    if wordless := sum(not words(text) for text in table["text"]):
        findings.append(f"{wordless} utterances have no word")
    rest = [name for name in table.columns if name not in {*COLUMNS, "code"}]
    return table[[*COLUMNS, *rest]], findings


IEMOCAP = Corpus(
    name="iemocap",
    label_set=LABELS,
    layouts=(
        Layout("official", (*_TRANSCRIPTIONS, *_EVALUATIONS), read_official),
        Layout("json", tuple(_JSON.values()), read_json),
    ),
    licence="IEMOCAP licence of USC SAIL",
    obtain="https://sail.usc.edu/iemocap/",
    agreement="Fleiss' kappa .27, and .40 where most agreed (Busso et al., 2008)",
)

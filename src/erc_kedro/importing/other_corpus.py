"""Another corpus's train as a bank: labels mapped, nothing that leaks, nothing twice."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pandas as pd

from erc_kedro.core.corpus import RawCorpus, held_out_of
from erc_kedro.core.dialogue import Dialogue
from erc_kedro.core.errors import UserError
from erc_kedro.core.import_mapping import ImportColumns, fold_label
from erc_kedro.core.importing import Aside, Row, import_rows
from erc_kedro.core.labels import LabelSet
from erc_kedro.core.overlap import TextIndex, text_indices
from erc_kedro.core.rules import TRAIN_COPY, Judge
from erc_kedro.corpora import find_corpus
from erc_kedro.corpora.at_hand import read_others
from erc_kedro.corpora.folder import read_raw
from erc_kedro.importing.bank import Import, spec_of, write_import
from erc_kedro.importing.files import read_mapping

_COLUMNS = ImportColumns(
    text="text", emotion="emotion", dialogue_id="part", turn="turn", speaker="speaker"
)
_MAX_WORDS = 10**6  # how long turns may be is for validation to say

Emotions = Mapping[str, str | None]


def import_corpus(corpus: str, other: str, mapping: Path, into: Path) -> Import:
    """Make a bank for one corpus of the train split of another.

    A dialogue that overlaps with dev or test of any corpus at hand is kept aside as a whole. Others
    are cut where a label has no counterpart; a part that overlaps with train of the corpus it is
    for, or that another rule refuses, is kept aside.

    Args:
        corpus: The corpus it is for.
        other: The corpus that is taken.
        mapping: A mapping file: labels, and the strategy's name.
        into: The raw data folder: holds the official files of both, and gets the bank.

    Raises:
        UserError: If the files of one are not there, the mapping cannot be used, or nothing of it
            can be taken.
    """
    if corpus == other:
        raise UserError("A corpus cannot be imported into itself.", found=repr(corpus))
    own, taken = _official(corpus, into), _official(other, into)
    how = read_mapping(mapping)
    emotions = how.emotions(own.label_set)
    if forgotten := [e for e in taken.label_set.emotions if fold_label(e) not in emotions]:
        raise UserError(
            f"The mapping does not say what becomes of {', '.join(forgotten)}.",
            where=str(mapping),
            expected=f"every emotion of {other} under labels, or null",
        )
    rows = list(_rows(taken, emotions))
    prefix = f"{corpus}-{how.strategy}"
    dialogues, aside = import_rows(rows, _COLUMNS, how, own.label_set, prefix)
    whole = {f"{prefix}-{row.values['part']}": row.values["dialogue"] for row in rows}
    leaking = _leaking(taken, own, into)
    refused = {own.id: leaking[whole[own.id]] for own in dialogues if whole[own.id] in leaking}
    rest = [dialogue for dialogue in dialogues if dialogue.id not in refused]
    refused |= _refused(rest, how.strategy, own)
    known = {dialogue.id for dialogue in dialogues}
    aside += [
        Aside(row, *refused[part])
        for row in rows
        if (part := f"{prefix}-{row.values['part']}") in refused and part in known
    ]
    return write_import(
        corpus,
        how.strategy,
        [dialogue for dialogue in rest if dialogue.id not in refused],
        sorted(aside, key=lambda kept: kept.row.number),
        source=f"train of {other}",
        n_rows=len(rows),
        columns=_COLUMNS,
        into=into,
        lost=losses(taken.label_set, emotions, own.label_set),
    )


def losses(taken: LabelSet, emotions: Emotions, label_set: LabelSet) -> list[str]:
    """Say what a mapping of one label set onto another loses.

    Args:
        taken: The label set that is mapped.
        emotions: What each of its emotions becomes, by the folded name.
        label_set: The label set it is mapped onto.

    Returns:
        One line each: what has no counterpart, what becomes one, and what nothing becomes.
    """
    becomes = {own: emotions.get(fold_label(own)) for own in taken.emotions}
    lines = []
    if alone := [own for own, emotion in becomes.items() if emotion is None]:
        lines.append(f"without a counterpart: {', '.join(alone)}")
    for emotion in label_set.emotions:
        merged = [own for own, target in becomes.items() if target == emotion]
        if len(merged) > 1:
            lines.append(f"no longer told apart: {', '.join(merged)} (all are {emotion})")
    if missing := [own for own in label_set.emotions if own not in becomes.values()]:
        lines.append(f"nothing becomes: {', '.join(missing)}")
    return lines


def _official(name: str, folder: Path) -> RawCorpus:
    raw = read_raw(find_corpus(name), folder / name)
    if raw.source != "official":
        raise UserError(
            f"The files of {name} are not there.",
            where=str(folder / name),
            remedy=f"make data CORPUS={name} [FROM=folder]",
        )
    return raw


def _rows(taken: RawCorpus, emotions: Emotions) -> Iterator[Row]:
    """Yield the utterances of train; between two that cannot be mapped lies a dialogue's part."""
    number = 0
    for dialogue_id, table in taken.splits["train"].groupby("dialogue_id", sort=False):
        cuts = table["emotion"].map(lambda name: emotions.get(fold_label(name)) is None)
        runs = cuts.cumsum()
        for (_, row), is_cut, run in zip(table.iterrows(), cuts, runs, strict=True):
            number += 1
            part = f"{dialogue_id}.{run}" if runs.iloc[-1] else str(dialogue_id)
            values = {name: row[name] for name in ("text", "emotion", "speaker")}
            place = {"part": f"{part}.cut" if is_cut else part, "turn": int(row["turn"])}
            yield Row(number, values | place | {"dialogue": str(dialogue_id)})


def _leaking(taken: RawCorpus, own: RawCorpus, folder: Path) -> dict[str, tuple[str, str]]:
    """Return the dialogues of train that overlap with dev or test of a corpus at hand, and why."""
    raws = [own, *read_others(own.name, folder).values()]
    indices = text_indices(pd.concat([held_out_of(raw) for raw in raws]), "corpus")
    found: dict[str, tuple[str, str]] = {}
    for dialogue_id, texts in taken.splits["train"].groupby("dialogue_id", sort=False)["text"]:
        where = [name for name, index in indices.items() if index.overlaps(list(texts))]
        if where:
            detail = f"dialogue {dialogue_id} with {', '.join(where)}"
            found[str(dialogue_id)] = "overlaps dev or test", detail
    return found


def _refused(
    dialogues: Sequence[Dialogue], strategy: str, own: RawCorpus
) -> dict[str, tuple[str, str]]:
    """Return the dialogues that overlap with train, or that a rule refuses, and why."""
    judge = Judge(
        own.label_set,
        held_out=TextIndex([]),
        train=TextIndex(own.splits["train"]["text"]),
        max_words=_MAX_WORDS,
    )
    refused: dict[str, tuple[str, str]] = {}
    for dialogue in dialogues:
        if found := judge.refusals(dialogue, spec_of(dialogue, strategy)):
            first = min(found, key=lambda own: own.rule != TRAIN_COPY)
            reason = "overlaps train" if first.rule == TRAIN_COPY else "refused by a rule"
            refused[dialogue.id] = reason, f"{first.rule}: {first.detail}"
    return refused

"""Why a synthetic dialogue is refused: one small function per rule, none of them silent."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import pandas as pd

from erc_kedro.core.dialogue import Dialogue, words
from erc_kedro.core.labels import LabelSet
from erc_kedro.core.overlap import (
    MIN_SHARED_FIVEGRAMS,
    NearDuplicates,
    TextIndex,
    copy_key,
    text_indices,
)
from erc_kedro.core.specs import DialogueSpec


@dataclass(frozen=True)
class Refusal:
    """One reason why a dialogue was refused."""

    dialogue_id: str
    rule: str
    detail: str


Rule = Callable[[Dialogue, DialogueSpec, LabelSet, int], Iterator[str]]


def _turns(dialogue: Dialogue, spec: DialogueSpec, _: LabelSet, __: int) -> Iterator[str]:
    numbers = dialogue.numbers or tuple(range(len(dialogue.turns)))
    if numbers != tuple(range(len(numbers))):
        yield f"turn numbers {list(numbers)} are not contiguous from 0"
    if len(dialogue.turns) != len(spec.emotions):
        yield f"{len(dialogue.turns)} turns, planned {len(spec.emotions)}"


def _speakers(dialogue: Dialogue, spec: DialogueSpec, _: LabelSet, __: int) -> Iterator[str]:
    if len(dialogue.speakers) != spec.n_speakers:
        yield f"{len(dialogue.speakers)} speakers, planned {spec.n_speakers}"
    elif spec.speaker_order is not None:
        position = {name: number for number, name in enumerate(dialogue.speakers)}
        order = tuple(position[turn.speaker] for turn in dialogue.turns)
        if any(a != b for a, b in zip(order, spec.speaker_order, strict=False)):
            yield f"speakers take turns as {list(order)}, planned {list(spec.speaker_order)}"
    if any(not turn.speaker.strip() for turn in dialogue.turns):
        yield "a turn has no speaker"


def _emotions(dialogue: Dialogue, spec: DialogueSpec, labels: LabelSet, __: int) -> Iterator[str]:
    emotions = [turn.emotion for turn in dialogue.turns]
    if unknown := sorted(set(emotions) - set(labels.emotions)):
        yield f"outside the label set: {', '.join(unknown)}"
    for number, (got, planned) in enumerate(zip(emotions, spec.emotions, strict=False)):
        if got != planned:
            yield f"turn {number} is {got}, planned {planned}"


def _text_length(
    dialogue: Dialogue, _: DialogueSpec, __: LabelSet, max_words: int
) -> Iterator[str]:
    for number, turn in enumerate(dialogue.turns):
        if not words(turn.text):
            yield f"turn {number} has no words: {turn.text!r}"
        elif len(turn.text.split()) > max_words:
            yield f"turn {number} has {len(turn.text.split())} words, at most {max_words} allowed"


_PLACEHOLDER = re.compile(
    r"\[[^\]]*\]|\{[^}]*\}|<[^>]*>|\b(?:[Ss]peaker|[Pp]erson|[Cc]haracter) (?:\d+|[A-H])\b|"
    r"\bTODO\b|\bX{3,}\b|\b[Ll]orem ipsum\b"
)
_META = re.compile(
    r"\b(?:as an? (?:ai|artificial intelligence|language model|assistant)|language model|"
    r"i (?:can(?:not|'t)|am unable to) (?:assist with|help with (?:that|this|your) request)|"
    r"i (?:can(?:not|'t)|am unable to) (?:generate|write) (?:that|this|a) (?:dialogue|text)|"
    r"here(?:'s| is) (?:the|your|a) (?:dialogue|conversation)|"
    r"this (?:dialogue|utterance)|synthetic (?:data|dialogue))\b",
    flags=re.IGNORECASE,
)


def _placeholder(dialogue: Dialogue, _: DialogueSpec, __: LabelSet, ___: int) -> Iterator[str]:
    for number, turn in enumerate(dialogue.turns):
        for text in (turn.speaker, turn.text):
            if match := _PLACEHOLDER.search(text):
                yield f"turn {number} holds a placeholder: {match.group()!r}"


def _meta_talk(dialogue: Dialogue, _: DialogueSpec, labels: LabelSet, __: int) -> Iterator[str]:
    names = "|".join(labels.emotions)
    tag = re.compile(rf"[(*_]\s*(?:{names})\s*[)*_]|^\W*(?:{names})\s*:", flags=re.IGNORECASE)
    for number, turn in enumerate(dialogue.turns):
        if match := _META.search(turn.text):
            yield f"turn {number} talks about the task: {match.group()!r}"
        if match := tag.search(turn.text):
            yield f"turn {number} is tagged with its emotion: {match.group()!r}"


def _repeated_within(dialogue: Dialogue, _: DialogueSpec, __: LabelSet, ___: int) -> Iterator[str]:
    seen: dict[str, int] = {}
    for number, turn in enumerate(dialogue.turns):
        key = copy_key(turn.text)
        if key is not None and key in seen:
            yield f"turn {number} repeats turn {seen[key]}: {turn.text!r}"
        elif key is not None:
            seen[key] = number


RULES: Mapping[str, Rule] = {
    "turns": _turns,
    "speakers": _speakers,
    "emotions": _emotions,
    "text_length": _text_length,
    "placeholder": _placeholder,
    "meta_talk": _meta_talk,
    "repeated_utterance": _repeated_within,
}
"""Rules that need nothing but the dialogue and its spec."""

HELD_OUT, TRAIN_COPY = "held_out_overlap", "train_copy"

RULE_NAMES = ("unparseable", *RULES, HELD_OUT, TRAIN_COPY, "near_duplicate")
"""Every rule a dialogue can be refused by; also the names of the refusal metrics."""


class Judge:
    """Judges synthetic dialogues, one after another.

    What repeats or nearly repeats an earlier dialogue is refused only if the earlier one was
    accepted, so of two alike the first stays.

    Args:
        label_set: The corpus's label set.
        held_out: Texts of real dev and test.
        train: Texts of real train.
        max_words: The most words a turn may have.
        elsewhere: Texts of dev and test of other corpora, by name.
    """

    def __init__(
        self,
        label_set: LabelSet,
        *,
        held_out: TextIndex,
        train: TextIndex,
        max_words: int,
        elsewhere: Mapping[str, TextIndex] | None = None,
    ) -> None:
        self._label_set, self._max_words = label_set, max_words
        self._real = [
            (HELD_OUT, "real dev or test", held_out),
            *((HELD_OUT, f"dev or test of {name}", own) for name, own in (elsewhere or {}).items()),
            (TRAIN_COPY, "real train", train),
        ]
        self._accepted: dict[str, str] = {}  # copy key of an utterance -> dialogue it stands in
        self._near = NearDuplicates()

    def refusals(self, dialogue: Dialogue, spec: DialogueSpec) -> list[Refusal]:
        """Return why the dialogue is refused; an empty list means accepted."""
        texts = [turn.text for turn in dialogue.turns]
        found = [
            (name, detail)
            for name, rule in RULES.items()
            for detail in rule(dialogue, spec, self._label_set, self._max_words)
        ]
        for rule_name, where, real in self._real:
            found += [(rule_name, detail) for detail in _leaks(texts, real, where)]
        keys = {key for text in texts if (key := copy_key(text))}
        found += [
            ("repeated_utterance", f"stands in {self._accepted[key]} too: {key!r}")
            for key in sorted(keys & self._accepted.keys())
        ]
        if match := self._near.nearest(texts):
            found.append(("near_duplicate", f"trigrams overlap with {match[0]} by {match[1]:.2f}"))
        if not found:
            self._accepted |= dict.fromkeys(keys, dialogue.id)
            self._near.add(dialogue.id, texts)
        return [Refusal(dialogue.id, *reason) for reason in found]


def judge_of(
    label_set: LabelSet, forbidden: pd.DataFrame, train: Iterable[str], max_words: int
) -> Judge:
    """Return a judge that has seen nothing yet.

    Args:
        label_set: The corpus's, by its name.
        forbidden: Texts of dev and test, columns corpus and text. Of the corpus itself there are
            none if its files are not at hand.
        train: Texts of real train.
        max_words: The most words a turn may have.
    """
    held_out = text_indices(forbidden, "corpus")
    return Judge(
        label_set,
        held_out=held_out.pop(label_set.name, TextIndex([])),
        train=TextIndex(train),
        max_words=max_words,
        elsewhere=held_out,
    )


def refusals(
    dialogues: Iterable[Dialogue],
    specs: Mapping[str, DialogueSpec],
    judge: Judge,
) -> dict[str, list[Refusal]]:
    """Let a judge that has seen nothing yet judge synthetic dialogues in order.

    Returns:
        For every dialogue's id its refusals; an empty list means accepted.
    """
    return {dialogue.id: judge.refusals(dialogue, specs[dialogue.id]) for dialogue in dialogues}


def _leaks(texts: list[str], real: TextIndex, where: str) -> Iterator[str]:
    for text in real.copied(texts):
        yield f"stands in {where}: {text!r}"
    shared = real.shared_fivegrams(texts)
    if len(shared) >= MIN_SHARED_FIVEGRAMS:
        yield f"{len(shared)} five-grams of {where}, such as {shared[0]!r}"

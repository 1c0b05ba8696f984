"""Replies that always parse: what a plan decides is set, the model writes only what is left open.

A JSON schema that pins the emotions of a plan would be another one for every request, and takes
seconds to compile for a large vocabulary. Yet almost all of a reply is known beforehand: so its
known parts are set token by token, and the strings between them are bound by automata of
outlines-core, of which a handful serves all plans.
"""

import json
import re
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from outlines_core import Index, Vocabulary  # type: ignore[import-untyped]

from erc_kedro.core.errors import UserError
from erc_kedro.core.prompts import Request
from erc_kedro.llm.local.vocabulary import token_bytes

_LETTER = "[A-Za-zÀ-ÖØ-öø-ɏ]"
_WORD = "[A-Za-z0-9]"
_OTHER = r'(?:[^"\\\[\]{}<>\x00-\x20\x7f-\xa0A-Za-z0-9]|\\")'
_ANY = r'(?:[^"\\\[\]{}<>\x00-\x1f\x7f-\xa0]|\\")'
_NAME = rf"{_LETTER}{{2,}}(?:['-]{_LETTER}+)*"
_UTTERANCE = rf"(?:{_OTHER}(?:{_OTHER}| )*)?{_WORD}{_ANY}*"
_NOTE = r'(?:[^"\\\x00-\x20\x7f-\xa0]|\\")(?:[^"\\\x00-\x1f\x7f-\xa0]|\\")*'

_STRINGS: Mapping[str, tuple[str, int]] = {"speaker": (_NAME, 24), "text": (_UTTERANCE, 400)}
_ANY_STRING = (_NOTE, 600)
"""Patterns of the strings of a turn, and the bytes after which one is ended if it can be. A name
is one word, so no "Speaker A"; an utterance has a word, no brackets and no control characters."""

_STRING = re.compile(rb'(?:[^"\\]|\\.)*')
_OVERLAP = 4


@dataclass(frozen=True)
class Gap:
    """A string that the model writes.

    Attributes:
        field: The turn's field.
        who: Which speaker's name it is, if it is one and the plan says so.
    """

    field: str
    who: int | None = None


def skeleton(request: Request) -> list[bytes | Gap]:
    """Return a request's reply as compact JSON: what is set, and the gaps between."""
    order = request.speaker_order
    pieces: list[str | Gap] = ['{"turns":[']
    for number, emotion in enumerate(request.emotions):
        for place, field in enumerate(request.fields):
            lead = "," if place else ",{" if number else "{"
            pieces.append(f'{lead}{json.dumps(field)}:"')
            if field == "emotion":
                pieces.append(json.dumps(emotion)[1:-1])
            else:
                pieces.append(Gap(field, order[number] if field == "speaker" and order else None))
            pieces.append('"')
        pieces.append("}")
    return list(_joined([*pieces, "]}"]))


def _joined(pieces: list[str | Gap]) -> Iterator[bytes | Gap]:
    text = ""
    for piece in pieces:
        if isinstance(piece, str):
            text += piece
        else:
            yield text.encode()
            yield piece
            text = ""
    yield text.encode()


class Grammar:
    """What a tokenizer needs for replies to plans; automata are made as they are needed.

    Args:
        tokenizer: Of the model.
        size: How many logits the model gives.
        end: The token that ends a reply.
        device: Where the logits are.
    """

    def __init__(self, tokenizer: Any, size: int, end: int, device: str | torch.device) -> None:
        said = token_bytes(tokenizer).items()
        self.bytes = {n: value for n, value in said if value and n != end and n < size}
        self.end = end
        self.masks = torch.zeros((0, size), dtype=torch.bool, device=device)
        self._numbers: dict[bytes, list[int]] = {}
        for number, value in self.bytes.items():
            self._numbers.setdefault(value, []).append(number)
        self._indexes: dict[tuple[str, bytes], Index] = {}
        self._mask_rows: dict[tuple[int, int], int] = {}
        self._spelt: dict[bytes, list[int]] = {}
        self._longest = max(map(len, self._numbers), default=0)

    @cached_property
    def _vocabulary(self) -> Vocabulary:
        return Vocabulary(self.end, self._numbers)

    @cached_property
    def closing(self) -> list[int]:
        """Tokens that may end a string."""
        return [number for number, value in self.bytes.items() if b'"' in value]

    def spell(self, text: bytes) -> list[int]:
        """Return a text's tokens, always the longest that fits.

        Raises:
            UserError: If the vocabulary lacks a character of it.
        """
        if text not in self._spelt:
            tokens, start = [], 0
            while start < len(text):
                lengths = range(min(self._longest, len(text) - start), 0, -1)
                found = [n for n in lengths if text[start : start + n] in self._numbers]
                if not found:
                    raise UserError(
                        "The model's vocabulary cannot write JSON.",
                        found=f"no token for {text[start:].decode(errors='replace')[:1]!r}",
                        remedy="take another model, or json_mode: plain",
                    )
                tokens.append(self._numbers[text[start : start + found[0]]][0])
                start += found[0]
            self._spelt[text] = tokens
        return self._spelt[text]

    def index(self, field: str, after: bytes) -> Index:
        """Return the automaton of a field's string, to its quote and what of `after` a token has.

        A token such as '","' is how a model likes to end a string: it may.
        """
        if (field, after) not in self._indexes:
            tail = ""
            for character in reversed(after.decode()):
                tail = f"({re.escape(character)}{tail})?"
            pattern, _ = _STRINGS.get(field, _ANY_STRING)
            self._indexes[field, after] = Index(f'{pattern}"{tail}', self._vocabulary)
        return self._indexes[field, after]

    def mask_row(self, index: Index, state: int) -> int:
        """Return the row of `masks`, shape (rows, logits), that is true for tokens that fit."""
        key = (id(index), state)
        if key not in self._mask_rows:
            mask = torch.zeros(self.masks.shape[1], dtype=torch.bool)
            mask[index.get_allowed_tokens(state)] = True
            self._mask_rows[key] = len(self.masks)
            self.masks = torch.cat([self.masks, mask.to(self.masks.device)[None]])
        return self._mask_rows[key]


class BoundReply:
    """A reply as it grows, token by token.

    Attributes:
        tokens: Those it has.
        done: Whether it is complete.
    """

    def __init__(self, grammar: Grammar, request: Request) -> None:
        self.tokens: list[int] = []
        self.done = False
        self._grammar = grammar
        self._names: dict[int, bytes] = {}
        self._pieces = deque(skeleton(request))
        self._set: deque[int] = deque()
        self._gap: Gap | None = None
        self._state: int | None = None
        self._go_on(b"")

    @property
    def text(self) -> str:
        """What it says so far."""
        said = b"".join(self._grammar.bytes[token] for token in self.tokens)
        return said.decode(errors="replace")

    @property
    def required(self) -> int | None:
        """The next token, if there is no choice."""
        if self.done:
            return self._grammar.end
        if self._set:
            return self._set[0]
        if len(self._written) >= self._limit:
            quote = self._grammar.spell(b'"')[0]
            if self._index.get_next_state(self._state, quote) is not None:
                return quote
        return None

    @property
    def mask_row(self) -> int:
        """The row of the grammar's masks for the next token, if there is a choice."""
        assert self._state is not None
        return self._grammar.mask_row(self._index, self._state)

    @property
    def banned(self) -> list[int]:
        """Tokens that would give a new speaker the name of another."""
        taken = [name for name in self._names.values() if name.startswith(self._written)]
        if not taken or self._gap is None or self._gap.who is None:
            return []
        ends = [
            (token, self._written + self._grammar.bytes[token]) for token in self._grammar.closing
        ]
        return [token for token, text in ends if text.split(b'"')[0] in taken]

    def add(self, token: int) -> None:
        """Append a token."""
        self.tokens.append(token)
        if self._set:
            self._set.popleft()
            self.done = not (self._set or self._gap)
            return
        self._written += self._grammar.bytes[token]
        self._state = self._index.get_next_state(self._state, token)
        if self._index.is_final_state(self._state):
            string = _STRING.match(self._written)
            assert string is not None and self._gap is not None
            if self._gap.who is not None:
                self._names[self._gap.who] = string[0]
            self._go_on(self._written[string.end() :])

    def _go_on(self, already: bytes) -> None:
        """Set all up to the next gap; the first bytes of it may be there already."""
        text, self._gap, self._written = b"", None, b""
        while self._pieces and self._gap is None:
            piece = self._pieces.popleft()
            if isinstance(piece, bytes):
                text += piece
            elif piece.who in self._names:
                text += self._names[piece.who]
            else:
                self._gap = piece
        self._set.extend(self._grammar.spell(text[len(already) :]))
        if self._gap:
            after = self._pieces[0]
            assert isinstance(after, bytes)
            self._index = self._grammar.index(self._gap.field, after[1:_OVERLAP])
            self._state = self._index.get_initial_state()
            self._limit = _STRINGS.get(self._gap.field, _ANY_STRING)[1]
        self.done = not (self._set or self._gap)

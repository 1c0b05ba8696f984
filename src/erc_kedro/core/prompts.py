"""Requests rendered from specs, and completions parsed to dialogues."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined, Template

from erc_kedro.core.dialogue import Dialogue, Turn, normalise_text
from erc_kedro.core.errors import UserError
from erc_kedro.core.labels import LabelSet
from erc_kedro.core.specs import DialogueSpec

FAILED = "error"
"""Finish reason of a completion that could not be had: it is not kept, and asked for again."""

FIELDS = ("speaker", "text", "emotion")
"""What a turn of a reply says at least; a template may ask for notes between them."""

_SEPARATOR = "----\n"


@dataclass(frozen=True)
class Request:
    """What is asked of the language model for one spec.

    Attributes:
        spec_id: The spec it is for.
        template: Name and version of the template it was rendered with.
        system: The system message.
        user: The user message.
        attempt: How many times the same was asked before, to get another answer.
        emotions: The emotion of every turn, as the user message states it, for a back-end that
            binds the reply to it.
        fields: What every turn of the reply says, in this order.
        speaker_order: Who speaks each turn, numbered by first appearance, for such a back-end.
    """

    spec_id: str
    template: str
    system: str
    user: str
    attempt: int = 0
    emotions: tuple[str, ...] = ()
    fields: tuple[str, ...] = FIELDS
    speaker_order: tuple[int, ...] = ()

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Request":
        """Return the request that `dataclasses.asdict` and JSON made plain values of."""
        names = {"emotions", "fields", "speaker_order"} & values.keys()
        return cls(**{**values, **{name: tuple(values[name]) for name in names}})


@dataclass(frozen=True)
class Completion:
    """What came back for one request.

    Attributes:
        spec_id: The spec of the request.
        text: What the model wrote.
        model: Who wrote it.
        finish_reason: Why it ended: "stop", "length" if it was cut off, "error" if none came.
        prompt_tokens: Length of the request, if the model counts.
        completion_tokens: Length of the text, if the model counts.
        latency: Seconds from request to completion, if measured.
        stored: Whether it was there before, so that nothing was asked for it now.
    """

    spec_id: str
    text: str
    model: str
    finish_reason: str = "stop"
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    latency: float | None = field(default=None, compare=False)
    stored: bool = field(default=False, compare=False)


class ParseError(ValueError):
    """A completion that is no dialogue; the message says why."""


def load_template(name: str) -> str:
    """Return the text of a prompt template that ships with the package.

    Raises:
        UserError: If there is no template of that name.
    """
    folder = files("erc_kedro.core") / "templates"
    path = folder / f"{name}.jinja"
    if not path.is_file():
        names = sorted(p.name.removesuffix(".jinja") for p in folder.iterdir())
        raise UserError("Unknown prompt template.", expected=", ".join(names), found=repr(name))
    return path.read_text(encoding="utf-8")


def render_request(
    spec: DialogueSpec,
    template_name: str,
    template: str,
    *,
    register: str,
    definitions: Mapping[str, str],
    label_set: LabelSet,
    demonstrations: Sequence[Sequence[Turn]] = (),
    manner: Sequence[str] = (),
) -> Request:
    """Return the request for a spec.

    Args:
        spec: The dialogue that is wanted.
        template_name: Name and version of the template, kept with the request.
        template: Jinja text, system message and user message divided by a line "----". It sets
            `fields` if a turn of the reply shall say more than `FIELDS`.
        register: Whose way of talking is wanted, such as "an American TV sitcom".
        definitions: A short definition of every emotion.
        label_set: The corpus's label set.
        demonstrations: Excerpts of real dialogues to show.
        manner: Hints on how people talk in the register, each a line.

    Raises:
        UserError: If an emotion of the label set has no definition.
    """
    missing = [emotion for emotion in label_set.emotions if emotion not in definitions]
    if missing:
        raise UserError(
            "Emotions without a definition.",
            where="generation parameters, definitions",
            expected=f"one for each of {', '.join(label_set.emotions)}",
            found=f"none for {', '.join(missing)}",
        )
    said = {emotion: definitions[emotion] for emotion in label_set.emotions}
    shown = [
        [json.dumps(asdict(turn), ensure_ascii=False) for turn in turns] for turns in demonstrations
    ]
    module = _compiled(template).make_module(
        {
            "spec": spec,
            "register": register,
            "definitions": said,
            "demonstrations": shown,
            "manner": manner,
        }
    )
    system, user = str(module).split(_SEPARATOR, maxsplit=1)
    return Request(
        spec.id,
        template_name,
        system.strip(),
        user.strip(),
        emotions=spec.emotions,
        fields=tuple(getattr(module, "fields", FIELDS)),
        speaker_order=spec.speaker_order
        or tuple(turn % spec.n_speakers for turn in range(len(spec.emotions))),
    )


@cache
def _compiled(template: str) -> Template:
    return Environment(undefined=StrictUndefined, autoescape=False).from_string(template)


def reply_schema(fields: Sequence[str] = FIELDS) -> dict[str, Any]:
    """Return the JSON schema of a reply, as strict servers take it: every field stands there."""

    def strict(properties: dict[str, Any]) -> dict[str, Any]:
        base = {"type": "object", "additionalProperties": False}
        return {**base, "properties": properties, "required": list(properties)}

    turn = strict({name: {"type": "string"} for name in fields})
    return strict({"turns": {"type": "array", "items": turn}})


def parse_completion(completion: Completion) -> Dialogue:
    """Return the dialogue that a completion holds.

    Text around the JSON object (a code fence, a greeting) is passed over; the dialogue's text is
    normalised as real text is.

    Raises:
        ParseError: If it holds none: it could not be had, was cut off, is no JSON, or JSON of
            another shape.
    """
    if completion.finish_reason == FAILED:
        raise ParseError("no answer came")
    if completion.finish_reason == "length":
        raise ParseError("cut off: the completion reached its length limit")
    turns = _find_turns(completion.text)
    return Dialogue(
        completion.spec_id, tuple(_parse_turn(number, turn) for number, turn in enumerate(turns))
    )


def is_repaired(completion: Completion) -> bool:
    """Return whether a dialogue could be had only by passing over text around the JSON object.

    >>> is_repaired(Completion("s0", 'Here it is: {"turns": [...]}', "m"))
    True
    """
    text = completion.text.strip()
    return not (text.startswith("{") and text.endswith("}"))


def _find_turns(text: str) -> list[Any]:
    """Return the turns of the first JSON object in a text that has any."""
    problem = "no JSON object in the completion"
    for start in (i for i, character in enumerate(text) if character == "{"):
        try:
            value, _ = json.JSONDecoder().raw_decode(text, start)
        except (ValueError, RecursionError) as error:  # ValueError: also numbers beyond all bounds
            problem = f"invalid JSON: {error}"
            continue
        turns = value.get("turns")
        if isinstance(turns, list) and turns:
            return turns
        problem = 'no list of turns under "turns"'
    raise ParseError(problem)


def _parse_turn(number: int, turn: Any) -> Turn:
    if not isinstance(turn, dict):
        raise ParseError(f"turn {number} is no object")
    wrong = [key for key in ("speaker", "text", "emotion") if not isinstance(turn.get(key), str)]
    if wrong:
        raise ParseError(f"turn {number} has no {' and no '.join(wrong)}")
    speaker, text = normalise_text(turn["speaker"]), normalise_text(turn["text"])
    try:
        (speaker + text + turn["emotion"]).encode()
    except UnicodeEncodeError as error:
        raise ParseError(f"turn {number} is no valid Unicode text: {error.reason}") from error
    return Turn(speaker, text, turn["emotion"].strip().lower())

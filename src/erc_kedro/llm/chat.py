"""OpenAI's chat completions: what decides one, how it is asked for, and what comes back."""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any, Literal

from erc_kedro.core.prompts import Completion, Request, reply_schema

_LONE = re.compile("[\ud800-\udfff]")  # half a surrogate pair is no text, and no file takes it
_OURS = {"model", "messages", "stream", "n"}


def chat_demands(json_mode: str, extra: Mapping[str, Any] | None) -> dict[str, bool]:
    """Return what is demanded of the options of a chat back-end, each with whether it is met."""
    return {
        "json_mode: schema or plain": json_mode in ("schema", "plain"),
        f"extra: other fields than {', '.join(sorted(_OURS))}": _OURS.isdisjoint(extra or {}),
    }


def chat_settings(
    model: str,
    *,
    temperature: float | None,
    top_p: float | None,
    max_tokens: int,
    json_mode: Literal["schema", "plain"],
    extra: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Return all that decides a completion besides the request, as a back-end's `settings`."""
    sampling = {"temperature": temperature, "top_p": top_p, "max_tokens": max_tokens}
    return {
        "model": model,
        "sampling": {**sampling, "seed": "hash of the request"},
        "json_mode": json_mode,
        "extra": dict(extra or {}),
    }


def chat_body(request: Request, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body that asks for a completion; what is None in the settings is left out."""
    asked = [request.spec_id, request.system, request.user, request.attempt]
    digest = hashlib.blake2b(json.dumps(asked).encode(), digest_size=8).digest()
    body: dict[str, Any] = {
        "model": settings["model"],
        **settings["sampling"],
        "seed": int.from_bytes(digest, "big") % 2**31,
        "messages": [
            {"role": "system", "content": request.system},
            {"role": "user", "content": request.user},
        ],
    }
    if settings["json_mode"] == "schema":
        schema = {"name": "dialogue", "strict": True, "schema": reply_schema(request.fields)}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    body |= settings["extra"]
    return {name: value for name, value in body.items() if value is not None}


def read_chat(values: Any, spec_id: str, writer: str, latency: float | None = None) -> Completion:
    """Return the completion that the body of an answer holds.

    Raises:
        ValueError: If it holds none.
    """
    try:
        choice, usage = values["choices"][0], values.get("usage") or {}
        text = choice["message"].get("content") or ""
        if not isinstance(text, str):
            raise TypeError("content is no text")
        return Completion(
            spec_id,
            _LONE.sub("\ufffd", text),
            writer,
            finish_reason=choice.get("finish_reason") or "stop",
            prompt_tokens=_count(usage.get("prompt_tokens")),
            completion_tokens=_count(usage.get("completion_tokens")),
            latency=latency,
        )
    except (LookupError, TypeError, AttributeError):
        raise ValueError(f"no chat completion: {values}") from None


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and value >= 0 else None

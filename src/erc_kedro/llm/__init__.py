"""Language-model back-ends behind one small protocol.

A new back-end is one file with a class like those here and one line in `BACKENDS`.
"""

import inspect
from collections.abc import Mapping
from typing import Any, get_type_hints

from pydantic import ConfigDict, ValidationError, create_model

from erc_kedro.core.errors import UserError
from erc_kedro.llm.bank import BankLanguageModel
from erc_kedro.llm.batch_files import BatchLanguageModel
from erc_kedro.llm.fake import FakeLanguageModel
from erc_kedro.llm.file import FileLanguageModel
from erc_kedro.llm.openai_server import OpenAILanguageModel
from erc_kedro.llm.protocol import LanguageModel
from erc_kedro.llm.transformers_model import TransformersLanguageModel

BACKENDS: Mapping[str, type[LanguageModel]] = {
    "bank": BankLanguageModel,
    "batch": BatchLanguageModel,
    "fake": FakeLanguageModel,
    "file": FileLanguageModel,
    "openai": OpenAILanguageModel,
    "transformers": TransformersLanguageModel,
}

WRITERS: tuple[str, ...] = ("batch", "openai", "transformers")
"""Back-ends for real use that can write new dialogues."""


def open_language_model(backend: str, options: Mapping[str, Any]) -> LanguageModel:
    """Return a language model.

    Raises:
        UserError: If there is no such back-end, or it does not take the options.
    """
    if backend not in BACKENDS:
        raise UserError("Unknown back-end.", expected=", ".join(BACKENDS), found=repr(backend))
    _check_types(backend, options)
    return BACKENDS[backend](**options)


def _check_types(backend: str, options: Mapping[str, Any]) -> None:
    """Refuse options that the back-end does not have, or that are of another type than it says."""
    begin = BACKENDS[backend].__init__
    known = {k: v for k, v in inspect.signature(begin).parameters.items() if k != "self"}
    hints = get_type_hints(begin)
    fields: dict[str, Any] = {
        name: (hints[name], ... if own.default is own.empty else own.default)
        for name, own in known.items()
    }
    config = ConfigDict(extra="forbid", strict=True, arbitrary_types_allowed=True)
    try:
        create_model(backend, __config__=config, **fields)(**options)
    except ValidationError as error:
        faults = [(".".join(map(str, own["loc"])), own["msg"]) for own in error.errors()]
        raise UserError(
            "The back-end does not take these options.",
            where=f"back-end {backend!r} in the catalog",
            expected=", ".join(known) or "none",
            found="; ".join(f"{name}: {message}" for name, message in faults),
        ) from error

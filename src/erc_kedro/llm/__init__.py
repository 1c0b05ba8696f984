"""Language-model back-ends behind one small protocol.

A new back-end is one file with a class like those here and one line in `BACKENDS`.
"""

from collections.abc import Callable, Mapping
from typing import Any

from erc_kedro.core.errors import UserError
from erc_kedro.llm.bank import BankLanguageModel
from erc_kedro.llm.batch_files import BatchLanguageModel
from erc_kedro.llm.fake import FakeLanguageModel
from erc_kedro.llm.file import FileLanguageModel
from erc_kedro.llm.openai_server import OpenAILanguageModel
from erc_kedro.llm.protocol import LanguageModel
from erc_kedro.llm.transformers_model import TransformersLanguageModel

BACKENDS: Mapping[str, Callable[..., LanguageModel]] = {
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
    try:
        return BACKENDS[backend](**options)
    except TypeError as error:
        raise UserError(
            "The back-end does not take these options.",
            where=f"back-end {backend!r} in the catalog",
            found=str(error),
        ) from error

"""What a language model is to the pipeline."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from erc_kedro.core.prompts import Completion, Request
from erc_kedro.core.specs import DialogueSpec


class LanguageModel(Protocol):
    """Answers requests. One back-end per file; `BACKENDS` in `erc_kedro.llm` lists them.

    Attributes:
        name: What is recorded as the writer of a completion.
        stored_specs: The only specs it can answer, or None if it can write to any spec.
    """

    name: str
    stored_specs: Sequence[DialogueSpec] | None

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """Yield one completion per request, in any order.

        Raises:
            UserError: If a request cannot be answered at all.
        """
        ...

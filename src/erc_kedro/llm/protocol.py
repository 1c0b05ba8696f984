"""What a language model is to the pipeline."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from erc_kedro.core.prompts import Completion, Request
from erc_kedro.core.specs import DialogueSpec


class LanguageModel(Protocol):
    """Answers requests. One back-end per file; `BACKENDS` in `erc_kedro.llm` lists them.

    Attributes:
        name: What is recorded as the writer of a completion.
        stored_specs: The only specs it can answer, or None if it can write to any spec.
        settings: What decides a completion besides the request, as plain JSON values; of a
            writer {"model": ..., "sampling": {...}, ...}, else {"model": name}. They are stored
            with every completion: never a secret in them, or an address that holds one.
    """

    name: str
    stored_specs: Sequence[DialogueSpec] | None
    settings: Mapping[str, Any]

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """Yield one completion per request, in any order.

        Args:
            requests: At most one per spec. They may be drawn one by one, from another thread.

        Raises:
            UserError: If a request cannot be answered at all.
        """
        ...

    def close(self) -> None:
        """Let go of what is held from one call to the next; a later call takes it again."""
        ...


class HoldsNothing:
    """For a back-end that holds nothing from one call to the next."""

    def close(self) -> None:
        """Do nothing."""

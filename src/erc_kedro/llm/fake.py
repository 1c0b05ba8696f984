"""A fake back-end for tests: writes a dialogue to the plan in its request, and nothing sensible."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from erc_kedro.core.prompts import Completion, Request
from erc_kedro.core.specs import DialogueSpec
from erc_kedro.llm.protocol import HoldsNothing

_TURN = re.compile(r"^(\d+)\.(?: speaker ([A-Z]),)? (\w+)(?:: about .*)?$", flags=re.MULTILINE)
_SPEAKERS = re.compile(r"exactly (\d+) speaker")
_SYLLABLES = ("ba", "ko", "mi", "ru", "te", "sho", "la", "vin", "do", "pe", "gra", "ul")


class FakeLanguageModel(HoldsNothing):
    """Can write to any spec, at once and always the same; every n-th completion can be spoilt.

    Args:
        spoil_every: Each request whose number is a multiple of this gets no JSON; 0 spoils none.
    """

    def __init__(self, spoil_every: int = 0) -> None:
        self.name = "fake"
        self.stored_specs: Sequence[DialogueSpec] | None = None
        self.settings: Mapping[str, Any] = {"model": self.name}
        if spoil_every:
            self.settings = {"model": self.name, "spoil_every": spoil_every}
        self._spoil_every = spoil_every

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """Yield one completion per request, of made-up words."""
        for number, request in enumerate(requests, start=1):
            if self._spoil_every and number % self._spoil_every == 0:
                yield Completion(request.spec_id, "I would rather not.", self.name)
                continue
            rng = np.random.default_rng(list(request.spec_id.encode()))
            n_speakers = int(_SPEAKERS.findall(request.user)[0])
            turns = [
                {
                    "speaker": f"Speaker{letter or 'ABCDEFGHIJ'[index % n_speakers]}",
                    "text": f"{self._words(rng)}.",
                    "emotion": emotion,
                }
                for index, (_, letter, emotion) in enumerate(_TURN.findall(request.user))
            ]
            yield Completion(request.spec_id, json.dumps({"turns": turns}), self.name)

    @staticmethod
    def _words(rng: np.random.Generator) -> str:
        return " ".join(
            "".join(rng.choice(_SYLLABLES, size=rng.integers(2, 4)))
            for _ in range(rng.integers(5, 9))
        )

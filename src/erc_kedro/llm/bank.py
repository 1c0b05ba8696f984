"""The bank back-end: completions that were written beforehand and ship with the package."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from erc_kedro.core.errors import UserError
from erc_kedro.core.prompts import Completion, Request
from erc_kedro.core.specs import DialogueSpec
from erc_kedro.llm.protocol import HoldsNothing


def stored_banks() -> list[str]:
    """Return the corpora for which a bank ships with the package."""
    place = Path(str(files("erc_kedro") / "bank"))
    return sorted({path.parent.name for path in place.glob("*/*.jsonl")})


class BankLanguageModel(HoldsNothing):
    """Looks completions up in stored pairs (spec, completion).

    Args:
        corpus: Which bank of the package: the register it was written in.
        folder: A bank elsewhere: a folder of JSON-lines files, each line
            {"spec": {...}, "completion": {"turns": [...]}}.

    Raises:
        UserError: If there is no such bank, or a line of it is no such pair.
    """

    def __init__(self, corpus: str, folder: str | None = None) -> None:
        place = Path(folder) if folder else Path(str(files("erc_kedro") / "bank" / corpus))
        paths = sorted(place.glob("*.jsonl"))
        if not paths:
            raise UserError(
                "There is no bank of dialogues.",
                where=str(place),
                expected="files named <strategy>.jsonl",
                remedy="fill it (make import), name another, or use a back-end that can write",
            )
        self.name = f"bank:{corpus}"
        self.settings: Mapping[str, Any] = {"model": self.name}
        self._completions: dict[str, str] = {}
        specs = []
        for path in paths:
            for number, line in enumerate(path.read_bytes().rstrip(b"\n").split(b"\n"), start=1):
                try:
                    pair = json.loads(line.decode("utf-8"))
                    spec = DialogueSpec.from_dict(pair["spec"])
                    completion = json.dumps(pair["completion"], ensure_ascii=False)
                except (ValueError, KeyError, TypeError) as error:
                    raise UserError(
                        "A line of the bank is no pair of spec and completion.",
                        where=f"{path}, line {number}",
                        found=repr(error),
                    ) from error
                if spec.id in self._completions:
                    raise UserError(
                        "A spec stands twice in the bank.",
                        where=f"{path}, line {number}",
                        found=f"spec id {spec.id!r} again",
                    )
                self._completions[spec.id] = completion
                specs.append(spec)
        self.stored_specs: Sequence[DialogueSpec] | None = specs

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """Yield the stored completion of each request's spec."""
        for request in requests:
            if request.spec_id not in self._completions:
                raise UserError(
                    "The bank holds no dialogue for this spec.",
                    where=request.spec_id,
                    remedy="new specs need a back-end that can write",
                )
            text = self._completions[request.spec_id]
            yield Completion(request.spec_id, text, self.name, stored=True)

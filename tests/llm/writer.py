"""A writer that says in a file what it was asked; run as a program, it writes through a store."""

import json
import logging
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from erc_kedro.core.prompts import Completion, Request
from erc_kedro.llm.protocol import HoldsNothing
from erc_kedro.llm.store import CompletionStore
from erc_kedro.llm.stored import StoredLanguageModel
from tests.conftest import ROOT


class Writer(HoldsNothing):
    """Answers one request after the other, each with a text that depends on what was asked."""

    stored_specs = None

    def __init__(
        self, asked: Path, pause: float = 0.0, model: str = "writer", **settings: Any
    ) -> None:
        self.name = model
        self.settings: Mapping[str, Any] = {"model": model, **settings}
        self._asked, self._pause = asked, pause

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        for request in requests:
            with self._asked.open("a") as file:
                file.write(f"{request.spec_id}\n")
            time.sleep(self._pause)
            text = json.dumps([self.settings, asdict(replace(request, spec_id=""))])
            yield Completion(request.spec_id, text, self.name, "stop", 3, len(text), 0.5)


def said(completion: Completion) -> dict[str, Any]:
    """Return all that a completion says, but whether it was there before."""
    return asdict(replace(completion, stored=False))


def make_requests(n: int, **changes: Any) -> list[Request]:
    """Return n different requests."""
    own = {"template": "v1", "system": "Write."} | changes
    return [Request(**{"spec_id": f"s{i}", "user": f"Of {i}."} | own) for i in range(n)]


class Place:
    """A store and what writers were asked, in a folder."""

    def __init__(self, folder: Path) -> None:
        self.path, self.log = folder / "new" / "store.db", folder / "asked.log"

    def complete(self, requests: Iterable[Request], **about: Any) -> list[Completion]:
        model = StoredLanguageModel(Writer(self.log, **about), CompletionStore(self.path))
        return list(model.complete(requests))

    def asked(self) -> list[str]:
        return self.log.read_text().split() if self.log.exists() else []

    def kept(self) -> set[str]:
        if not self.path.exists():
            return set()
        connection = sqlite3.connect(self.path)
        if not connection.execute("PRAGMA user_version").fetchone()[0]:
            return set()
        rows = connection.execute("SELECT spec_id FROM completions").fetchall()
        connection.close()
        return {spec_id for (spec_id,) in rows}

    def start(self, n: int, pause: float, out: Path) -> "subprocess.Popen[str]":
        arguments = [self.path, self.log, n, pause, out]
        return subprocess.Popen(
            [sys.executable, "-m", "tests.llm.writer", *map(str, arguments)],
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
        )


if __name__ == "__main__":
    store, asked, n, pause, out = sys.argv[1:]
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    model = StoredLanguageModel(Writer(Path(asked), float(pause)), CompletionStore(store))
    completions = {c.spec_id: said(c) for c in model.complete(make_requests(int(n)))}
    Path(out).write_text(json.dumps(completions, sort_keys=True))

"""A language model that is never asked the same thing twice."""

import hashlib
import json
import logging
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from datetime import datetime, timezone
from itertools import islice
from typing import Any

from erc_kedro.core.prompts import FAILED, Completion, Request
from erc_kedro.llm.protocol import LanguageModel
from erc_kedro.llm.store import CompletionStore, OpenStore

logger = logging.getLogger(__name__)

_BLOCK = 500


class StoredLanguageModel:
    """Answers from a completion store; what is not there the model writes, and it is kept.

    Two specs whose requests say the same share a completion; the attempt tells them apart.

    Args:
        model: A back-end that writes.
        store: Where completions are kept.
    """

    def __init__(self, model: LanguageModel, store: CompletionStore) -> None:
        self.name = model.name
        self.stored_specs = model.stored_specs
        self.settings = model.settings
        self._model = model
        self._store = store
        self._said = False

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """Yield the stored completions at once, then those that the model writes.

        Each is stored before it is yielded. One line in the log says how many were there, and
        what changed since others were written. While the model writes, no other run writes to
        the store; what another run wrote while this one waited is not asked for.

        Raises:
            UserError: If the store is damaged, or the model cannot answer.
            ValueError: If two requests are for one spec.
        """
        with self._store.opened() as store:
            asked = _Asked(store, requests, self.settings)
            yield from asked.stored()
            if not asked.count_missing():
                self._say(asked)
                return
            with store.writing():
                yield from asked.stored()
                self._say(asked)
                answers = self._model.complete(asked.missing())
                try:
                    for completion in answers:
                        yield from asked.add(completion)
                finally:
                    if hasattr(answers, "close"):  # whatever it has open ends before the store
                        answers.close()

    def close(self) -> None:
        """Let the back-end let go of what it holds."""
        self._model.close()

    def _say(self, asked: "_Asked") -> None:
        """Say how much is there; later calls ask again for what was refused, and go without."""
        if not self._said:
            asked.say()
        self._said = True


class _Asked:
    """The requests of one call beside the store: in a temporary table, for there may be many."""

    def __init__(
        self, store: OpenStore, requests: Iterable[Request], settings: Mapping[str, Any]
    ) -> None:
        self._store, self._settings, self._total = store, _canonical(settings), 0
        store.script(
            "CREATE TEMP TABLE asked (id INTEGER PRIMARY KEY, spec_id TEXT NOT NULL UNIQUE,"
            " key TEXT NOT NULL, request_part TEXT NOT NULL, template TEXT NOT NULL,"
            " attempt INTEGER NOT NULL, request TEXT NOT NULL);"
            "CREATE INDEX temp.asked_by_key ON asked (key)"
        )
        remaining = iter(requests)
        while rows := [self._row(request) for request in islice(remaining, _BLOCK)]:
            try:
                store.run_many("INSERT INTO asked VALUES (NULL, ?, ?, ?, ?, ?, ?)", rows)
            except sqlite3.IntegrityError as error:
                raise ValueError("Two requests of one call are for the same spec.") from error
            self._total += len(rows)

    def _row(self, request: Request) -> tuple[Any, ...]:
        said, about = [request.system, request.user], (request.template, request.attempt)
        key = _sha256([*said, self._settings, *about])
        return request.spec_id, key, _sha256(said)[:16], *about, json.dumps(asdict(request))

    def stored(self) -> Iterator[Completion]:
        """Yield the completions that are there; what they answer is asked no more."""
        last = 0
        while rows := self._store.run(
            "SELECT a.id, a.spec_id, text, model, finish_reason, prompt_tokens, completion_tokens,"
            " latency FROM asked AS a CROSS JOIN completions USING (key)"
            " WHERE a.id > ? ORDER BY a.id LIMIT ?",
            last,
            _BLOCK,
        ):
            last = rows[-1][0]
            self._store.run_many("DELETE FROM asked WHERE id = ?", [row[:1] for row in rows])
            for row in rows:
                yield replace(Completion(*row[1:]), stored=True)

    def missing(self) -> Iterator[Request]:
        """Yield the requests without a completion; of several that say the same, the first."""
        last = 0
        while rows := self._store.run(
            "SELECT id, request FROM asked AS a WHERE id > ? AND NOT EXISTS"
            " (SELECT 1 FROM asked AS b WHERE b.key = a.key AND b.id < a.id) ORDER BY id LIMIT 1",
            last,
        ):
            last, request = rows[0]
            yield Request.from_dict(json.loads(request))

    def count_missing(self) -> int:
        """Return how many requests have no completion yet."""
        return int(self._store.run("SELECT COUNT(*) FROM asked")[0][0])

    def add(self, completion: Completion) -> list[Completion]:
        """Store a completion; return it for every spec whose request says the same."""
        run, spec_id = self._store.run, completion.spec_id
        same = "FROM asked WHERE key = (SELECT key FROM asked WHERE spec_id = ?)"
        specs = run(f"SELECT spec_id {same} ORDER BY id", spec_id)
        if not specs:
            raise ValueError(f"The language model answered what is not missing: {spec_id}")
        if completion.finish_reason == FAILED:  # a passing outage: the next run asks again
            run(f"DELETE {same}", spec_id)
            return [replace(completion, spec_id=spec) for (spec,) in specs]
        run(
            "INSERT INTO completions SELECT key, spec_id, request_part, ?, template, attempt,"
            " CAST(? AS TEXT), ?, ?, ?, ?, ?, ? FROM asked WHERE spec_id = ?",
            self._settings,
            completion.text.encode("utf-8", "surrogatepass"),
            completion.model,
            completion.finish_reason,
            completion.prompt_tokens,
            completion.completion_tokens,
            completion.latency,
            datetime.now(timezone.utc).isoformat(timespec="seconds"),
            spec_id,
        )
        run(f"DELETE {same}", spec_id)
        return [replace(completion, spec_id=spec) for (spec,) in specs]

    def say(self) -> None:
        """Log how much is there, and why the rest is not."""
        missing = self.count_missing()
        there = f"{self._total - missing:,} of {self._total:,} there"
        changes = ", ".join(self._changes()) if missing else ""
        if changes and missing == self._total:
            logger.info("%s: %s", there, changes)
        elif missing:
            known = "parameters unchanged" if missing < self._total else "none was asked before"
            logger.info("%s, %s to write (%s)", there, f"{missing:,}", changes or known)
        elif self._total:
            logger.info("%s, none to write", there)

    def _changes(self) -> list[str]:
        """Return what differs from the most similar completion of a missing spec, if any."""
        known = self._store.run(
            "SELECT c.template, a.template, c.attempt, a.attempt, c.settings_part,"
            " c.request_part = a.request_part, MAX(c.rowid) AS newest"
            " FROM asked AS a CROSS JOIN completions AS c USING (spec_id)"
            " GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY newest DESC"
        )
        new, found = _flat(json.loads(self._settings)), []
        for *pairs, settings, same_request, _ in known:
            old = _flat(json.loads(settings))
            changes = [_change("template", *pairs[:2])]
            changes += [_change(name, old.get(name), new.get(name)) for name in {**old, **new}]
            changes += [_change("attempt", *pairs[2:])]
            if not same_request and not changes[0]:  # another template asks differently anyway
                changes.append("requests changed")
            found.append([change for change in changes if change])
        return min(found, key=len, default=[])


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with those of a group beside the others: their names say enough."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        flat |= value if isinstance(value, dict) and value else {name: value}
    return flat


def _change(name: str, old: Any, new: Any) -> str:
    if old == new:
        return ""
    plain = all(isinstance(value, str | int | float) for value in (old, new))
    return f"{name} changed ({old} → {new})" if plain else f"{name} changed"


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, allow_nan=False)


def _sha256(value: Any) -> str:
    return hashlib.sha256(_canonical(value).encode()).hexdigest()

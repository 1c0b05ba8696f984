"""The batch back-end: requests go to batch files, and a later run reads the files of results."""

import hashlib
import json
import logging
import re
import shlex
import shutil
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, BinaryIO, Literal

from erc_kedro.core.errors import UserError
from erc_kedro.core.prompts import FAILED, Completion, Request
from erc_kedro.core.specs import DialogueSpec
from erc_kedro.llm.batch_results import BatchResults
from erc_kedro.llm.chat import chat_body, chat_demands, chat_settings
from erc_kedro.llm.protocol import HoldsNothing

logger = logging.getLogger(__name__)

_URL = "/v1/chat/completions"
_ID_LENGTH = 64  # hosted services take no longer one, and no larger file
_MOST_BYTES = 200_000_000
_FAILURES = 3
_OUR_FILE = re.compile(r"batch-[0-9a-f]{8}-\d+-of-\d+\.jsonl")


class BatchLanguageModel(HoldsNothing):
    """Asks by batch files, as `vllm run-batch` and hosted batch services take them.

    A run answers from the result files, writes what has no result to request files, and stops
    with the command that answers them. A request that failed three times is given up: its
    completion has the finish reason "error".

    Args:
        folder: Request files are written to its folder requests, which holds what is to be asked
            now and no more; result files of any name, *.jsonl, are read from its folder results.
        model: The model's name where the batches are run.
        temperature: Of sampling; None leaves it to the server.
        top_p: Of sampling; None leaves it to the server.
        max_tokens: A longer completion is cut off.
        json_mode: "schema" binds the server to the dialogue's JSON schema; "plain" asks for JSON in
            the prompt alone.
        extra: More fields of the request's body; null takes one out, such as {"seed": null}.
        shards: The requests are spread over so many files of about equal size.
        requests_per_file: A larger file is split further, as is one above 200 MB.

    Raises:
        UserError: If an option is none.
    """

    def __init__(
        self,
        folder: str | Path,
        model: str,
        *,
        temperature: float | None = 1.0,
        top_p: float | None = None,
        max_tokens: int = 2000,
        json_mode: Literal["schema", "plain"] = "schema",
        extra: Mapping[str, Any] | None = None,
        shards: int = 1,
        requests_per_file: int = 50_000,
    ) -> None:
        demands = {
            "shards: 1 or more": shards >= 1,
            "requests_per_file: 1 or more": requests_per_file >= 1,
            **chat_demands(json_mode, extra),
        }
        if broken := [demand for demand, kept in demands.items() if not kept]:
            raise UserError(
                "Options of the batch back-end are wrong.",
                where="language_model in the catalog",
                expected="; ".join(broken),
            )
        self.name = f"batch:{model}"
        self.stored_specs: Sequence[DialogueSpec] | None = None
        self.settings: Mapping[str, Any] = chat_settings(
            model,
            temperature=temperature,
            top_p=top_p,
            max_tokens=max_tokens,
            json_mode=json_mode,
            extra=extra,
        )
        self._folder, self._model = Path(folder), model
        self._shards, self._requests_per_file = shards, requests_per_file

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """Yield a completion per request that has a result; then ask for the others.

        No more than one request and its result is in memory: an index on disk finds results.

        Raises:
            UserError: At the end, if requests are to be answered, with the command that does it;
                or if the folder cannot be used.
        """
        given_up, failed, first_problem = 0, 0, ""
        try:
            with (
                closing(BatchResults(self._folder / "results")) as results,
                _RequestFiles(self._folder, self._shards, self._requests_per_file) as asked,
            ):
                for request in requests:
                    body = chat_body(request, self.settings)
                    custom_id = _custom_id(request, body)
                    found = results.find(custom_id, request.spec_id, self.name)
                    first_problem = first_problem or found.problem
                    if found.completion is not None:
                        yield found.completion
                    elif found.failures >= _FAILURES:
                        given_up += 1
                        yield Completion(request.spec_id, "", self.name, finish_reason=FAILED)
                    else:
                        failed += found.failures > 0
                        asked.add(custom_id, body, found.failures)
                paths = asked.publish()
        except (OSError, sqlite3.Error) as error:
            raise UserError(
                "The folder of batch files cannot be used.",
                where=str(self._folder),
                found=str(error),
            ) from error
        if given_up:
            message = "%d requests failed %d times and are given up (%s)"
            logger.warning(message, given_up, _FAILURES, first_problem)
        if asked.total:
            problem = f"{failed:,} failed before, the first: {first_problem}" if failed else None
            raise self._stop(asked.total, paths, problem)

    def _stop(self, total: int, paths: Sequence[Path], problem: str | None) -> UserError:
        results = self._folder / "results"
        files = ["-i", str(paths[0]), "-o", str(results / paths[0].name)]
        command = shlex.join(["vllm", "run-batch", *files, "--model", self._model])
        n = len(paths)
        return UserError(
            f"{total:,} request{'s are' if total > 1 else ' is'} to be answered: run them, put the "
            f"result files into {results}, run again.",
            where=f"{paths[0].parent}, {n} files" if n > 1 else str(paths[0]),
            found=problem,
            remedy=f"{command}\n    and so on for all {n} files" if n > 1 else command,
        )


class _RequestFiles:
    """The requests that are to be asked now: written aside, then put in the place of the last."""

    def __init__(self, folder: Path, shards: int, requests_per_file: int) -> None:
        self.total = 0
        self._folder, self._aside = folder / "requests", folder / ".requests.new"
        self._shards, self._requests_per_file = shards, requests_per_file
        self._files: dict[int, BinaryIO] = {}
        self._lines: Counter[int] = Counter()
        self._parts: list[Path] = []
        self._digest = hashlib.blake2b(digest_size=4)

    def __enter__(self) -> "_RequestFiles":
        shutil.rmtree(self._aside, ignore_errors=True)  # a killed run left it
        self._aside.mkdir(parents=True)
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files.values():
            file.close()
        shutil.rmtree(self._aside, ignore_errors=True)

    def add(self, custom_id: str, body: Mapping[str, Any], failures: int) -> None:
        """Write a request to the next shard."""
        values = {"custom_id": custom_id, "method": "POST", "url": _URL, "body": body}
        line = json.dumps(values).encode() + b"\n"
        shard = self.total % self._shards
        full = self._lines[shard] == self._requests_per_file
        if shard not in self._files or full or self._files[shard].tell() + len(line) > _MOST_BYTES:
            self._begin_file(shard)
        self._files[shard].write(line)
        self._lines[shard] += 1
        self.total += 1
        # With the failures, so that the same requests, asked again, go to files of other names:
        # their results would overwrite those that say how often they failed.
        self._digest.update(f"{custom_id} {failures}\n".encode())

    def publish(self) -> list[Path]:
        """Put the new files where the old ones were: never some of both. Return their paths."""
        for file in self._files.values():
            file.close()
        self._folder.mkdir(exist_ok=True)
        digest, n = self._digest.hexdigest(), len(self._parts)
        names = [f"batch-{digest}-{i:0{len(str(n))}}-of-{n}.jsonl" for i in range(1, n + 1)]
        for path in self._folder.iterdir():
            if _OUR_FILE.fullmatch(path.name) and path.name not in names:
                path.unlink()
        return [
            part.replace(self._folder / name) for part, name in zip(self._parts, names, strict=True)
        ]

    def _begin_file(self, shard: int) -> None:
        if shard in self._files:
            self._files[shard].close()
        self._parts.append(self._aside / str(len(self._parts)))
        self._files[shard] = self._parts[-1].open("wb")
        self._lines[shard] = 0


def _custom_id(request: Request, body: Mapping[str, Any]) -> str:
    """Return an id that is another as soon as anything else is asked."""
    asked = json.dumps([request.spec_id, request.attempt, body], sort_keys=True)
    digest = hashlib.blake2b(asked.encode(), digest_size=16).hexdigest()
    name = re.sub("[^A-Za-z0-9_-]", "-", request.spec_id)
    return f"{name[-(_ID_LENGTH - len(digest) - 1) :]}-{digest}"

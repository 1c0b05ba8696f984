"""A chat-completions server that misbehaves as told, for tests: asyncio in a thread, HTTP/1.1."""

import asyncio
import gzip
import json
import random
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

from erc_kedro.core.prompts import Request
from erc_kedro.llm.fake import FakeLanguageModel

TRANSPORT_FAULTS = ("busy", "failure", "drop", "half", "cut")
"""Faults a client heals by asking again. "slow" is one more, if it is slower than its patience."""

SAYINGS = ("white_space", "wrong_label", "wrong_count")
"""Faults of what is said: the same request gets the same however often it comes."""


@dataclass(frozen=True)
class Faults:
    """What goes wrong.

    Attributes:
        rates: Share of the answers with each fault: busy (429 with Retry-After), failure (500),
            slow, drop (the connection), half (of the JSON, as a whole body), cut (the connection,
            in the middle of the body), trickle (of bytes, without end), white_space (without end),
            wrong_label, wrong_count.
        seed: Decides them, with the request and, but for `SAYINGS`, how often it came: never the
            order of arrival.
        latency: Seconds every answer takes.
        slow: Seconds a slow answer takes more.
        retry_after: The header of a busy answer.
        always: Status and error of every answer.
        quota: After so many answers, insufficient_quota.
        busy_above: Busy if more than this many are asked at a time.
        packed: Whether answers are compressed.
    """

    rates: Mapping[str, float] = field(default_factory=dict)
    seed: int = 0
    latency: float = 0.0
    slow: float = 1.0
    retry_after: str = "0.1"
    always: tuple[int, Mapping[str, Any]] | None = None
    quota: int | None = None
    busy_above: int | None = None
    packed: bool = False


class FaultServer:
    """Serves on 127.0.0.1 while the context lasts.

    Attributes:
        bodies: Every request's body in order of arrival.
        headers: Their headers, names in small letters.
        arrivals: When they came, by the monotonic clock.
        given: How many answers of each kind were given; "good" is one.
        most: The most that were asked at a time.
    """

    def __init__(self, faults: Faults | None = None) -> None:
        self.faults = faults or Faults()
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.arrivals: list[float] = []
        self.given: Counter[str] = Counter()
        self.most = 0
        self._now = 0
        self._times: Counter[str] = Counter()
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="fault-server", daemon=True)
        self._fake = FakeLanguageModel()

    def __enter__(self) -> "FaultServer":
        self._thread.start()
        opening = asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=512)
        self._server = asyncio.run_coroutine_threadsafe(opening, self._loop).result()
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}/v1"
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _close(self) -> None:
        self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                pairs = (line.split(": ", 1) for line in head[1:] if line)
                headers = {name.lower(): value for name, value in pairs}
                body = json.loads(await reader.readexactly(int(headers["content-length"])))
                if not await self._answer(urlsplit(head[0].split()[1]).path, headers, body, writer):
                    break
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _answer(
        self, path: str, headers: dict[str, str], body: Any, writer: asyncio.StreamWriter
    ) -> bool:
        """Answer; return whether the connection stays."""
        self.arrivals.append(time.monotonic())
        self.bodies.append(body)
        self.headers.append(headers)
        self._now += 1
        self.most = max(self.most, self._now)
        fault = self._fault(path, body)
        try:
            if fault == "slow":
                await asyncio.sleep(self.faults.slow)
            await asyncio.sleep(self.faults.latency)
        finally:
            self._now -= 1
        self.given[fault] += 1
        if fault == "drop":
            return False
        status, values = self._reply(fault, body)
        payload = json.dumps(values).encode()
        if fault == "half":
            payload = payload[: len(payload) // 2]
        more = f"Retry-After: {self.faults.retry_after}\r\n" if status in (429, 503) else ""
        if self.faults.packed:
            payload, more = gzip.compress(payload), f"{more}Content-Encoding: gzip\r\n"
        head = f"HTTP/1.1 {status} x\r\nContent-Type: application/json\r\n{more}"
        head += f"Content-Length: {len(payload)}\r\n\r\n"
        if fault == "trickle":
            writer.write(head.encode())
            while True:
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.05)
        kept = payload[: len(payload) // 2] if fault == "cut" else payload
        writer.write(head.encode() + kept)
        await writer.drain()
        return fault != "cut"

    def _fault(self, path: str, body: Any) -> str:
        told = self.faults
        if path != "/v1/chat/completions":
            return "no_path"
        if told.always:
            return "always"
        if told.quota is not None and self.given["good"] >= told.quota:
            return "quota"
        if told.busy_above is not None and self._now > told.busy_above:
            return "busy"
        what = json.dumps([body["messages"], body.get("seed")])
        self._times[what] += 1
        said = _drawn({name: told.rates[name] for name in SAYINGS if name in told.rates},
                      f"{told.seed} {what}")  # fmt: skip
        others = {name: rate for name, rate in told.rates.items() if name not in SAYINGS}
        fault = _drawn(others, f"{told.seed} {self._times[what]} {what}")
        return said if fault == "good" else fault

    def _reply(self, fault: str, body: Any) -> tuple[int, Any]:
        if fault == "always":
            assert self.faults.always is not None
            return self.faults.always
        errors = {
            "no_path": (404, "Not Found", None),
            "quota": (429, "You exceeded your current quota.", "insufficient_quota"),
            "busy": (429, "Too many requests.", "rate_limit_exceeded"),
            "failure": (500, "Something broke.", None),
        }
        if fault in errors:
            status, message, code = errors[fault]
            return status, {"error": {"message": message, "code": code}}
        text, reason = self._text(fault, body), "stop"
        if fault == "white_space":
            text, reason = '{"turns": [' + " \n" * body["max_tokens"], "length"
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": text},
            "finish_reason": reason,
        }
        n_prompt = sum(len(message["content"].split()) for message in body["messages"])
        usage = {"prompt_tokens": n_prompt, "completion_tokens": len(text.split())}
        return 200, {"id": "x", "object": "chat.completion", "choices": [choice], "usage": usage}

    def _text(self, fault: str, body: Any) -> str:
        system, user = (message["content"] for message in body["messages"])
        asked = Request(str(body.get("seed")), "", system, user)
        turns = json.loads(next(self._fake.complete([asked])).text)["turns"]
        if fault == "wrong_label":
            turns[0]["emotion"] = "smug"
        if fault == "wrong_count":
            turns.append(turns[-1])
        return json.dumps({"turns": turns})


def _drawn(rates: Mapping[str, float], seed: str) -> str:
    names, shares = list(rates), list(rates.values())
    weights = [1 - sum(shares), *shares]
    return random.Random(seed).choices(["good", *names], weights)[0]

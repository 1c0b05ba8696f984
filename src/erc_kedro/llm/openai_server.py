"""The openai back-end: any server that speaks OpenAI's chat completions, local or hosted."""

import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from pydantic import SecretStr

from erc_kedro.core.errors import UserError
from erc_kedro.core.prompts import FAILED, Completion, Request
from erc_kedro.core.specs import DialogueSpec
from erc_kedro.llm.chat import chat_body, chat_demands, chat_settings, read_chat
from erc_kedro.llm.protocol import HoldsNothing
from erc_kedro.llm.transport import (
    Pace,
    PassingError,
    as_they_arrive,
    may_heal,
    persist,
    seconds_to_wait,
)

if TYPE_CHECKING:
    from openai import APIStatusError, AsyncOpenAI

logger = logging.getLogger(__name__)

_FAILURES_IN_A_ROW = 20
_LONGEST_WAIT = 900.0
_QUOTA = {"insufficient_quota", "billing_hard_limit_reached"}


class OpenAILanguageModel(HoldsNothing):
    """Asks a server by base URL and model name: vLLM, llama.cpp, Ollama, TGI, hosted ones.

    A request that fails for good gives a completion without a dialogue, finish reason "error"; the
    run goes on. Errors that no retry heals (key, model, bad request, quota) end it at once.

    Args:
        base_url: The server's address, mostly ending in /v1.
        model: The model's name there.
        credentials: {"api_key": ...}; Kedro hands it over. Never shown, logged or stored.
        api_key_env: Environment variable with the key, if there are no credentials. A server
            without keys needs neither.
        temperature: Of sampling; None leaves it to the server.
        top_p: Of sampling; None leaves it to the server.
        max_tokens: A longer completion is cut off.
        json_mode: "schema" binds the server to the dialogue's JSON schema; "plain" asks for JSON in
            the prompt alone, for servers that know no schema.
        timeout: Seconds for one answer, from asking to its last byte.
        max_concurrency: At most so many requests at a time; fewer if the server bears fewer.
        max_retries: How often one request is asked again after a failure that may heal.
        extra: More fields of the request's body; null takes one out, such as {"seed": null}.

    Raises:
        UserError: If an option is none.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        credentials: Mapping[str, str] | None = None,
        api_key_env: str = "OPENAI_API_KEY",
        temperature: float | None = 1.0,
        top_p: float | None = None,
        max_tokens: int = 2000,
        json_mode: Literal["schema", "plain"] = "schema",
        timeout: float = 120.0,
        max_concurrency: int = 64,
        max_retries: int = 8,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        url = urlsplit(base_url)
        demands = {
            "base_url: http:// or https://, without a key in it": url.scheme in ("http", "https")
            and "@" not in url.netloc,
            **chat_demands(json_mode, extra),
            "timeout: above 0": timeout > 0,
            "max_concurrency: 1 or more": max_concurrency >= 1,
            "max_retries: 0 or more": max_retries >= 0,
        }
        if broken := [demand for demand, kept in demands.items() if not kept]:
            raise UserError(
                "Options of the openai back-end are wrong.",
                where="language_model in the catalog",
                expected="; ".join(broken),
            )
        self.name = f"openai:{model}"
        self.stored_specs: Sequence[DialogueSpec] | None = None
        self.settings: Mapping[str, Any] = chat_settings(
            model,
            temperature=temperature,
            top_p=top_p,
            max_tokens=max_tokens,
            json_mode=json_mode,
            extra=extra,
        )
        key = (credentials or {}).get("api_key") or os.environ.get(api_key_env)
        self._key = SecretStr(key or "")
        self._base_url = base_url
        self._address = f"{base_url.rstrip('/')}/chat/completions"
        self._where = f"{base_url}, model {model!r}"
        self._told = False
        self._timeout = timeout
        self._max_concurrency = max_concurrency
        self._max_retries = max_retries

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """Yield a completion per request as they arrive.

        Requests are taken as needed: at most twice `max_concurrency` are under way or waiting.

        Raises:
            UserError: If the server refuses what no retry heals, or does not answer any more.
        """
        from httpx2 import AsyncClient
        from openai import AsyncOpenAI

        from erc_kedro.llm.wire import PacedTransport

        wire = PacedTransport(Pace(self._max_concurrency), self._timeout)
        client = AsyncOpenAI(
            base_url=self._base_url,
            api_key=self._key.get_secret_value() or "none",
            timeout=self._timeout,
            max_retries=0,
            http_client=AsyncClient(transport=wire, follow_redirects=True),
        )
        failures: list[str] = []  # since the last answer
        ever_answered = False

        async def answer(request: Request) -> Completion:
            nonlocal ever_answered
            ask = partial(self._ask, client, request)
            try:
                completion = await persist(ask, self._max_retries)
            except PassingError as error:
                failures.append(str(error))
                if len(failures) >= _FAILURES_IN_A_ROW:
                    raise self._gone(failures) from None
                return Completion(request.spec_id, "", self.name, finish_reason=FAILED)
            failures.clear()
            ever_answered = True
            return completion

        window = 2 * self._max_concurrency
        yield from as_they_arrive(requests, answer, window=window, close=client.close)
        if failures and not ever_answered:
            raise self._gone(failures)

    async def _ask(self, client: "AsyncOpenAI", request: Request) -> Completion:
        import openai
        from httpx2 import Response

        body = chat_body(request, self.settings)
        try:
            # A plain post to a whole address: what else the client offers, checked and typed values
            # or putting the address together, costs more than all the rest.
            response = await client.post(self._address, body=body, cast_to=Response)
            values = response.json()
        except openai.APITimeoutError as error:
            raise PassingError(str(error.__cause__)) from None
        except openai.APIConnectionError as error:
            problem = self._clean(f"no connection: {error.__cause__ or error!r}")
            if not self._told:
                self._told = True
                logger.info("%s: %s; trying again", self._where, problem)
            raise PassingError(problem) from None
        except openai.APIStatusError as error:
            if error.code == "content_filter":
                return Completion(request.spec_id, "", self.name, "content_filter", 0, 0)
            raise self._judged(error) from None
        except ValueError as error:
            raise PassingError(self._clean(f"no JSON: {error}")) from None
        seconds = response.extensions["seconds"]
        try:
            completion = read_chat(values, request.spec_id, self.name, seconds)
        except ValueError as error:
            raise PassingError(self._clean(str(error))) from None
        if completion.finish_reason == FAILED:
            raise PassingError("the server ended its answer with an error")
        return completion

    def _judged(self, error: "APIStatusError") -> Exception:
        """Return what an HTTP error means: one that may heal, or the user's one message."""
        status, said = error.status_code, self._clean(_message(error))
        if status in (401, 403):
            problem = "The server refuses the key."
            remedy = "give credentials with an api_key in the catalog, or set OPENAI_API_KEY"
        elif status == 402 or _QUOTA & {error.code, error.type}:
            problem = "The account's quota is used up."
            remedy = "raise the quota, then run again"
        elif status == 404:
            problem = "The server knows no such model, or no such address."
            remedy = "check the model's name, and base_url: it mostly ends in /v1"
        elif may_heal(status):
            wait = seconds_to_wait(error.response.headers.get("retry-after"))
            if wait <= _LONGEST_WAIT:
                return PassingError(f"{status}: {said}")
            problem = f"The server wants to be left alone for {wait / 60:.0f} minutes."
            remedy = "run again later"
        else:
            problem = "The server does not take the request."
            remedy = "extra: {field: null} leaves a field out, json_mode: plain the schema"
        return UserError(problem, where=self._where, found=f"{status}: {said}", remedy=remedy)

    def _gone(self, failures: Sequence[str]) -> UserError:
        return UserError(
            "The server does not answer.",
            where=self._where,
            found=f"{len(failures)} requests in a row failed for good, the last: {failures[-1]}",
            remedy="see that it runs and base_url is right, then run again",
        )

    def _clean(self, text: str) -> str:
        """Return a short line without the key, whatever the server echoed."""
        key = self._key.get_secret_value()
        return " ".join((text.replace(key, "***") if key else text).split())[:300]


def _message(error: "APIStatusError") -> str:
    """Return a server's own words: each kind of server puts them elsewhere."""
    body = error.body
    if isinstance(body, dict):
        body = body.get("message") or body.get("detail") or body
    return str(body or error.message)

"""The wire below the official OpenAI client: HTTP by aiohttp, each exchange in its turn."""

import asyncio
import time
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import httpx2

from erc_kedro.llm.transport import Pace, may_heal, seconds_to_wait

_OVERLOADED = frozenset({408, 429, 503, 504})


class PacedTransport(httpx2.AsyncBaseTransport):
    """Sends a request when its turn comes, and tells the pace how it went.

    aiohttp needs a quarter of the processor time of the client's own transport. A turn is no longer
    than the exchange itself: what is sent was built before and what came is read after it, so the
    server does not wait for the client.

    Args:
        pace: Gives the turns.
        timeout: Seconds for an exchange, from sending to the last byte of the answer.
    """

    def __init__(self, pace: Pace, timeout: float) -> None:
        self._pace, self._timeout = pace, timeout
        self._session: aiohttp.ClientSession | None = None

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Return the whole answer; its extension "seconds" says how long it took.

        Raises:
            httpx2.TimeoutException: If it was not there in time.
            httpx2.TransportError: If the connection failed.
        """
        async with self._pace.turn() as began:
            try:
                answer, content = await self._exchange(request)
            except asyncio.TimeoutError:
                self._pace.overloaded(began)
                raise httpx2.ReadTimeout(f"no answer in {self._timeout:g} s") from None
            except (aiohttp.ClientError, OSError, ValueError) as error:
                raise httpx2.NetworkError(f"{type(error).__name__}: {error}") from error
            seconds = time.monotonic() - began
            if answer.status in _OVERLOADED:
                self._pace.overloaded(began)
            elif answer.status < 400:
                self._pace.went_well()
            if may_heal(answer.status):
                self._pace.keep_quiet(seconds_to_wait(answer.headers.get("retry-after")))
        await asyncio.sleep(0)  # whose turn it is now sends before this answer is read
        return httpx2.Response(
            answer.status,
            headers=answer.raw_headers,
            content=content,
            request=request,
            extensions={"seconds": seconds},
        )

    async def aclose(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()

    async def _exchange(self, request: httpx2.Request) -> tuple[aiohttp.ClientResponse, bytes]:
        if self._session is None:
            self._session = self._open(str(request.url))
        async with self._session.request(
            request.method,
            str(request.url),
            headers=request.headers.multi_items(),
            data=request.content,
            allow_redirects=False,
        ) as answer:
            return answer, await answer.read()

    def _open(self, url: str) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=httpx2.create_ssl_context()),
            timeout=aiohttp.ClientTimeout(total=self._timeout),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            proxy=_proxy_for(url),
        )


def _proxy_for(url: str) -> str | None:
    """Return the proxy that the environment names for an address."""
    parts, proxies = urlsplit(url), getproxies()
    if proxy_bypass(parts.netloc):
        return None
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    return f"http://{proxy}" if proxy and "://" not in proxy else proxy

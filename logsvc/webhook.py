"""HTTP to the receiver of webhooks, for the port `Webhook`: one bounded request a message, no redirects."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping

import httpx2

from logsvc.errors import CannotStart
from logsvc.settings import Settings

CONNECT_SECONDS = 5.0


class HttpWebhook:
    """
    A receiver behind `http://` or `https://`.

    Certificates are checked against the system's, or those of `SSL_CERT_FILE`; proxies are those of
    the environment (`HTTPS_PROXY`, `NO_PROXY`). The body of an answer is never read.

    Args:
        url: where messages go; may hold a secret, so it stands in no message of ours.
        timeout_seconds: for the whole of a request, from the name look-up to the answer's headers.

    Raises:
        CannotStart: the URL is none.
    """

    def __init__(self, url: str, *, timeout_seconds: float, version: str) -> None:
        try:
            self._url = httpx2.URL(url)
        except httpx2.InvalidURL as exc:
            raise CannotStart(f"The setting webhook_url is no address that can be posted to: {exc}.") from None
        self._seconds = timeout_seconds
        self._headers = {"User-Agent": f"logsvc/{version}"}
        self._client: httpx2.AsyncClient | None = None
        self._making = asyncio.Lock()

    async def post(self, body: bytes, headers: Mapping[str, str]) -> str | None:
        """As the port says."""
        client = await self._ready()
        try:
            async with asyncio.timeout(self._seconds):
                async with client.stream("POST", self._url, content=body, headers=dict(headers)) as response:
                    status = response.status_code
        except (TimeoutError, httpx2.TimeoutException):
            return f"no answer within {self._seconds:g} seconds"
        except httpx2.HTTPError as exc:
            return _reason(exc)
        if 200 <= status < 300:
            return None
        return f"the answer was {status}" + (", and redirects are not followed" if 300 <= status < 400 else "")

    async def close(self) -> None:
        """As the port says."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def _ready(self) -> httpx2.AsyncClient:
        async with self._making:
            if self._client is None:
                # Reading the system's certificates takes a while.
                self._client = await asyncio.to_thread(self._make)
            return self._client

    def _make(self) -> httpx2.AsyncClient:
        timeout = httpx2.Timeout(self._seconds, connect=min(CONNECT_SECONDS, self._seconds))
        return httpx2.AsyncClient(headers=self._headers, timeout=timeout, follow_redirects=False)


def viewer_of(settings: Settings) -> str | None:
    """Address of the viewer, for links; None where the port is not known beforehand."""
    if settings.public_url or not settings.port:
        return settings.public_url
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)
    scheme = "https" if settings.tls_certificate else "http"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{settings.port}"


def _reason(exc: httpx2.HTTPError) -> str:
    """Why there was no answer, in words that do not show the address."""
    cause: BaseException | None = exc
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not accepted: {cause.verify_message}"
        if isinstance(cause, ssl.SSLError):
            return f"TLS failed: {cause.reason or cause}"
        cause = cause.__cause__ or cause.__context__
    if isinstance(exc, httpx2.ConnectError):
        return f"it cannot be reached: {exc}"
    return f"the connection broke: {type(exc).__name__}"

"""How the commands talk to a service: its address, a token, its errors as sentences."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import httpx2
import orjson

from logsvc.errors import BadInput, Forbidden, LogsvcError, NotFound, StoreUnavailable, Unauthorized
from logsvc.model.data_folder import TOKEN_FILE, default_data_dir

TIMEOUT = httpx2.Timeout(120.0, connect=10.0)  # a search may take its time
_VERBATIM = {"Accept-Encoding": "identity"}  # ranges are of the bytes as they are stored
_AWAY = StoreUnavailable  # worth asking again: also where a proxy answers for a service that is restarted
_KINDS: dict[int, type[LogsvcError]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    429: _AWAY,
    502: _AWAY,
    503: _AWAY,
    504: _AWAY,
}


@dataclass(frozen=True)
class Client:
    """One service, as the commands see it."""

    server: str
    token: str | None

    @classmethod
    def from_environment(cls, data_dir: Path | None = None) -> Client:
        """`LOGSVC_SERVER`; `LOGSVC_TOKEN`, `LOGSVC_TOKEN_FILE`, or the first admin token where it may be read."""
        server = os.environ.get("LOGSVC_SERVER") or "http://127.0.0.1:8600"
        return cls(server.rstrip("/"), _token(data_dir))

    def get(self, path: str, **query: Any) -> Any:
        """
        The answer to a GET below `/api/v1`.

        Raises:
            LogsvcError: the service's own error, or a sentence on why there is no answer.
        """
        with self.connected() as connection:
            return connection.get(path, **query)

    def change(self, method: str, path: str, body: Any = None) -> Any:
        """The answer to a change, None where it has no body; raises as `get`."""
        with httpx2.Client(**self._reached()) as http, _Told(self.server):
            response = http.request(method, quote(path), json=body)
            _check(response)
            return orjson.loads(response.content) if response.content else None

    @contextmanager
    def connected(self) -> Iterator[Connection]:
        """For many calls, one behind the other."""
        with httpx2.Client(**self._reached()) as http:
            yield Connection(self.server, http)

    async def fetch(self, path: str, **query: Any) -> Any:
        """As `get`, and may be cancelled."""
        async with httpx2.AsyncClient(**self._reached()) as http:
            with _Told(self.server):
                response = await http.get(_address(path, query))
            _check(response)
            return orjson.loads(response.content)

    async def follow(self, stream_id: str, *, start: int, lines: str) -> AsyncIterator[dict[str, Any]]:
        """Messages of a WebSocket; raises as `get`. Ends where the service ends it."""
        from websockets.asyncio.client import connect
        from websockets.exceptions import ConnectionClosedError, ConnectionClosedOK, InvalidHandshake, InvalidStatus

        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        address = "ws" + self.server.removeprefix("http") + "/api/v1"
        address += _address(f"/streams/{stream_id}/follow", {"from": start, "lines": lines})
        try:
            async with connect(
                address, additional_headers=headers, compression=None, max_size=None, proxy=None
            ) as socket:
                async for text in socket:
                    yield orjson.loads(text)
        except InvalidStatus as exc:
            raise _error(exc.response.status_code, bytes(exc.response.body or b"")) from exc
        except ConnectionClosedOK:
            return
        except ConnectionClosedError as exc:
            raise StoreUnavailable("The service closed the connection; follow again in a moment.") from exc
        except (OSError, InvalidHandshake) as exc:
            raise _unreachable(self.server, exc) from exc

    def _reached(self) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        return {"base_url": f"{self.server}/api/v1", "headers": headers, "timeout": TIMEOUT}


class Connection:
    """Calls to one service, below `/api/v1`; raise as `Client.get`."""

    def __init__(self, server: str, http: httpx2.Client) -> None:
        self._server, self._http = server, http

    def get(self, path: str, **query: Any) -> Any:
        """JSON."""
        with _Told(self._server):
            response = self._http.get(_address(path, query))
            _check(response)
            return orjson.loads(response.content)

    def stream(self, path: str, **query: Any) -> Iterator[bytes]:
        """The body in pieces."""
        with _Told(self._server), self._http.stream("GET", _address(path, query), headers=_VERBATIM) as response:
            _checked_body(response)
            yield from response.iter_raw()

    def part(self, path: str, start: int, end: int, tag: str | None) -> Iterator[Part]:
        """
        The bytes [start, end) of a body, in pieces.

        Args:
            tag: what `Part.tag` was before: of a body that has become another, all comes, from its first byte on.
        """
        headers = _VERBATIM | {"Range": f"bytes={start}-{end - 1}"} | ({"If-Range": tag} if tag else {})
        with _Told(self._server), self._http.stream("GET", _address(path, {}), headers=headers) as response:
            _checked_body(response)
            at = start if response.status_code == 206 else 0
            for piece in response.iter_raw():
                yield Part(at, piece, response.headers.get("etag"))
                at += len(piece)


@dataclass(frozen=True)
class Part:
    """Bytes of a body at a place, and the tag of the whole."""

    at: int
    data: bytes
    tag: str | None


class _Told:
    """Turns what the HTTP client raises into a sentence."""

    def __init__(self, server: str) -> None:
        self._server = server

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, exc: BaseException | None, trace: object) -> None:
        if isinstance(exc, (httpx2.ReadError, httpx2.RemoteProtocolError)):
            raise StoreUnavailable(f"The connection to {self._server} was cut ({exc or type(exc).__name__}).") from exc
        if isinstance(exc, (httpx2.HTTPError, httpx2.InvalidURL)):
            raise _unreachable(self._server, exc) from exc


def _address(path: str, query: dict[str, Any]) -> str:
    asked = urlencode({name: value for name, value in query.items() if value is not None}, doseq=True)
    return quote(path) + (f"?{asked}" if asked else "")


def _check(response: httpx2.Response) -> None:
    if response.status_code >= 400:
        raise _error(response.status_code, response.content)


def _checked_body(response: httpx2.Response) -> None:
    if response.status_code >= 400:
        response.read()
        _check(response)


def _error(status: int, body: bytes) -> LogsvcError:
    kind = _KINDS.get(status, LogsvcError)
    try:
        held = orjson.loads(body)["error"]
        error = kind(held["message"])
        error.code = held["code"]
    except (ValueError, KeyError, TypeError):
        return kind(f"The service answered {status}.")
    return error


def _unreachable(server: str, exc: BaseException) -> LogsvcError:
    return StoreUnavailable(
        f"No service answers at {server} ({exc or type(exc).__name__}); start one with `logsvc serve`, "
        "or set LOGSVC_SERVER."
    )


def _token(data_dir: Path | None) -> str | None:
    token = os.environ.get("LOGSVC_TOKEN")
    if token:
        return token.strip()
    named = os.environ.get("LOGSVC_TOKEN_FILE")
    folder = data_dir or Path(os.environ.get("LOGSVC_DATA_DIR") or default_data_dir())
    file = Path(named) if named else folder / TOKEN_FILE
    try:
        return file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as exc:
        if named:
            raise BadInput(f"The token file {named} cannot be read: {exc}.") from exc
        return None

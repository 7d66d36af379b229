"""The service's HTTP interface, as the collector needs it: standard library only.

An answer counts only if it has the form of the service's own: a 200 from something in between is
no acknowledgement. Redirects are not followed, so the token goes to the named server only; over
https a proxy never sees it.
"""

from __future__ import annotations

import gzip
import http.client
import json
import os
import re
import socket
import ssl
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Optional
from urllib.parse import quote, urlencode, urlsplit

from collectors.proxy import is_here, proxy_for
from collectors.settings import Settings
from logsvc.errors import BadInput

try:
    import zstandard
except ImportError:  # gzip does
    zstandard = None  # type: ignore[assignment]

Say = Callable[[str], None]  # one line for a person

MAX_ANSWER_BYTES = 16 << 20
_LENGTH = struct.Struct("<I")
PACK_FROM_BYTES = 1024  # smaller bodies gain nothing
CONNECT_SECONDS = 10.0
RETRY_AFTER_CEILING_SECONDS = 300.0  # whoever asks for more may be a gateway that is gone soon
ANSWER_SECONDS = 90.0  # a body waits for the service's commit, and that for a full backlog


class Unavailable(Exception):
    """
    No answer of the service, or one that says "later". Nothing is acknowledged; try again.

    Attributes:
        retry_after_seconds: what the service asked for; None: nothing.
        refused: the service knows why (401, 403): words for a person.
    """

    def __init__(self, message: str, *, retry_after_seconds: Optional[float] = None, refused: bool = False) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds
        self.refused = refused


class Refused(Exception):
    """The service answered with an error of its own; asking the same again changes nothing."""

    def __init__(self, status: int, code: str, message: str, detail: dict[str, Any]) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.detail = status, code, message, detail

    def __str__(self) -> str:
        return f"{self.message} ({self.code})"


@dataclass(frozen=True)
class Frame:
    """Bytes of one stream, for a chunk or a place in a batch."""

    job: str
    task: str
    path: str
    generation: int
    offset: int
    data: bytes
    final: bool = False
    rank: Optional[int] = None  # where the path does not say it


class Client:
    """One connection to one service, kept open between requests. Not for two threads at once."""

    def __init__(self, settings: Settings) -> None:
        """Raises BadInput where the URL, the token file, the certificates or the proxy cannot be used."""
        parts = urlsplit(settings.server)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise BadInput(f"--server {settings.server!r} is not a URL like http://127.0.0.1:8600")
        try:
            self._port = parts.port or (443 if parts.scheme == "https" else 80)
        except ValueError as exc:
            raise BadInput(f"--server {settings.server!r}: {exc}") from exc
        self.server = settings.server
        self._host = parts.hostname
        self._proxy = proxy_for(parts.scheme, self._host, self._port, os.environ)
        own = f"[{self._host}]" if ":" in self._host else self._host
        plain = self._proxy is not None and parts.scheme == "http"  # then the proxy reads the whole address
        self._prefix = (f"http://{own}:{self._port}" if plain else "") + parts.path.rstrip("/") + "/api/v1"
        self._token_file = settings.token_file
        self._token = read_token(settings.token_file) if settings.token_file else settings.token
        self._context = _context(settings.ca_file) if parts.scheme == "https" else None
        self._encoding = _encoding(settings.compress, self._host)
        self._connection: Optional[http.client.HTTPConnection] = None
        self.asked_at: Optional[float] = None  # monotonic seconds: since when an answer is awaited
        self.answered_at: Optional[float] = None  # when the service last took a request

    def offsets(self, streams: Sequence[tuple[str, str, str]]) -> list[list[dict[str, Any]]]:
        """Generations held, for each (job, task, path)."""
        body = {"streams": [{"job": job, "task": task, "path": path} for job, task, path in streams]}
        answer = self.call_json("POST", "/offsets", body)
        listed = answer.get("streams") if isinstance(answer, dict) else answer
        if not isinstance(listed, list) or len(listed) != len(streams):
            raise Unavailable(f"{self.server} answered /offsets with something else: not a logsvc service?")
        generations: list[Any] = [entry.get("generations") if isinstance(entry, dict) else None for entry in listed]
        if not all(isinstance(held, list) and all(map(_is_generation, held)) for held in generations):
            raise Unavailable(f"{self.server} answered /offsets with something else: not a logsvc service?")
        return generations

    def chunk(self, frame: Frame) -> int:
        """Send one chunk; returns the stream's next offset."""
        query: dict[str, object] = {
            "job": frame.job,
            "task": frame.task,
            "path": frame.path,
            "generation": frame.generation,
            "offset": frame.offset,
        }
        if frame.final:
            query["final"] = 1
        if frame.rank is not None:
            query["rank"] = frame.rank
        answer = self._post("/chunks?" + urlencode(query), frame.data)
        return self._next_offset(answer)

    def batch(self, frames: Sequence[Frame]) -> list[object]:
        """Send many chunks; for each its next offset (int) or its Refused."""
        parts: list[bytes] = []
        for frame in frames:
            head = _head(frame)
            parts += (_LENGTH.pack(len(head)), head, frame.data)
        answer = self._post("/batch", b"".join(parts))
        results = answer.get("results") if isinstance(answer, dict) else None
        if not isinstance(results, list) or len(results) != len(frames):
            raise Unavailable(f"{self.server} answered 200 without an acknowledgement: not a logsvc service?")
        return [_refused(200, entry) if _is_own_error(entry) else self._next_offset(entry) for entry in results]

    def job(self, job: str) -> Optional[dict[str, Any]]:
        """What the service knows of a job; None: nothing."""
        try:
            answer = self.call_json("GET", "/jobs/" + quote(job, safe=""))
        except Refused as exc:
            if exc.status == 404:
                return None
            raise
        return answer if isinstance(answer, dict) else None

    def put_job(self, job: str, fields: dict[str, Any]) -> None:
        """Describe a job."""
        self.call_json("PUT", "/jobs/" + quote(job, safe=""), fields)

    def streams(self, job: str) -> list[dict[str, Any]]:
        """Streams of a job; none for an unknown one."""
        try:
            answer = self.call_json("GET", "/jobs/" + quote(job, safe="") + "/streams")
        except Refused as exc:
            if exc.status == 404:
                return []
            raise
        return list(answer.get("streams", [])) if isinstance(answer, dict) else []

    def call_json(self, method: str, path: str, body: Optional[object] = None) -> Any:
        """One request of JSON; raises Unavailable, Refused."""
        headers = {"Content-Type": "application/json"} if body is not None else {}
        return self._request(method, path, json.dumps(body).encode() if body is not None else None, headers)

    def close(self) -> None:
        """End the connection; may be called twice."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _next_offset(self, answer: Any) -> int:
        value = answer.get("next_offset") if isinstance(answer, dict) else None
        if isinstance(value, int) and _is_count(value):
            return value
        raise Unavailable(f"{self.server} answered 200 without an acknowledgement: not a logsvc service?")

    def _post(self, path: str, body: bytes) -> Any:
        headers = {"Content-Type": "application/octet-stream"}
        packed = self._encoding if len(body) >= PACK_FROM_BYTES else None
        if packed == "zstd":
            headers["Content-Encoding"] = "zstd"
            sent = zstandard.ZstdCompressor(level=1).compress(body)
        elif packed == "gzip":
            headers["Content-Encoding"] = "gzip"
            sent = gzip.compress(body, 1)
        else:
            sent = body
        try:
            return self._request("POST", path, sent, headers)
        except Refused as exc:
            if exc.status != 415 or not packed:
                raise
            self._encoding = None
            return self._request("POST", path, body, {"Content-Type": "application/octet-stream"})

    def _request(self, method: str, path: str, body: Optional[bytes], headers: dict[str, str]) -> Any:
        self.asked_at = time.monotonic()
        try:
            answer = self._ask(method, path, body, headers)
            self.answered_at = time.monotonic()
            return answer
        finally:
            self.asked_at = None

    def _ask(self, method: str, path: str, body: Optional[bytes], headers: dict[str, str]) -> Any:
        try:
            return self._answer(*self._exchange(method, path, body, headers))
        except Unavailable as exc:
            if not exc.refused or self._token_file is None:
                raise
            try:
                token = read_token(self._token_file)
            except BadInput as bad:
                raise Unavailable(bad.message, refused=True) from exc
            if token == self._token:
                raise
            self._token = token  # it was renewed
            return self._answer(*self._exchange(method, path, body, headers))

    def _exchange(
        self, method: str, path: str, body: Optional[bytes], headers: dict[str, str]
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        headers = {"Accept": "application/json", **headers}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        if self._proxy and self._proxy.authorization and self._context is None:
            headers["Proxy-Authorization"] = self._proxy.authorization
        fresh = self._connection is None
        while True:
            try:
                connection = self._connect()
                connection.request(method, self._prefix + path, body, headers)
                response = connection.getresponse()
                answer = response.read(MAX_ANSWER_BYTES + 1)
                if response.will_close or len(answer) > MAX_ANSWER_BYTES:
                    self.close()
                return response.status, response.headers, answer
            except (OSError, http.client.HTTPException) as exc:
                self.close()
                if fresh or isinstance(exc, (TimeoutError, socket.timeout)):
                    raise Unavailable(f"{self.server}: {_words(exc)}") from exc
                fresh = True  # the service had closed a connection at rest: once more on a new one

    def _connect(self) -> http.client.HTTPConnection:
        if self._connection is None:
            proxy = self._proxy
            host, port = (proxy.host, proxy.port) if proxy else (self._host, self._port)
            if self._context is not None:
                connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                    host, port, timeout=CONNECT_SECONDS, context=self._context
                )
                if proxy:
                    own = {"Proxy-Authorization": proxy.authorization} if proxy.authorization else {}
                    connection.set_tunnel(self._host, self._port, own)
            else:
                connection = http.client.HTTPConnection(host, port, timeout=CONNECT_SECONDS)
            connection.connect()
            connection.sock.settimeout(ANSWER_SECONDS)
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._connection = connection
        return self._connection

    def _answer(self, status: int, headers: http.client.HTTPMessage, body: bytes) -> Any:
        retry_after = retry_after_seconds(headers.get("Retry-After"), headers.get("Date"))
        answer: Any
        try:
            answer = json.loads(body) if body else {}
        except (ValueError, RecursionError):
            answer = None
        if 200 <= status < 300:
            if answer is None:
                raise Unavailable(f"{self.server} answered {status} without an acknowledgement: not a logsvc service?")
            return answer
        if status == 401:
            raise Unavailable(
                f"{self.server} does not know the token (401): give one of `logsvc token create --role ingest`",
                refused=True,
            )
        if status == 403:
            raise Unavailable(
                f"{self.server} knows the token, but it may not send logs (403): it needs the role ingest",
                refused=True,
            )
        if status == 407 and self._proxy:
            raise Unavailable(
                f"the proxy {self._proxy.host}:{self._proxy.port} asks for a password (407): name it in the proxy's URL"
            )
        if 300 <= status < 400:
            raise Unavailable(
                f"{self.server} redirects to {headers.get('Location', '?')}; none is followed, name that server"
            )
        if status == 413 and not _is_own_error(answer):  # something in between has a limit of its own
            raise Refused(413, "too_large", f"{self.server} or a proxy before it takes no body of this size (413)", {})
        if status == 429 or status >= 500 or not _is_own_error(answer):
            told = answer["error"]["message"] if _is_own_error(answer) else ""
            raise Unavailable(f"{self.server}: {told or f'HTTP {status}'}", retry_after_seconds=retry_after)
        raise _refused(status, answer)


def read_token(file: Path) -> str:
    """The token in a file; raises BadInput where there is none."""
    try:
        token = file.read_text("utf-8").strip()
    except (OSError, ValueError) as exc:
        raise BadInput(f"token file {file}: {_words(exc)}") from exc
    if not token or any(char.isspace() for char in token):
        raise BadInput(f"token file {file}: it must hold one token and nothing else")
    return token


def retry_after_seconds(text: Optional[str], date: Optional[str]) -> Optional[float]:
    """
    `Retry-After` in seconds from now, at most RETRY_AFTER_CEILING_SECONDS; None where it says nothing.

    Args:
        text: seconds, or an HTTP date.
        date: the answer's own `Date`: the sender's clock may be another than ours.
    """
    text = (text or "").strip()
    if re.fullmatch("[0-9]+", text):
        seconds = float(text[:10])
    else:
        until, now = _instant(text), _instant(date or "")
        if until is None:
            return None
        seconds = until - (time.time() if now is None else now)
    return min(max(0.0, seconds), RETRY_AFTER_CEILING_SECONDS)


def _instant(text: str) -> Optional[float]:
    """An HTTP date in seconds since 1970; None where it is none."""
    try:
        return parsedate_to_datetime(text).timestamp()
    except (TypeError, ValueError, IndexError, OverflowError):
        return None


def _head(frame: Frame) -> bytes:
    """A frame's JSON in a batch."""
    name = _name_json(frame.job, frame.task, frame.path, frame.generation)
    rank = "" if frame.rank is None else f', "rank": {frame.rank}'
    final = "true" if frame.final else "false"
    return f'{name}, "offset": {frame.offset}, "length": {len(frame.data)}, "final": {final}{rank}}}'.encode()


@lru_cache(maxsize=16_384)
def _name_json(job: str, task: str, path: str, generation: int) -> str:
    """The part that all frames of a stream have in common, the object left open."""
    return json.dumps({"job": job, "task": task, "path": path, "generation": generation})[:-1]


def _is_own_error(answer: Any) -> bool:
    """Whether an answer has the form of the service's errors; other programs say `error` too."""
    error = answer.get("error") if isinstance(answer, dict) else None
    return isinstance(error, dict) and isinstance(error.get("code"), str) and isinstance(error.get("message"), str)


def _is_generation(held: Any) -> bool:
    """Whether an entry of /offsets has the form of the service's."""
    if not isinstance(held, dict):
        return False
    return all(_is_count(held.get(name)) for name in ("generation", "next_offset", "head_bytes", "tail_bytes")) and all(
        isinstance(held.get(name), str) for name in ("head_sha256", "tail_sha256")
    )


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _refused(status: int, answer: dict[str, Any]) -> Refused:
    error = answer["error"]
    detail = error.get("detail")
    return Refused(status, error["code"], error["message"], detail if isinstance(detail, dict) else {})


def _encoding(compress: str, host: str) -> Optional[str]:
    if compress == "auto":
        return None if is_here(host) else ("zstd" if zstandard is not None else "gzip")
    if compress == "zstd" and zstandard is None:
        raise BadInput("--compress zstd needs the package zstandard; gzip is always there")
    return None if compress == "none" else compress


def _context(ca_file: Optional[Path]) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as exc:
        raise BadInput(f"--ca-file {ca_file}: {_words(exc)}") from exc


def _words(exc: BaseException) -> str:
    if isinstance(exc, (TimeoutError, socket.timeout)):
        return "no answer in time"
    text = getattr(exc, "strerror", None) or str(exc)
    return text or type(exc).__name__

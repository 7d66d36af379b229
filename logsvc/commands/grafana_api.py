"""The few calls of Grafana's HTTP API that a push makes, and what goes wrong with them as sentences."""

from __future__ import annotations

import re
import ssl
from typing import Any
from urllib.parse import quote

import httpx2

from logsvc.errors import BadInput, Conflict, Forbidden, LogsvcError, Unauthorized

TIMEOUT = httpx2.Timeout(30.0, connect=10.0)
OLDEST = (10, 0)  # boards of schemaVersion 39 and rule groups that stay editable (X-Disable-Provenance)
EDITABLE = {"X-Disable-Provenance": "true"}  # without it, people could not change the rules in Grafana


class Grafana:
    """
    A Grafana server, as the holder of a token sees it.

    Args:
        url: with its path where it has one: `https://monitor.example.com/grafana`.
        token: of a service account.

    Raises:
        BadInput: the URL is none, or holds a password.
    """

    def __init__(self, url: str, token: str) -> None:
        self.url = _checked(url)
        self._http = httpx2.Client(
            base_url=self.url, headers={"Authorization": f"Bearer {token}"}, timeout=TIMEOUT, follow_redirects=False
        )

    def __enter__(self) -> Grafana:
        return self

    def __exit__(self, *exc: object) -> None:
        self._http.close()

    def check(self) -> None:
        """Raises LogsvcError where no Grafana answers, or one that is too old."""
        response = self._send("GET", "/api/health")
        held = _json(response)
        if response.status_code not in (200, 503) or not isinstance(held, dict) or "database" not in held:
            raise LogsvcError(
                f"What answers at {self.url} is no Grafana (it answered {response.status_code} to /api/health); "
                "give the address that Grafana's own pages begin with."
            )
        if response.status_code == 503:
            raise LogsvcError(f"The Grafana at {self.url} has no database; its own log says why.")
        version = str(held.get("version", ""))  # a server may hide it
        number = re.match(r"(\d+)\.(\d+)", version)
        if number and (int(number[1]), int(number[2])) < OLDEST:
            raise LogsvcError(f"The Grafana at {self.url} is {version}; a push needs 10.0 or newer.")

    def find(self, path: str, *names: str) -> Any:
        """What lies there; None where nothing does."""
        return self._call("GET", _address(path, names), missing_is_none=True)

    def post(self, path: str, body: Any, *, editable: bool = False) -> Any:
        """Make something."""
        return self._call("POST", path, body, headers=EDITABLE if editable else None)

    def put(self, path: str, *names: str, body: Any, editable: bool = False) -> Any:
        """Change something."""
        return self._call("PUT", _address(path, names), body, headers=EDITABLE if editable else None)

    def _call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: dict[str, str] | None = None,
        missing_is_none: bool = False,
    ) -> Any:
        response = self._send(method, path, json=body, headers=headers)
        if response.status_code == 404 and missing_is_none:
            return None
        if response.status_code >= 300:
            raise self._error(method, path, response)
        return _json(response)

    def _send(self, method: str, path: str, **more: Any) -> httpx2.Response:
        try:
            response = self._http.request(method, path, **more)
        except httpx2.HTTPError as exc:
            raise LogsvcError(f"No Grafana can be reached at {self.url}: {_reason(exc)}.") from exc
        if 300 <= response.status_code < 400:
            target = response.headers.get("location", "another address")
            raise LogsvcError(f"{self.url} sends on to {target}; give the address that Grafana itself has.")
        return response

    def _error(self, method: str, path: str, response: httpx2.Response) -> LogsvcError:
        held = _json(response)
        said = str(held.get("message", "")) if isinstance(held, dict) else ""
        told = f" It says: {said}" if said else ""
        if response.status_code == 401:
            return Unauthorized(f"Grafana does not take the token.{told} A token of a service account is needed.")
        if response.status_code == 403:
            return Forbidden(
                f"The token may not {_WORDS[method]} {path}.{told} Folders, boards and rules need the role Editor, "
                "a datasource the role Admin."
            )
        kind = Conflict if response.status_code in (409, 412) else LogsvcError
        return kind(f"Grafana answered {response.status_code} to {method} {path}.{told}")


_WORDS = {"GET": "read", "POST": "write to", "PUT": "change"}


def _checked(url: str) -> str:
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL as exc:
        raise BadInput(f"{url} is no address of a Grafana: {exc}.") from None
    if parsed.userinfo:
        raise BadInput(
            "The address holds a user name or a password, which others on this machine can read. Make a service "
            "account in Grafana and give its token in LOGSVC_GRAFANA_TOKEN or with --token-file."
        )
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise BadInput(f"{url} is no address of a Grafana; it begins with http:// or https://.")
    return url.rstrip("/")


def _address(path: str, names: tuple[str, ...]) -> str:
    return path.format(*(quote(name, safe="") for name in names))


def _json(response: httpx2.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        return None


def _reason(exc: httpx2.HTTPError) -> str:
    if isinstance(exc, httpx2.TimeoutException):
        return "no answer in time"
    cause: BaseException | None = exc
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not accepted ({cause.verify_message}); SSL_CERT_FILE names others to trust"
        if isinstance(cause, ssl.SSLError):
            return "it does not speak TLS there; is it http://?"
        cause = cause.__cause__ or cause.__context__
    return str(exc) or type(exc).__name__

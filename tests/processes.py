"""The service in a process of its own, for tests that kill it, starve it or trace it."""

from __future__ import annotations

import http.client
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

START_SECONDS = 60.0


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class ServiceProcess:
    """`logsvc serve` on a data folder; may be killed and started again."""

    def __init__(
        self,
        folder: Path,
        *,
        prefix: tuple[str, ...] = (),
        port: int | None = None,
        preexec: Any = None,
        **settings: str,
    ) -> None:
        self.folder = folder
        self.port = port or free_port()
        self.log = folder.parent / f"{folder.name}.log"
        self.token = ""
        # What may not stand in its log, besides its token; tests add theirs.
        self.secrets = {value for name, value in settings.items() if name in ("webhook_url", "webhook_secret")}
        self._prefix = prefix
        self._preexec = preexec
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("LOGSVC_")} | {
            f"LOGSVC_{name.upper()}": value for name, value in settings.items()
        }

    def launch(self) -> None:
        """Start the process; `wait_ready` waits until it answers."""
        command = [*self._prefix, sys.executable, "-m", "logsvc", "serve", "--port", str(self.port)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--data-dir", str(self.folder)],
                stdout=subprocess.PIPE,
                stderr=log,
                env=self._environment,
                start_new_session=True,
                preexec_fn=self._preexec,
            )

    def wait_ready(self) -> None:
        """Read the line that the service prints once it answers."""
        assert self.process.stdout
        ready, _, _ = select.select([self.process.stdout], [], [], START_SECONDS)
        line = self.process.stdout.readline().decode() if ready else ""
        assert line.startswith("viewer: "), (line, self.process.poll(), self.logged()[-2000:])
        self.token = line.strip().partition("/?token=")[2]

    def start(self) -> ServiceProcess:
        """Start, and wait until it answers."""
        self.launch()
        try:
            self.wait_ready()
        except BaseException:
            self.kill()
            raise
        return self

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send a signal to the service and whatever runs it; waits for its end. Its log must have kept its secrets."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, number)
        self.process.wait(START_SECONDS)
        assert self.process.stdout
        self.process.stdout.close()
        log = self.log.read_bytes()
        told = [line for line in log.splitlines() if any(secret.encode() in line for secret in self._all_secrets())]
        assert not told, told[:3]

    def stop(self) -> None:
        """End it in order."""
        self.kill(signal.SIGTERM)

    def _all_secrets(self) -> set[str]:
        return {secret for secret in (self.token, *self.secrets) if secret}

    def logged(self) -> str:
        """What it wrote to its log so far."""
        return self.log.read_text(errors="replace")

    def client(self, token: str | None = None) -> Client:
        """A client that has this token, or the first admin's."""
        if token is not None:
            self.secrets.add(token)
        return Client(self.port, token or self.token)


class Answer:
    """Status, headers and body of a response."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """Code of the error, after checking that it has the one form and shows no trace."""
        error = self.json["error"]
        assert set(error) == {"code", "message", "detail"}
        assert error["message"] and "Traceback" not in self.body.decode() and len(error["message"]) < 1000
        return str(error["code"])


class Client:
    """HTTP on one connection, kept open."""

    def __init__(self, port: int, token: str | None, seconds: float = 60.0) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}

    def close(self) -> None:
        self._connection.close()

    def ask(self, method: str, path: str, /, body: bytes | None = None, headers: Any = None, **query: Any) -> Answer:
        """One request below /api/v1."""
        target = f"/api/v1{path}" + (f"?{urlencode(query)}" if query else "")
        self._connection.request(method, target, body, {**self._headers, **(headers or {})})
        return Answer(self._connection.getresponse())

    def page(self, target: str) -> Answer:
        """A GET of what is not below /api/v1, as a browser asks for it."""
        self._connection.request("GET", target)
        return Answer(self._connection.getresponse())

    def get(self, path: str, /, **query: Any) -> Any:
        """JSON of a GET that succeeds."""
        answer = self.ask("GET", path, **query)
        assert answer.status == 200, answer.body[:1000]
        return answer.json

    def chunk(self, data: bytes, *, offset: int, headers: Any = None, **name: Any) -> Answer:
        """Send a chunk."""
        return self.ask("POST", "/chunks", data, headers, offset=offset, **name)

    def raw(self, stream: str) -> bytes:
        """Every byte held of a stream."""
        answer = self.ask("GET", f"/streams/{stream}/raw")
        assert answer.status == 200, answer.body[:1000]
        return answer.body


def wait_until(holds: Any, seconds: float = 30.0) -> None:
    """Wait for something that another process brings about."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come about in time"
        time.sleep(0.02)

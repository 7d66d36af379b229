"""The service as a process of its own on loopback, what it uses, and a plain HTTP client."""

from __future__ import annotations

import contextlib
import http.client
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import orjson

TICKS = os.sysconf("SC_CLK_TCK")
START_SECONDS = 60.0
STOP_SECONDS = 30.0
ANSWER_SECONDS = 120.0
POLL_SECONDS = 0.05


class WrongAnswer(Exception):
    """The service said something that is not so."""


class Service:
    """`logsvc serve` on a data folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.token = ""
        self.peak_bytes = 0  # of anonymous memory, since it was last set to 0
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self._log = folder.parent / f"{folder.name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Service:
        """Start it and wait until it says that it answers."""
        self.launch()
        return self.wait_ready()

    def launch(self) -> None:
        """Start the process and nothing else."""
        # Compiled modules, as after an ordinary installation: without them a restart measures the compiler.
        taken = ("LOGSVC_", "PYTHONDONTWRITEBYTECODE")
        settings = {name: value for name, value in os.environ.items() if not name.startswith(taken)}
        settings["PYTHONPYCACHEPREFIX"] = str(self.folder.parent / "compiled")
        command = [sys.executable, "-m", "logsvc", "serve", "--port", str(self.port), "--data-dir", str(self.folder)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, env=settings)
        threading.Thread(target=self._watch, args=(self._process,), daemon=True).start()

    def wait_ready(self) -> Service:
        """Read the line with the viewer's address and its token."""
        assert self._process and self._process.stdout
        ready, _, _ = select.select([self._process.stdout], [], [], START_SECONDS)
        line = self._process.stdout.readline().decode() if ready else ""
        if not line.startswith("viewer: "):
            said = self._log.read_text(errors="replace")[-500:]
            raise RuntimeError(f"the service did not start: {line!r} {said}")
        self.token = line.strip().partition("/?token=")[2]
        return self

    def kill(self, number: int = signal.SIGKILL) -> None:
        """End it with a signal and wait for its end."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(number)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_SECONDS)
        assert process.stdout
        process.stdout.close()

    def stop(self) -> None:
        """End it in order."""
        self.kill(signal.SIGTERM)

    def client(self) -> Client:
        """A connection with the admin token."""
        return Client(self.port, self.token)

    def cpu_seconds(self) -> float:
        """User and system time used so far."""
        assert self._process
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def settle(self, quiet_seconds: float = 1.5, at_most_seconds: float = 60.0) -> None:
        """Wait until it has nothing left to do."""
        end = time.monotonic() + at_most_seconds
        before, since = self.cpu_seconds(), time.monotonic()
        while time.monotonic() < end and time.monotonic() - since < quiet_seconds:
            time.sleep(0.1)
            now = self.cpu_seconds()
            if now - before > 0.02:
                since = time.monotonic()
            before = now

    def disk_bytes(self) -> int:
        """What its folder takes of the disk."""
        return sum(path.stat().st_blocks * 512 for path in self.folder.rglob("*") if path.is_file())

    def _watch(self, process: subprocess.Popen[bytes]) -> None:
        path = Path(f"/proc/{process.pid}/status")
        while process.poll() is None:
            with contextlib.suppress(OSError, IndexError, ValueError):
                held = int(path.read_text().partition("RssAnon:")[2].split()[0]) * 1024
                self.peak_bytes = max(self.peak_bytes, held)
            time.sleep(POLL_SECONDS)


class Client:
    """HTTP on one connection, kept open."""

    def __init__(self, port: int, token: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_SECONDS)
        self._headers = {"Authorization": f"Bearer {token}"}

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def get(self, path: str, /, **query: Any) -> Any:
        """JSON of a GET below /api/v1."""
        return self._json("GET", path, None, query)

    def post(self, path: str, body: bytes, /, **query: Any) -> Any:
        """JSON of a POST below /api/v1."""
        return self._json("POST", path, body, query)

    def put(self, path: str, body: bytes) -> Any:
        """JSON of a PUT below /api/v1."""
        return self._json("PUT", path, body, {})

    def send(self, path: str, body: bytes) -> None:
        """A POST below /api/v1 that answers nothing."""
        self._ask("POST", _target(path, {}), body)

    def timed(self, path: str, /, **query: Any) -> tuple[float, Any]:
        """Milliseconds until the whole answer was there, and its JSON."""
        target = _target(path, query)
        start = time.perf_counter()
        body = self._ask("GET", target, None)
        return 1000 * (time.perf_counter() - start), orjson.loads(body)

    def _json(self, method: str, path: str, body: bytes | None, query: dict[str, Any]) -> Any:
        return orjson.loads(self._ask(method, _target(path, query), body))

    def _ask(self, method: str, target: str, body: bytes | None) -> bytes:
        self._connection.request(method, target, body, self._headers)
        response = self._connection.getresponse()
        answer = response.read()
        if response.status not in (200, 204):
            raise WrongAnswer(f"{method} {target[:100]}: {response.status} {answer[:200]!r}")
        return answer


def _target(path: str, query: dict[str, Any]) -> str:
    return f"/api/v1{path}" + (f"?{urlencode(query, doseq=True)}" if query else "")

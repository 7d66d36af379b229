"""A receiver of webhooks that answers as it is told: takes, refuses, redirects, hangs, drips, never ends."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from processes import wait_until

DRIP_SECONDS = 0.05


@dataclass
class Taken:
    """One request."""

    path: str
    headers: Any
    body: bytes
    answer: str


@dataclass
class Receiver:
    """Answers with `answers`, one a request, and then with 204; each is a status or a misbehaviour."""

    tls: ssl.SSLContext | None = None
    answers: list[str] = field(default_factory=list)
    got: list[Taken] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.closing = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                answer = receiver.answers.pop(0) if receiver.answers else "204"
                receiver.got.append(Taken(self.path, self.headers, body, answer))
                receiver.reply(self, answer)

            def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]
        if self.tls:
            self._server.socket = self.tls.wrap_socket(self._server.socket, server_side=True)
        self.port = int(self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}/hook?key=of-the-receiver"

    def reply(self, request: BaseHTTPRequestHandler, answer: str) -> None:
        if answer == "hang":
            self.closing.wait()
            request.close_connection = True
        elif answer == "cut":
            request.connection.shutdown(socket.SHUT_RDWR)
            request.close_connection = True
        elif answer == "drip":
            for letter in b"HTTP/1.1 204 No Content\r\nX-Long: " + b"x" * 10_000:
                request.wfile.write(bytes([letter]))
                time.sleep(DRIP_SECONDS)
        elif answer == "noise":
            request.wfile.write(b"\x00\xff this is no HTTP\r\n\r\n")
            request.close_connection = True
        elif answer == "endless":
            request.send_response(200)
            request.end_headers()
            while not self.closing.is_set():
                request.wfile.write(b"x" * 65536)
        else:
            request.send_response(int(answer))
            if answer.startswith("3"):
                request.send_header("Location", "/elsewhere")
            request.send_header("Content-Length", "0")
            request.end_headers()

    def until(self, count: int) -> list[Taken]:
        """The first requests, once there are so many."""
        wait_until(lambda: len(self.got) >= count)
        return self.got[:count]

    def close(self) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()

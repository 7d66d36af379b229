"""The collector's HTTP client on real sockets: TLS, proxies, answers that are none, tokens that go nowhere else."""

from __future__ import annotations

import base64
import gzip
import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Optional

import pytest

from collectors import client as client_module
from collectors.client import Client, Frame, Refused, Unavailable, retry_after_seconds
from collectors.settings import Settings
from logsvc.errors import BadInput

TOKEN = "the-token"
Answer = tuple[int, dict[str, str], bytes]
TAKEN: Answer = (200, {}, b'{"stream": "1", "next_offset": 4}')
A_FRAME = Frame("J-1", "worker-0", "modelarts-job-J-1-worker-0.log", 0, 0, b"one\n")


class Server:
    """Answers as it is told and keeps what it was asked; with a certificate over TLS."""

    def __init__(self, context: Optional[ssl.SSLContext] = None) -> None:
        self.answers: list[Answer] = []  # given one after the other; then TAKEN
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []  # method, target, headers, body
        self.opened = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args: object) -> None:
                """Quiet."""

            def setup(self) -> None:
                outer.opened += 1
                super().setup()

            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                outer.asked.append((self.command, self.path, headers, body))
                status, more, answer = outer.answers.pop(0) if outer.answers else TAKEN
                self.send_response(status)
                for name, value in {"Content-Length": str(len(answer)), **more}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer)

            do_POST = do_PUT = do_GET

        class Listener(ThreadingHTTPServer):
            daemon_threads = True

            def get_request(self) -> tuple[Any, Any]:
                connection, address = super().get_request()
                if context is not None:
                    connection = context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
                return connection, address

            def handle_error(self, *args: object) -> None:
                """A client that refuses the certificate is what a test wants."""

        self._server = Listener(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class TunnelProxy:
    """A small HTTP proxy: CONNECT tunnels to `target`; anything else it answers itself, and keeps."""

    def __init__(self, target: int, *, wants: Optional[str] = None) -> None:
        self.heads: list[bytes] = []
        self._target, self._wants = target, wants
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._one, args=(near,), daemon=True).start()

    def _one(self, near: socket.socket) -> None:
        with near:
            head = b""
            while b"\r\n\r\n" not in head:
                data = near.recv(65536)
                if not data:
                    return
                head += data
            self.heads.append(head)
            if self._wants is not None and f"proxy-authorization: {self._wants}".lower().encode() not in head.lower():
                near.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
                return
            if not head.startswith(b"CONNECT "):
                answer = TAKEN[2]
                near.sendall(
                    b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(answer) + answer
                )
                return
            with socket.create_connection(("127.0.0.1", self._target)) as far:
                near.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                back = threading.Thread(target=_pour, args=(far, near), daemon=True)
                back.start()
                _pour(near, far)
                back.join()


def _pour(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def server() -> Iterator[Server]:
    one = Server()
    yield one
    one.close()


@pytest.fixture
def tls(certificates: Path) -> Iterator[Server]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "server.pem")
    one = Server(context)
    yield one
    one.close()


Proxy = Callable[..., TunnelProxy]


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    made: list[TunnelProxy] = []

    def make(target: int, **more: Any) -> TunnelProxy:
        made.append(TunnelProxy(target, **more))
        return made[-1]

    yield make
    for one in made:
        one.close()


def client(url: str, **more: Any) -> Client:
    return Client(Settings(server=url, token=TOKEN, **more))


def resolved(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Let a name that is not this machine's lead here all the same."""
    real = socket.getaddrinfo

    def lookup(host: Any, *more: Any, **also: Any) -> Any:
        return real("127.0.0.1" if host == name else host, *more, **also)

    monkeypatch.setattr(socket, "getaddrinfo", lookup)


def test_one_connection_serves_many_requests(server: Server) -> None:
    sender = client(f"http://127.0.0.1:{server.port}/behind/a/prefix/")
    for _ in range(3):
        assert sender.chunk(A_FRAME) == 4
    sender.close()
    assert server.opened == 1
    method, target, headers, body = server.asked[0]
    assert (method, body) == ("POST", b"one\n")
    assert target.startswith("/behind/a/prefix/api/v1/chunks?")
    assert headers["authorization"] == f"Bearer {TOKEN}"


def test_frames_of_a_batch(server: Server) -> None:
    frames = [A_FRAME, Frame("J-1", "worker-0", 'other "quoted" ü.log', 2, 7, b"", final=True, rank=3)]
    server.answers = [(200, {}, b'{"results": [{"stream": "1", "next_offset": 4}, {"stream": "2", "next_offset": 7}]}')]
    assert client(f"http://127.0.0.1:{server.port}").batch(frames) == [4, 7]
    body, found = server.asked[0][3], []
    while body:
        (size,) = struct.unpack_from("<I", body)
        head = json.loads(body[4 : 4 + size])
        end = 4 + size + head["length"]
        found.append((head, body[4 + size : end]))
        body = body[end:]
    common = {"job": "J-1", "task": "worker-0"}
    first = {**common, "path": A_FRAME.path, "generation": 0, "offset": 0, "length": 4, "final": False}
    second = {**common, "path": 'other "quoted" ü.log', "generation": 2, "offset": 7, "length": 0, "final": True}
    assert found == [(first, b"one\n"), ({**second, "rank": 3}, b"")]


@pytest.mark.parametrize(("compress", "encoding"), [("gzip", "gzip"), ("zstd", "zstd"), ("none", None), ("auto", None)])
def test_bodies_are_compressed(server: Server, compress: str, encoding: Optional[str]) -> None:
    """By itself none to this machine; others get zstd, or gzip where there is none."""
    if compress == "zstd":
        pytest.importorskip("zstandard")
    data = b"the same line again\n" * 1000
    client(f"http://127.0.0.1:{server.port}", compress=compress).chunk(
        Frame("J-1", "worker-0", A_FRAME.path, 0, 0, data)
    )
    _, _, headers, body = server.asked[0]
    assert headers.get("content-encoding") == encoding
    if encoding:
        assert len(body) < len(data) // 10
    if encoding == "gzip":
        assert gzip.decompress(body) == data


def test_to_other_machines_zstd_and_gzip_without_it(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    resolved(monkeypatch, "logs.test")
    frame = Frame("J-1", "worker-0", A_FRAME.path, 0, 0, b"the same line again\n" * 1000)
    for package, encoding in ((pytest.importorskip("zstandard"), "zstd"), (None, "gzip")):
        monkeypatch.setattr(client_module, "zstandard", package)
        client(f"http://logs.test:{server.port}").chunk(frame)
        assert server.asked[-1][2].get("content-encoding") == encoding


def test_a_service_that_knows_no_encoding_gets_plain_bytes(server: Server) -> None:
    unknown = b'{"error": {"code": "unknown_encoding", "message": "gzip?", "detail": {}}}'
    server.answers = [(415, {}, unknown)]
    data = b"the same line again\n" * 1000
    sender = client(f"http://127.0.0.1:{server.port}", compress="gzip")
    assert sender.chunk(Frame("J-1", "worker-0", A_FRAME.path, 0, 0, data)) == 4
    assert [body == data for _, _, _, body in server.asked] == [False, True]


@pytest.mark.parametrize(
    "answer",
    [b"", b"{}", b"[]", b"null", b"true", b"<html>", b'{"next_offset": -1}', b'{"next_offset": true}', b"[" * 99_999],
)
def test_a_200_without_our_answer_is_no_acknowledgement(server: Server, answer: bytes) -> None:
    server.answers = [(200, {}, answer)] * 2
    sender = client(f"http://127.0.0.1:{server.port}")
    with pytest.raises(Unavailable):
        sender.chunk(A_FRAME)
    with pytest.raises(Unavailable):
        sender.batch([A_FRAME])


@pytest.mark.parametrize("answer", [b'{"results": [1]}', b'{"results": []}', b'{"results": [{"error": 1}]}'])
def test_a_batch_answered_by_something_else(server: Server, answer: bytes) -> None:
    server.answers = [(200, {}, answer)]
    with pytest.raises(Unavailable):
        client(f"http://127.0.0.1:{server.port}").batch([A_FRAME])


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(server: Server, status: int) -> None:
    """Neither the lines nor the token go to a server that nobody named."""
    elsewhere = Server()
    try:
        server.answers = [(status, {"Location": f"http://127.0.0.1:{elsewhere.port}/api/v1/chunks"}, b"")]
        with pytest.raises(Unavailable, match=f"redirects to http://127.0.0.1:{elsewhere.port}"):
            client(f"http://127.0.0.1:{server.port}").chunk(A_FRAME)
        assert elsewhere.opened == 0
    finally:
        elsewhere.close()


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7),
        ({"Retry-After": "0"}, 0),
        ({"Retry-After": "99999999999999999999"}, 300),
        ({"Retry-After": "Wed, 24 Nov 2100 08:00:00 GMT"}, 300),
        ({"Retry-After": "Mon, 24 Nov 2008 08:00:00 GMT"}, 0),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "-5"}, None),
        ({"Retry-After": "nan"}, None),
        ({}, None),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after(server: Server, status: int, headers: dict[str, str], seconds: Optional[float]) -> None:
    """Seconds or a date; nobody makes a collector wait for ever."""
    server.answers = [(status, headers, b"")]
    with pytest.raises(Unavailable) as caught:
        client(f"http://127.0.0.1:{server.port}").chunk(A_FRAME)
    assert caught.value.retry_after_seconds == seconds


def test_a_date_counts_by_the_clock_of_its_sender() -> None:
    until, now = "Tue, 24 Nov 2009 08:00:30 GMT", "Tue, 24 Nov 2009 08:00:00 GMT"
    assert retry_after_seconds(until, now) == 30
    assert retry_after_seconds(until, None) == 0


def test_errors_of_the_service_keep_code_and_detail(server: Server) -> None:
    gap = b'{"error": {"code": "offset_gap", "message": "past the end", "detail": {"expected": 2}}}'
    server.answers = [(409, {}, gap)]
    with pytest.raises(Refused) as caught:
        client(f"http://127.0.0.1:{server.port}").chunk(A_FRAME)
    assert (caught.value.status, caught.value.code, caught.value.detail) == (409, "offset_gap", {"expected": 2})


def test_the_token_file_is_read_again_on_401(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("old\n")
    sender = client(f"http://127.0.0.1:{server.port}", token_file=file)
    file.write_text("new\n")
    server.answers = [(401, {}, b"")]
    assert sender.chunk(A_FRAME) == 4
    assert [headers["authorization"] for _, _, headers, _ in server.asked] == ["Bearer old", "Bearer new"]
    server.answers = [(401, {}, b"")]
    with pytest.raises(Unavailable) as caught:
        sender.chunk(A_FRAME)
    assert caught.value.refused
    assert len(server.asked) == 3  # the same token is not tried twice


def test_tls_with_a_ca_of_its_own(tls: Server, certificates: Path) -> None:
    ca = certificates / "ca.pem"
    assert client(f"https://localhost:{tls.port}", ca_file=ca).chunk(A_FRAME) == 4
    assert client(f"https://127.0.0.1:{tls.port}", ca_file=ca).chunk(A_FRAME) == 4
    assert tls.asked[0][2]["authorization"] == f"Bearer {TOKEN}"


def test_a_certificate_that_nobody_vouches_for_gets_nothing(
    tls: Server, certificates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Unavailable, match="certificate"):
        client(f"https://localhost:{tls.port}").chunk(A_FRAME)
    resolved(monkeypatch, "other.test")
    with pytest.raises(Unavailable, match=r"other\.test"):
        client(f"https://other.test:{tls.port}", ca_file=certificates / "ca.pem").chunk(A_FRAME)
    assert tls.asked == []


@pytest.mark.parametrize("content", [None, b"", b"no certificate\n"])
def test_a_ca_file_that_is_none_is_said_at_the_start(tmp_path: Path, content: Optional[bytes]) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(BadInput, match="--ca-file"):
        client("https://localhost:1", ca_file=file)


def test_https_goes_through_a_tunnel_that_sees_no_token(
    tls: Server, certificates: Path, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "Basic " + base64.b64encode(b"me:p@ss word").decode()
    between = proxy(tls.port, wants=secret)
    monkeypatch.setenv("https_proxy", f"http://me:p%40ss%20word@127.0.0.1:{between.port}")
    sender = client(f"https://logs.test:{tls.port}", ca_file=certificates / "ca.pem")
    assert sender.chunk(A_FRAME) == 4
    assert sender.chunk(A_FRAME) == 4
    sender.close()
    (head,) = between.heads
    assert head.startswith(b"CONNECT logs.test:%d HTTP/1." % tls.port)
    assert secret.encode() in head
    assert TOKEN.encode() not in head
    for _, target, headers, _ in tls.asked:
        assert target.startswith("/api/v1/chunks?")
        assert headers["authorization"] == f"Bearer {TOKEN}"
        assert "proxy-authorization" not in headers


def test_a_tunnel_that_is_refused_is_no_answer(
    tls: Server, certificates: Path, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    between = proxy(tls.port, wants="Basic other")
    monkeypatch.setenv("HTTPS_PROXY", f"127.0.0.1:{between.port}")
    with pytest.raises(Unavailable, match="407"):
        client(f"https://logs.test:{tls.port}", ca_file=certificates / "ca.pem").chunk(A_FRAME)
    assert tls.asked == []


def test_http_asks_the_proxy_for_the_whole_address(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    between = proxy(1, wants="Basic " + base64.b64encode(b"me:").decode())
    monkeypatch.setenv("http_proxy", f"http://me@127.0.0.1:{between.port}")
    assert client("http://logs.test:8600").chunk(A_FRAME) == 4
    (head,) = between.heads
    assert head.startswith(b"POST http://logs.test:8600/api/v1/chunks?")
    assert b"\r\nHost: logs.test:8600\r\n" in head
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{between.port}")
    with pytest.raises(Unavailable, match="asks for a password"):
        client("http://logs.test:8600").chunk(A_FRAME)


def test_this_machine_is_never_behind_a_proxy(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("all_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert client(f"http://127.0.0.1:{server.port}").chunk(A_FRAME) == 4
    assert client(f"http://localhost:{server.port}").chunk(A_FRAME) == 4


def test_no_proxy_names_servers_that_need_none(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    resolved(monkeypatch, "logs.test")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with pytest.raises(Unavailable):
        client(f"http://logs.test:{server.port}").chunk(A_FRAME)
    monkeypatch.setenv("no_proxy", "example.org, .test")
    assert client(f"http://logs.test:{server.port}").chunk(A_FRAME) == 4

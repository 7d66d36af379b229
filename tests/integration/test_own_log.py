"""The service's own log: events with fields, and never what was read, looked for or used to log in."""

from __future__ import annotations

import json
import re
import socket
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from processes import Client, ServiceProcess

LINE = "epoch 1 zebracrossing loss 0.25"  # of a training's log
NEEDLE = "quaggahunt"  # looked for
UNKNOWN = "a-token-that-is-none-okapi"
MISSPELT = "a-secret-of-no-setting"
JOB = "own-log"
NAME = {"job": JOB, "task": "worker-0", "path": f"modelarts-job-{JOB}-worker-0.log", "generation": 0}
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def service(tmp_path: Path) -> Iterator[ServiceProcess]:
    """Told to log as much as it can."""
    service = ServiceProcess(tmp_path / "data", log_level="debug", log_format="json", webhok_secret=MISSPELT).start()
    service.secrets |= {"zebracrossing", NEEDLE, UNKNOWN, MISSPELT}
    yield service
    service.stop()


def test_no_line_no_needle_and_no_token_in_it(service: ServiceProcess) -> None:
    """Ingest, search, logins and errors of each kind; `stop` of the fixture searches the log again."""
    client = service.client()
    stream = sent(client)
    looked_for(client, stream)
    cookie = logged_in(client, service.token)
    service.secrets.add(cookie.partition("=")[2])
    refused(client, stream)
    huge = service.client()  # its connection is closed
    assert huge.chunk(b"", offset=0, headers={"Content-Length": str(1 << 40)}, **NAME).code == "too_large"
    huge.close()
    turned_away(service, stream, cookie)
    broken_requests(service)
    assert client.ask("GET", "/jobs").status == 200  # it still stands
    client.close()
    service.stop()

    events = [json.loads(line) for line in service.logged().splitlines()]
    assert all({"event", "level", "logger", "timestamp"} <= set(event) for event in events)
    ours = [event for event in events if event["logger"].startswith("logsvc.")]
    assert all(re.fullmatch("[a-z_]+", event["event"]) for event in ours)
    answered = [event for event in ours if event["event"] == "answered"]
    # It tells of what was asked, so its silence about the rest is no accident.
    assert {"/", "/api/v1/search", "/api/v1/chunks", "/api/v1/batch"} <= {event["path"] for event in answered}
    assert {200, 400, 401, 403, 404, 405, 409, 413, 415, 422} <= {event["status"] for event in answered}
    assert {"serving", "job_put", "stopped"} <= {event["event"] for event in ours}
    [unknown] = [event for event in ours if event["event"] == "unknown_variable"]
    assert (unknown["variable"], unknown["nearest"]) == ("LOGSVC_WEBHOK_SECRET", "LOGSVC_WEBHOOK_SECRET")
    whole = service.logged()
    for word in ("zebracrossing", NEEDLE, UNKNOWN, cookie, service.token, "?", "token=", "q=", "Bearer"):
        assert word not in whole, word
    assert "Traceback" not in whole


def sent(client: Client) -> int:
    data = f"{LINE}\n".encode() * 3
    assert client.chunk(data, offset=0, **NAME).status == 200
    assert client.ask("PUT", f"/jobs/{JOB}", json.dumps({"status": "running"}).encode(), JSON).status == 200
    [stream] = client.get(f"/jobs/{JOB}/streams")["streams"]
    return int(stream["id"])


def looked_for(client: Client, stream: int) -> None:
    assert client.get("/search", q="zebracrossing")["matches"]
    assert not client.get("/search", q=NEEDLE)["matches"]
    assert client.get(f"/streams/{stream}/matches", q="zebracrossing", regex=1)["total"] == 3
    assert client.ask("GET", "/search", q=f"({NEEDLE}", regex=1).code == "bad_pattern"
    assert client.ask("GET", "/search", q=NEEDLE, limit="zebracrossing").status == 422
    assert client.ask("GET", f"/streams/{stream}/lines", **{NEEDLE: NEEDLE}).status in (200, 422)


def logged_in(client: Client, token: str) -> str:
    """The session, as a browser sends it: `name=value`."""
    assert client.page(f"/?token={UNKNOWN}").status == 401
    answer = client.page(f"/?token={token}")
    assert answer.status == 200
    return str(answer.headers["Set-Cookie"].partition(";")[0])


def refused(client: Client, stream: int) -> None:
    """Bad input of each kind, with text of a log in it."""
    line = f"{LINE}\n".encode()
    assert client.chunk(line, offset=10_000, **NAME).code == "offset_gap"
    assert client.chunk(line.replace(b"0.25", b"0.26"), offset=0, **NAME).code == "content_conflict"
    assert client.chunk(line, offset=0, headers={"Content-Encoding": NEEDLE}, **NAME).code == "unknown_encoding"
    assert client.chunk(line, offset=0, headers={"Content-Encoding": "gzip"}, **NAME).code == "bad_body"
    assert client.chunk(line, offset=0, **{**NAME, "path": f"../{NEEDLE}"}).code == "bad_path"
    assert client.ask("PUT", f"/jobs/{JOB}", json.dumps({"status": NEEDLE}).encode(), JSON).status == 422
    assert client.ask("PUT", f"/jobs/{JOB}", b'{"name": ' + line, JSON).code == "bad_body"
    head = json.dumps({**NAME, "offset": 9_999, "length": len(line)}).encode()
    batch = client.ask("POST", "/batch", struct.pack("<I", len(head)) + head + line)
    assert batch.json["results"][0]["error"]["code"] == "offset_gap"
    assert client.ask("POST", "/batch", line).status in (400, 422)
    assert client.ask("POST", "/samples", line, JSON).code == "bad_body"
    assert client.ask("GET", "/streams/4096/lines", q=NEEDLE).status == 404
    assert client.ask("DELETE", f"/streams/{stream}/lines", q=NEEDLE).status == 405


def turned_away(service: ServiceProcess, stream: int, cookie: str) -> None:
    """Tokens and cookies that are none, pages of other origins; over HTTP and over WebSocket."""
    stranger = Client(service.port, UNKNOWN)
    assert stranger.ask("GET", "/jobs", q=NEEDLE, token=UNKNOWN).status == 401
    stranger.close()
    body = json.dumps({"status": "running"}).encode()
    for session, status in ((cookie, 403), (f"logsvc_session={UNKNOWN}", 401)):
        guest = Client(service.port, None)
        headers = {**JSON, "Cookie": session, "Origin": f"http://{NEEDLE}.example"}
        assert guest.ask("PUT", f"/jobs/{JOB}", body, headers, token=service.token).status == status
        guest.close()
    address = f"ws://127.0.0.1:{service.port}/api/v1/streams/{stream}/follow"
    good = {"Authorization": f"Bearer {service.token}"}
    with connect(f"{address}?{urlencode({'from': 1, 'lines': 'all'})}", additional_headers=good, proxy=None) as socket:
        assert "zebracrossing" in str(socket.recv(10))
        socket.send(NEEDLE)
    for asked, headers in (
        (f"?token={service.token}", {}),
        ("", {"Authorization": f"Bearer {UNKNOWN}"}),
        ("", {"Cookie": cookie, "Origin": f"http://{NEEDLE}.example"}),
        (f"?from={NEEDLE}", good),
    ):
        with (
            pytest.raises(WebSocketException),
            connect(address + asked, additional_headers=headers, proxy=None) as socket,
        ):
            socket.recv(10)
    with pytest.raises(WebSocketException), connect(address, additional_headers=good, proxy=None) as socket:
        socket.send(NEEDLE * 100_000)  # larger than anything that it takes
        while True:
            socket.recv(10)


def broken_requests(service: ServiceProcess) -> None:
    """What is no HTTP at all, or breaks off."""
    head = f"Host: x\r\nAuthorization: Bearer {service.token}\r\n"
    for text in (
        f"GET /?token={service.token} HTTP/9.9\r\n\r\n",
        f"{NEEDLE} zebracrossing\r\n\r\n",
        f"GET /api/v1/search?q={NEEDLE} HTTP/1.1\r\n{head}Bad header\r\n\r\n",
        f"POST /api/v1/chunks?q={NEEDLE} HTTP/1.1\r\n{head}Transfer-Encoding: chunked\r\n\r\nzebracrossing\r\n",
    ):
        with socket.create_connection(("127.0.0.1", service.port), 10) as connection:
            connection.sendall(text.encode())
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(4096):
                pass


def test_the_guard_of_the_tests_sees_a_secret(tmp_path: Path) -> None:
    """A token in a log fails the test that ran the service, whatever it tests."""
    service = ServiceProcess(tmp_path / "data", webhook_url="https://hooks.example.com/of-the-receiver")
    for secret in ("the-token", "https://hooks.example.com/of-the-receiver"):
        service.token = "the-token"
        service.process = subprocess.Popen(["true"], stdout=subprocess.PIPE)
        service.process.wait(10)
        service.log.write_text(f"serving\nserving to={secret}\n")
        with pytest.raises(AssertionError, match=f"serving to={secret}"):
            service.stop()

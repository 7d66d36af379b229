"""Webhooks against a real receiver: one that misbehaves in each way, TLS, a service killed in between, the docs."""

from __future__ import annotations

import asyncio
import json
import os
import re
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from builders import JOB, HandClock
from integration.webhook_receiver import Receiver, Taken
from logsvc.core.notify import Event, signature
from logsvc.errors import CannotStart
from logsvc.stores.embedded.doctor import check
from logsvc.webhook import HttpWebhook
from processes import ServiceProcess, free_port, wait_until
from serving import eventually, in_process

SECRET = "a secret that only the test knows"
DOCS = Path(__file__).resolve().parents[2] / "docs" / "operations.md"


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Receivers are asked themselves, wherever the tests run."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    one = Receiver()
    yield one
    one.close()


def a_webhook(url: str, seconds: float = 10.0) -> HttpWebhook:
    return HttpWebhook(url, timeout_seconds=seconds, version="1")


def hung(at: float, job: str = JOB) -> Event:
    return Event(job, at, "hung", "raised", "Nothing moves.", "Look at the last lines.", {"cycles": 3})


def is_signed(request: Taken, secret: str = SECRET) -> bool:
    """By openssl, which knows nothing of ours."""
    message = request.headers["X-Logsvc-Timestamp"].encode() + b"." + request.body
    command = ["openssl", "dgst", "-sha256", "-hmac", secret, "-r"]
    digest = subprocess.run(command, input=message, capture_output=True, check=True).stdout.split()[0].decode()
    return bool(request.headers["X-Logsvc-Signature"] == f"sha256={digest}")


@pytest.mark.parametrize(
    "answer, told",
    [
        ("200", None),
        ("204", None),
        ("endless", None),
        ("500", "the answer was 500"),
        ("404", "the answer was 404"),
        ("302", "the answer was 302, and redirects are not followed"),
        ("307", "the answer was 307, and redirects are not followed"),
        ("hang", "no answer within 0.3 seconds"),
        ("drip", "no answer within 0.3 seconds"),
        ("cut", "the connection broke: RemoteProtocolError"),
        ("noise", "the connection broke: RemoteProtocolError"),
    ],
)
async def test_only_a_receiver_that_says_so_has_taken_it(receiver: Receiver, answer: str, told: str | None) -> None:
    receiver.answers = [answer]
    webhook = a_webhook(receiver.url, 0.3 if told and "within" in told else 10.0)
    assert await webhook.post(b"{}", {"X-Logsvc-Delivery": "1"}) == told
    await webhook.close()
    await webhook.close()
    assert [(one.path, one.body) for one in receiver.got] == [("/hook?key=of-the-receiver", b"{}")]


async def test_a_receiver_that_is_not_there() -> None:
    for url in (f"http://127.0.0.1:{free_port()}/key", "http://nobody.invalid/key"):
        told = await a_webhook(url).post(b"{}", {})
        assert told is not None and told.startswith("it cannot be reached: ") and "key" not in told


async def test_certificates_are_checked(certificates: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "server.pem")
    receiver = Receiver(context)
    try:
        told = await a_webhook(receiver.url).post(b"{}", {})
        assert told is not None and told.startswith("its certificate is not accepted: ")
        told = await a_webhook(receiver.url.replace("https", "http")).post(b"{}", {})
        assert told is not None and told.startswith("the connection broke: ")
        monkeypatch.setenv("SSL_CERT_FILE", str(certificates / "ca.pem"))
        assert receiver.got == []
        assert await a_webhook(receiver.url).post(b"{}", {}) is None
        assert len(receiver.got) == 1
    finally:
        receiver.close()
    plain = Receiver()
    told = await a_webhook(plain.url.replace("http", "https")).post(b"{}", {})
    plain.close()
    assert told is not None and told.startswith("TLS failed: ")


async def test_a_receiver_that_hangs_slows_nobody(receiver: Receiver, tmp_path: Path) -> None:
    """One request waits, as long as it may; chunks, reads and further events go on, and are counted."""
    receiver.answers = ["hang"]
    given = {"webhook_url": receiver.url, "webhook_secret": SECRET, "port": 8600}
    clock = HandClock()
    async with in_process(tmp_path / "data", clock=clock, **given) as served:
        notifier = served.service.notifier
        assert notifier is not None
        await served.write(b"one\n")
        await notifier.tell(hung(clock.at))
        await eventually(lambda: receiver.got, seconds=20)
        await served.write(b"two\n", offset=4)
        await notifier.tell(hung(clock.at, "another"))
        await eventually(lambda: len(receiver.got) == 2, seconds=20)
        first, second = receiver.got
        assert is_signed(first) and is_signed(second) and not is_signed(second, "another secret")
        assert json.loads(first.body)["job"]["url"] == f"http://127.0.0.1:8600/#job={JOB}"
        assert first.headers["X-Logsvc-Timestamp"] == str(int(clock.at))
        counts = served.service.services.metrics.webhook_deliveries
        await eventually(lambda: counts.labels("delivered")._value.get() == 1)
        text = (await served.http.get("/metrics")).text
        assert 'logsvc_webhook_deliveries_total{result="delivered"} 1.0' in text
        assert 'logsvc_webhook_deliveries_total{result="failed"} 0.0' in text
        receiver.closing.set()


@pytest.mark.kill
def test_a_killed_service_sends_what_it_had_not_delivered(receiver: Receiver, tmp_path: Path) -> None:
    """Idle cards raise a flag; refused once, killed without a word: the next start sends the same event, once."""
    secret = tmp_path / "secret"
    secret.write_text(SECRET + "\n")
    receiver.answers = ["503", "hang"]
    given = {"webhook_url": receiver.url, "webhook_secret_file": str(secret), "webhook_grace_minutes": "0"}
    service = ServiceProcess(tmp_path / "data", log_level="debug", **given).start()
    idle_cards(service)
    receiver.until(2)
    service.kill()
    [finding] = check(service.folder)
    assert f"the webhook has not taken what was told of job {JOB}" in finding.message
    assert "the answer was 503" in finding.message and finding.severity == "warning"
    service.start()
    first, second, third = receiver.until(3)
    wait_until(lambda: 'result="delivered"} 1.0' in scraped(service))
    service.stop()
    assert len(receiver.got) == 3
    assert first.body == second.body == third.body
    message = json.loads(first.body)
    assert (message["event"], message["job"]["name"]) == ("low_utilization.raised", "resnet50")
    assert message["finding"]["numbers"] == {"mean_percent": 10.0, "readings": 3, "limit_percent": 50.0}
    for request in (first, second, third):
        assert request.headers["X-Logsvc-Delivery"] == message["delivery"]
        assert is_signed(request)
    assert check(service.folder) == []
    logged = service.logged()
    assert "webhook_failed" in logged and "the answer was 503" in logged
    assert SECRET not in logged
    assert "of-the-receiver" not in logged


def idle_cards(service: ServiceProcess) -> None:
    """Ten percent, measured three times."""
    client, now = service.client(), datetime.now(UTC)
    sent = {"Content-Type": "application/json"}
    job = json.dumps({"name": "resnet50", "accelerator": "nvidia", "status": "running"}).encode()
    assert client.ask("PUT", f"/jobs/{JOB}", job, sent).status == 200
    samples = [
        {"at": (now - timedelta(seconds=back)).isoformat(), "device": 0, "kind": "gpu", "utilization_percent": 10}
        for back in (10, 5, 0)
    ]
    body = json.dumps({"job": JOB, "task": "worker-0", "samples": samples}).encode()
    assert client.ask("POST", "/samples", body, sent).status == 204
    client.close()


def scraped(service: ServiceProcess) -> str:
    request = urllib.request.Request(
        f"http://127.0.0.1:{service.port}/metrics", headers={"Authorization": f"Bearer {service.token}"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return str(answer.read().decode())


@pytest.mark.parametrize("content, told", [(None, "cannot be read"), ("short", "fewer than 16 characters")])
async def test_a_secret_that_is_none_stops_the_start(tmp_path: Path, content: str | None, told: str) -> None:
    secret = tmp_path / "secret"
    if content is not None:
        secret.write_text(content)
    with pytest.raises(CannotStart, match=told):
        async with in_process(tmp_path, webhook_url="http://127.0.0.1:9/", webhook_secret_file=secret):
            pass


def test_the_receiver_of_the_docs_checks_the_signature() -> None:
    """Ours it takes; a changed body, an old time and another secret it refuses."""
    source = re.search(r"```python\n(.*?)```", DOCS.read_text().partition("\n## Webhook\n")[2], re.DOTALL)
    assert source
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-c", source[1].replace("8700", str(port))],
        env={**os.environ, "SECRET": SECRET},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert asyncio.run(answers_of(port)) == [None, "the answer was 403", "the answer was 403", "the answer was 403"]
        assert process.stdout and process.stdout.readline() == '{"event":"hung.raised"}\n'
    finally:
        process.terminate()
        process.communicate(timeout=10)


async def answers_of(port: int) -> list[str | None]:
    webhook = a_webhook(f"http://127.0.0.1:{port}/")
    body, now = b'{"event":"hung.raised"}', int(time.time())

    async def ask(sent: bytes, at: int, secret: str) -> str | None:
        signed = {
            "X-Logsvc-Timestamp": str(at),
            "X-Logsvc-Signature": f"sha256={signature(secret.encode(), str(at), body)}",
        }
        return await webhook.post(sent, {**signed, "X-Logsvc-Delivery": "1"})

    for _ in range(200):
        first = await ask(body, now, SECRET)
        if not (first or "").startswith("it cannot be reached"):
            break
        await asyncio.sleep(0.05)
    return [first, await ask(body + b" ", now, SECRET), await ask(body, now - 3600, SECRET), await ask(body, now, "no")]

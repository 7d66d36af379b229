"""`logsvc download`: cut connections, killed services, interrupts, wrong bytes; what comes is what is stored."""

from __future__ import annotations

import io
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.chaos_proxy import ChaosProxy, Exchange, Fault
from logsvc.client import Client
from logsvc.commands import fetching
from logsvc.commands.download import Download, Wanted
from logsvc.commands.progress import Unseen
from logsvc.commands.terminal import Terminal
from logsvc.errors import StoreUnavailable
from logsvc.model.stream import ordinary_path
from processes import ServiceProcess

BYTES = random.Random(7).randbytes(3_000_000)
RAW, SUM = r"GET /api/v1/streams/[^/]+/raw\b", r"/sha256\b"
SECONDS = 60.0


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for seconds; sums are of small parts."""
    monkeypatch.setattr(fetching, "RETRY_SECONDS", (0.0, 0.0))
    monkeypatch.setattr(fetching, "SPAN_BYTES", 1 << 20)


@pytest.fixture
def proxy(faulted_service: ServiceProcess) -> Iterator[ChaosProxy]:
    proxy = ChaosProxy(faulted_service.port)
    yield proxy
    proxy.close()


def fill(service: ServiceProcess, job: str, *tasks: str, data: bytes = BYTES) -> None:
    client = service.client()
    for task in tasks:
        answer = client.chunk(data, offset=0, job=job, task=task, path=ordinary_path(job, task))
        assert answer.status == 200, answer.body
    client.close()


def downloaded(
    url: str, service: ServiceProcess, job: str, *tasks: str, output: Path | None
) -> tuple[Path | None, str]:
    """Where it lies, and what was said."""
    said = io.StringIO()
    done = Download(Client(url, service.token), Unseen(Terminal(err=said))).run(Wanted(job, tasks, output))
    return done, said.getvalue()


def cut(share: float) -> Fault:
    """The answer breaks off."""

    def strike(exchange: Exchange) -> str:
        answer = exchange.ask(exchange.take(exchange.request_bytes))
        exchange.give(answer[: int(len(answer) * share)])
        exchange.close()
        return "cut"

    return strike


def noted(requests: list[str], then: Fault) -> Fault:
    """A fault, and the request that it struck."""

    def strike(exchange: Exchange) -> str:
        taken = exchange.take(exchange.request_bytes)
        requests.append(taken.decode("latin-1").lower())
        exchange.take = lambda size_bytes: taken  # type: ignore[method-assign]
        return then(exchange)

    return strike


def passed(exchange: Exchange) -> str:
    exchange.give(exchange.ask(exchange.take(exchange.request_bytes)))
    return "passed"


def spoiled(exchange: Exchange) -> str:
    """One byte of the body is another."""
    answer = bytearray(exchange.ask(exchange.take(exchange.request_bytes)))
    answer[-1] ^= 1
    exchange.give(bytes(answer))
    return "spoiled"


def test_a_cut_connection_is_gone_on_with(faulted_service: ServiceProcess, proxy: ChaosProxy, tmp_path: Path) -> None:
    fill(faulted_service, "dl-cut", "worker-0")
    for share in (0.5, 0.1, 0.9):
        proxy.add(cut(share), on=RAW)
    target, said = downloaded(proxy.url, faulted_service, "dl-cut", output=tmp_path / "one.log")
    proxy.wait()
    assert target and target.read_bytes() == BYTES
    assert proxy.struck["cut"] == 3 and said == ""
    assert [*tmp_path.iterdir()] == [target]


def test_what_was_cut_for_good_is_kept_for_the_next_call(
    faulted_service: ServiceProcess, proxy: ChaosProxy, tmp_path: Path
) -> None:
    fill(faulted_service, "dl-kept", "worker-0")
    asked: list[str] = []
    for share in (0.5, 0.0, 0.0, 0.0):
        proxy.add(noted(asked, cut(share)), on=RAW)
    target, part = tmp_path / "one.log", tmp_path / "one.log.part"
    with pytest.raises(StoreUnavailable, match="was cut"):
        downloaded(proxy.url, faulted_service, "dl-kept", output=target)
    held = part.stat().st_size
    assert 1_000_000 < held < 2_000_000 and not target.exists()
    assert f"bytes={held}-2999999" in asked[1] and "if-range" in asked[1]

    proxy.add(noted(asked, passed), on=RAW)
    downloaded(proxy.url, faulted_service, "dl-kept", output=target)
    assert f"bytes={held}-2999999" in asked[-1], "what is there is not fetched again"
    assert target.read_bytes() == BYTES
    assert [*tmp_path.iterdir()] == [target]

"""`logsvc follow`: all tasks of a job, through lost connections and rotations, until the job has ended."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from builders import JOB, MARKED, HandClock
from logsvc.client import Client
from logsvc.commands import follow
from logsvc.commands.follow import Following, Wanted
from logsvc.commands.printer import Look, Printer
from logsvc.commands.terminal import Terminal
from logsvc.errors import BadInput, LogsvcError, NotFound, StoreUnavailable
from logsvc.model.stream import ordinary_path
from serving import Served, eventually, on_loopback


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for seconds."""
    monkeypatch.setattr(follow, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(follow, "RETRY_SECONDS", (0.02,))


@pytest.fixture
async def served(tmp_path: Path, clock: HandClock) -> AsyncIterator[Served]:
    async with on_loopback(tmp_path / "data", clock=clock, follow_frames_per_second=100) as served:
        yield served


PLAIN = Look()


class Follower:
    """A `logsvc follow` in this process, and what it printed."""

    def __init__(self, served: Served, *, through: str | None = None, look: Look = PLAIN, **wanted: Any) -> None:
        self.out, self.err = io.StringIO(), io.StringIO()
        client = Client(f"http://{through or served.address}", served.token)
        printer = Printer(Terminal(self.out, self.err), look)
        self.following = Following(client, Wanted(JOB, **wanted), printer)

    @property
    def lines(self) -> list[str]:
        return self.out.getvalue().splitlines()

    async def ended(self) -> list[str]:
        async with asyncio.timeout(20):
            await self.following.run()
        return self.lines

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[asyncio.Task[None]]:
        task = asyncio.create_task(self.following.run())
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def prints(self, number: int) -> list[str]:
        """Lines, once there are so many."""
        await eventually(lambda: len(self.lines) >= number, seconds=20)
        return self.lines


async def write(served: Served, data: bytes, offset: int, task: str = "worker-0", **more: Any) -> str:
    return await served.write(data, offset=offset, **{"task": task, "path": ordinary_path(JOB, task), **more})


async def end_job(served: Served, status: str = "succeeded") -> None:
    answer = await served.http.put(f"/api/v1/jobs/{JOB}", json={"status": status})
    assert answer.status_code == 200


async def test_it_ends_with_the_job(served: Served) -> None:
    """Not before its last line is there: an unfinished one too."""
    await write(served, b"one\ntwo\n", 0)
    follower = Follower(served)
    async with follower.running() as task:
        assert await follower.prints(2) == ["one", "two"]
        await end_job(served, "failed")
        await write(served, b"three\nfo", 8)
        assert await follower.prints(3) == ["one", "two", "three"]
        assert not task.done()
        await write(served, b"ur", 16, final=1)
        async with asyncio.timeout(20):
            await task
    assert follower.lines == ["one", "two", "three", "four"]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({}, list(range(3, 13))),
        ({"start": 1}, list(range(1, 13))),
        ({"start": 11}, [11, 12]),
        ({"start": -1}, [12]),
        ({"start": -2, "lines": "user"}, [10, 11]),
        ({"start": 99}, []),
        ({"since": "2026-11-20T12:00:05.000Z"}, [9, 10, 11, 12]),
        ({"since": "2026-11-20T12:00:05.000Z", "lines": "user"}, [9, 10, 11]),
        ({"since": "2026-11-20T13:00:00.000Z"}, []),
    ],
)
async def test_where_it_begins(served: Served, clock: HandClock, wanted: Any, expected: list[int]) -> None:
    """The last ten lines unless said otherwise; so does a print of what there is."""
    first = b"".join(b"line %d\n" % n for n in range(1, 9))
    await write(served, first, 0)
    clock.move(10)
    await write(served, b"line 9\nline 10\nline 11\n" + MARKED, len(first), final=1)
    await end_job(served)
    lines = ["", *(f"line {n}" for n in range(1, 12)), MARKED.decode().strip()]
    assert await Follower(served, **wanted).ended() == [lines[n] for n in expected]
    held = Follower(served, **wanted)
    await held.following.print_held()
    assert held.lines == [lines[n] for n in expected]


async def test_all_tasks_together(served: Served) -> None:
    """Each line with its task, in the order of each; a task that comes later is followed from its first line."""
    await write(served, b"a\n", 0)
    await write(served, b"b\n", 0, "worker-1")
    follower = Follower(served)
    async with follower.running() as task:
        assert sorted(await follower.prints(2)) == ["worker-0 | a", "worker-1 | b"]
        await write(served, b"".join(b"c%d\n" % n for n in range(50)), 0, "worker-2", final=1)
        await write(served, b"d", 2, "worker-1", final=1)
        await write(served, b"", 2, final=1)
        await end_job(served)
        async with asyncio.timeout(20):
            await task
    assert [line for line in follower.lines if "-2 | c" in line] == [f"worker-2 | c{n}" for n in range(50)]
    assert len(follower.lines) == 53
    assert "worker-1 | d" in follower.lines


async def test_what_is_held_comes_in_the_order_in_which_it_was_received(served: Served, clock: HandClock) -> None:
    """Over all tasks."""
    for n in range(6):
        await write(served, b"%d\n" % n, n // 2 * 2, f"worker-{n % 2}")
        clock.move(1)
    follower = Follower(served, start=1)
    await follower.following.print_held()
    assert follower.lines == [f"worker-{n % 2} | {n}" for n in range(6)]


async def test_which_logs(served: Served) -> None:
    """Of some tasks, kinds, ranks."""
    folder = f"modelarts-job-{JOB}/ascend/process_log/rank_3"
    await write(served, b"own\n", 0)
    await write(served, b"other\n", 0, "worker-1")
    await write(served, b"plog\n", 0, path=f"{folder}/plog/plog-1_2.log")
    await write(served, b"proc\n", 0, path=f"modelarts-job-{JOB}-proc-rank-3-device-0.txt")

    async def held(**wanted: Any) -> list[str]:
        follower = Follower(served, **{name: frozenset(value) for name, value in wanted.items()})
        await follower.following.print_held()
        return sorted(follower.lines)

    assert await held() == ["worker-0 | own", "worker-1 | other"]
    assert await held(tasks=["worker-1"]) == ["other"]
    assert await held(kinds=["plog"]) == ["plog"]
    assert await held(ranks=[3]) == [
        "worker-0/plog-1_2.log             | plog",
        "worker-0/proc-rank-3-device-0.txt | proc",
    ]
    assert await held(ranks=[3], kinds=["proc"]) == ["proc"]
    with pytest.raises(NotFound):
        await held(ranks=[4])


async def test_the_next_generation_is_followed(served: Served) -> None:
    """And `since` begins in an older one where that was written to since then."""
    await write(served, b"old\n", 0)
    follower, since = Follower(served), Follower(served, since="2026-11-20T11:00:00.000Z", look=Look(json=True))
    async with follower.running() as task:
        await follower.prints(1)
        await write(served, b"new\n", 0, generation=1)
        assert await follower.prints(2) == ["old", "new"]
        await write(served, b"newer\n", 0, generation=2, final=1)
        await end_job(served)
        async with asyncio.timeout(20):
            await task
    assert follower.lines == ["old", "new", "newer"]
    told = [json.loads(line) for line in await since.ended()]
    assert [(line["text"], line["generation"], line["n"], line["task"]) for line in told] == [
        ("old", 0, 1, "worker-0"),
        ("new", 1, 1, "worker-0"),
        ("newer", 2, 1, "worker-0"),
    ]


class Wire:
    """Passes connections on to a service, and cuts them."""

    def __init__(self, address: str) -> None:
        self._host, _, port = address.partition(":")
        self._port = int(port)
        self._open: set[asyncio.StreamWriter] = set()
        self.refuses = False

    async def __aenter__(self) -> Wire:
        self._server = await asyncio.start_server(self._pass, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.cut()

    def cut(self) -> None:
        for writer in list(self._open):
            writer.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refuses:
            writer.transport.abort()
            return
        inner_reader, inner_writer = await asyncio.open_connection(self._host, self._port)
        both = {writer, inner_writer}
        self._open |= both
        with contextlib.suppress(OSError):
            await asyncio.gather(_copy(reader, inner_writer), _copy(inner_reader, writer))
        self._open -= both


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


async def test_nothing_is_lost_or_repeated_through_lost_connections(served: Served) -> None:
    """It goes on where it was, and says so."""
    await write(served, b"start\n", 0)
    await write(served, b"start\n", 0, "worker-1")
    async with Wire(served.address) as wire:
        follower = Follower(served, through=wire.address)
        async with follower.running() as task:
            await follower.prints(2)
            offset = 6
            for cut in range(8):
                data = b"".join(b"%d-%d\n" % (cut, n) for n in range(40))
                for at in range(0, len(data), 17):  # inside of lines, too
                    for worker in ("worker-0", "worker-1"):
                        await write(served, data[at : at + 17], offset + at, worker)
                    if at == 17 * (cut + 2):
                        wire.refuses = cut % 2 == 0
                        wire.cut()
                        await eventually(lambda: follower.err.getvalue().endswith("missing.\n"), seconds=20)
                        wire.refuses = False
                offset += len(data)
                await follower.prints(2 + 80 * (cut + 1))
            for worker in ("worker-0", "worker-1"):
                await write(served, b"", offset, worker, final=1)
            await end_job(served)
            async with asyncio.timeout(20):
                await task
    expected = ["start", *(f"{cut}-{n}" for cut in range(8) for n in range(40))]
    for worker in ("worker-0", "worker-1"):
        assert [line.removeprefix(f"{worker} | ") for line in follower.lines if line.startswith(worker)] == expected
    assert len(follower.lines) == 2 * len(expected)
    said = follower.err.getvalue().splitlines()
    assert said[0].startswith("logsvc: ") and "Trying again" in said[0] and "logsvc: connected again" in said
    assert len(said) <= 16


async def test_a_gap_is_filled_from_history(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow terminal is sent gap marks; it prints every line all the same."""
    data = b"".join(b"line %d\n" % n for n in range(1, 101))
    await write(served, data, 0, final=1)
    await end_job(served)

    async def gapped(self: Client, stream: str, *, start: int, lines: str) -> AsyncIterator[dict[str, Any]]:
        window = await self.fetch(f"/streams/{stream}/lines", limit=3)
        yield {"lines": window["lines"], "through": 3}
        yield {"gap": {"first_line": 4, "count": 90}}
        window = await self.fetch(f"/streams/{stream}/lines", **{"from": 94})
        yield {"lines": window["lines"], "through": 100}
        yield {"sealed": True, "next_stream": None}
        await asyncio.sleep(60)

    monkeypatch.setattr(Client, "follow", gapped)
    monkeypatch.setattr(follow, "WINDOW_LINES", 7)
    assert await Follower(served, start=1).ended() == data.decode().splitlines()


async def test_what_goes_wrong_is_told(served: Served, tmp_path: Path) -> None:
    """A job that nobody knows, one without logs that has ended, a service that is away, a token that is none."""
    with pytest.raises(NotFound):
        await Follower(served).ended()
    await end_job(served)
    with pytest.raises(NotFound, match="no such log"):
        await Follower(served).ended()
    with pytest.raises(StoreUnavailable, match="No service answers"):
        await Follower(served, through="127.0.0.1:1").ended()
    follower = Follower(served)
    follower.following._client = Client(f"http://{served.address}", "wrong")
    with pytest.raises(LogsvcError) as refused:
        await follower.ended()
    assert refused.value.code == "unauthorized"


async def test_too_many_logs(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection each: bounded."""
    monkeypatch.setattr(follow, "MAX_LOGS", 2)
    for n in range(3):
        await write(served, b"x\n", 0, f"worker-{n}")
    with pytest.raises(BadInput, match="--task"):
        await Follower(served).ended()


async def test_a_job_without_logs_yet_is_waited_for(served: Served) -> None:
    response: httpx2.Response = await served.http.put(f"/api/v1/jobs/{JOB}", json={"name": "soon"})
    assert response.status_code == 200
    follower = Follower(served)
    async with follower.running():
        await asyncio.sleep(0)
        await write(served, b"first\n", 0)
        assert await follower.prints(1) == ["first"]

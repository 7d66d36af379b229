"""Real logs through the API: counted, shown, searched as grep searches them, and given back byte for byte."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import AsyncIterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from builders import JOB, SAMPLES, HandClock
from logsvc.model.stream import ordinary_path
from logsvc.stores.embedded.store import EmbeddedStore
from serving import Served, in_process

ENTRY = f"modelarts-job-{JOB}"
REAL = {"nerf.log": (196, 123), "maml.log": (1276, 263)}  # lines, system lines
PIECE_BYTES = 1000
# A word and how it is meant: F as it stands, i in any case, E as a pattern that grep -E and RE2 read alike.
WORDS = [
    *[("F", word) for word in ("INFO", "info", "Iteration", "Iteration 100", "ModelArts", "Modelarts", "[init]")],
    *[("F", word) for word in ("loss", " - INFO - ", "level=info", 'msg="', "a", " ", "None.\t", "no such words", "{")],
    *[
        ("F", word)
        for word in ("device_id", "192.168", "1.0", "(", "\\", "Validation results: 0.1", "==", "W", "Error")
    ],
    *[("i", word) for word in ("info", "MODELARTS SERVICE LOG", "warning", "error", "iteration 2", "Davinci", "obs")],
    *[("i", word) for word in ("[modelarts", ".PY", "python", "ready", "S3://", "platform=modelarts-service")],
    *[("E", pattern) for pattern in (r"^Iteration [0-9]+: ", r"[0-9]{4}-[0-9]{2}-[0-9]{2}T", r"step [0-9]+$", r"^$")],
    *[("E", pattern) for pattern in (r"(nerf|maml)-", r"^\[Model[Aa]rts Service Log\]", r"0\.[0-9]{8},", r"^ +\"")],
    *[("E", pattern) for pattern in (r"Listing OBS: [0-9]*000$", r"line:(264|1089)", r"file=\"[a-z]+\.go:[0-9]+\"")],
    *[("E", pattern) for pattern in (r"^[^\[]", r"pid = [0-9]+$", r"(W|I) tensorflow/[a-z/]+\.cc", r"x{2}|y.y", r".")],
    *[("Ei", pattern) for pattern in (r"^info:(root|tensorflow):", r"total(ly)? results", r"[[:digit:]]+ms\b", r"z$")],
]


@lru_cache
def sample(name: str) -> bytes:
    return (SAMPLES / "real" / name).read_bytes()


@lru_cache
def user_lines(name: str) -> list[int]:
    """Numbers of the lines that the job wrote, found in the plain way that is enough for these two files."""
    found, in_body = [], False
    before = b""
    for number, line in enumerate(sample(name).splitlines(), 1):
        marked = any(mark in line.lower() for mark in (b"[modelarts service log]", b"platform=modelarts-service"))
        in_body = in_body or (line == b"{" and before.rstrip().endswith(b" - INFO -"))
        if not marked and not in_body:
            found.append(number)
        in_body = in_body and line != b"}"
        before = line
    return found


@lru_cache
def grep(how: str, word: str, file: Path) -> list[int]:
    """Numbers of the lines that the real grep finds."""
    options = {"F": ["-F"], "i": ["-F", "-i"], "E": ["-E"], "Ei": ["-E", "-i"]}[how]
    ran = subprocess.run(
        ["grep", "-a", "-n", *options, "-e", word, str(file)],
        env={**os.environ, "LC_ALL": "C.UTF-8"},
        stdout=subprocess.PIPE,
        check=False,
    )
    assert ran.returncode in (0, 1), word
    return [int(line.partition(b":")[0]) for line in ran.stdout.splitlines()]


@pytest.fixture
async def served(tmp_path: Path, clock: HandClock) -> AsyncIterator[Served]:
    folder = tmp_path / "data"
    async with in_process(folder, store=EmbeddedStore(folder, clock=clock), clock=clock) as served:
        yield served


async def ship(served: Served, data: bytes, *, pieces: bool = False, packed: bool = False, **name: Any) -> str:
    """Send a file whole or in pieces; the stream's id."""
    step = PIECE_BYTES if pieces else max(len(data), 1)
    for offset in range(0, max(len(data), 1), step):
        stream = await served.write(data[offset : offset + step], offset=offset, **name)
    if packed:
        await served.write(b"", offset=len(data), final=1, **name)
        await served.service.services.store.pack(stream)  # type: ignore[attr-defined]  # returns once it is done
    return stream


@pytest.fixture(params=["whole", "pieces", "packed", "pieces-packed"])
def way(request: pytest.FixtureRequest) -> dict[str, bool]:
    """How a file comes, and how it is held when it is read."""
    return {"pieces": "pieces" in request.param, "packed": "packed" in request.param}


async def raw(served: Served, stream: str) -> bytes:
    response = await served.http.get(f"/api/v1/streams/{stream}/raw")
    assert response.status_code == 200
    return response.content


@pytest.mark.parametrize("name", REAL)
async def test_counts_windows_and_bytes(served: Served, way: dict[str, bool], name: str) -> None:
    data, (lines, system) = sample(name), REAL[name]
    stream = await ship(served, data, **way)
    assert hashlib.sha256(await raw(served, stream)).digest() == hashlib.sha256(data).digest()
    [shown] = (await served.get(f"/jobs/{JOB}/streams"))["streams"]
    assert (shown["size_bytes"], shown["lines"], shown["user_lines"]) == (len(data), lines, lines - system)
    assert shown["sealed"] == way["packed"]

    texts = data.decode().removesuffix("\n").split("\n")
    window = await served.get(f"/streams/{stream}/lines", limit=5000)
    assert (window["total_lines"], window["total_user_lines"]) == (lines, lines - system)
    assert [line["text"] for line in window["lines"]] == texts
    assert [line["n"] for line in window["lines"]] == list(range(1, lines + 1))
    assert sum(line["system"] for line in window["lines"]) == system
    for line in window["lines"]:
        assert data[line["offset"] :].startswith(line["text"].encode() + b"\n")

    ours = user_lines(name)
    assert len(ours) == lines - system
    whole = (await served.get(f"/streams/{stream}/lines", limit=5000, lines="user"))["lines"]
    assert [(line["n"], line["u"], line["text"]) for line in whole] == [
        (n, u, texts[n - 1]) for u, n in enumerate(ours, 1)
    ]
    for start in (1, 2, len(ours) // 2, len(ours) - 3, len(ours), len(ours) + 1):
        asked = await served.get(f"/streams/{stream}/lines", user_from=start, limit=37, lines="user")
        assert [line["n"] for line in asked["lines"]] == ours[start - 1 : start + 36]
    last = await served.get(f"/streams/{stream}/lines", **{"from": -20, "lines": "user"})
    assert [line["n"] for line in last["lines"]] == ours[-20:]


@pytest.mark.parametrize("name", REAL)
async def test_searches_as_grep(served: Served, way: dict[str, bool], name: str) -> None:
    stream = await ship(served, sample(name), **way)
    ours = set(user_lines(name))
    for how, word in WORDS:
        expected = grep(how, word, SAMPLES / "real" / name)
        asked = {"q": word, "regex": int("E" in how), "ignore_case": int("i" in how), "limit": 1000}
        found = await served.get(f"/streams/{stream}/matches", **asked)
        assert found["exact"]
        assert found["total"] == len(expected), (how, word)
        assert [match["n"] for match in found["matches"]] == expected[:1000], (how, word)
        of_user = await served.get(f"/streams/{stream}/matches", **{**asked, "lines": "user", "limit": 0})
        assert of_user["total"] == len(ours.intersection(expected)), (how, word)


def test_the_words_are_fifty_and_are_there() -> None:
    assert len(set(WORDS)) == len(WORDS) >= 50
    counts = [[len(grep(how, word, SAMPLES / "real" / name)) for name in REAL] for how, word in WORDS]
    assert sum(any(count) for count in counts) >= 45


def place(name: str) -> dict[str, str]:
    """Task and path of a sample: its own where it is a job's file, else beside the job's files."""
    own = name.startswith(ENTRY)
    task = "worker-1" if name == f"{ENTRY}-worker-1.log" else "worker-0"
    return {"task": task, "path": name if own else f"{ENTRY}/other/{task}/{name}"}


async def test_every_sample_in_its_place(served: Served, way: dict[str, bool]) -> None:
    files = {
        path.relative_to(SAMPLES).as_posix(): path.read_bytes() for path in sorted(SAMPLES.rglob("*")) if path.is_file()
    }
    assert sum(name.startswith(ENTRY) for name in files) == 7
    ids = {name: await ship(served, data, **way, **place(name)) for name, data in files.items()}
    streams = {each["id"]: each for each in (await served.get(f"/jobs/{JOB}/streams"))["streams"]}
    assert set(streams) == set(ids.values())
    for name, stream in ids.items():
        assert await raw(served, stream) == files[name], name
        held = streams[stream]
        assert (held["path"], held["size_bytes"]) == (place(name)["path"], len(files[name]))
        texts = files[name].decode(errors="replace").split("\n")
        window = await served.get(f"/streams/{stream}/lines", limit=5000)
        expected = [text.removesuffix("\r") for text in (texts if texts[-1] else texts[:-1])]
        assert [line["text"] for line in window["lines"]] == expected, name
        assert held["lines"] == window["total_lines"] == len(expected)
    kinds = sorted(streams[ids[name]]["kind"] for name in files if name.startswith(ENTRY))
    assert kinds == ["device", "mindspore", "mindspore", "ordinary", "ordinary", "plog", "proc"]
    ranks = {streams[ids[name]]["rank"] for name in files if name.startswith(f"{ENTRY}/ascend")}
    assert ranks == {0}


async def test_the_real_logs_as_the_jobs_they_were(served: Served) -> None:
    ids = {}
    for name in REAL:
        job = name.removesuffix(".log")
        ids[name] = await ship(served, sample(name), pieces=True, job=job, path=ordinary_path(job, "worker-0"))
    found = await served.get("/search", q="Service Log")
    totals = {one["stream"]: one["total"] for one in found["totals"]}
    assert totals == {ids[name]: len(grep("F", "Service Log", SAMPLES / "real" / name)) for name in REAL}

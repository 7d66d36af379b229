"""Bad input to a real process: a code, a sentence, no trace, and nothing lost of what was acknowledged."""

from __future__ import annotations

import ctypes
import gzip
import hashlib
import json
import os
import random
import re
import stat
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import zstandard

from builders import JOB, MARKED, TASK
from logsvc.model.stream import ordinary_path
from processes import Answer, Client, ServiceProcess
from serving import LOG

MIB = 1 << 20
GIB = 1 << 30
KEPT = {"job": "kept", "task": TASK, "path": ordinary_path("kept", TASK)}
KEPT_BYTES = b"first\n" + MARKED + b"third \xff\r\n" + b"no end yet"
OTHER = f"modelarts-job-{JOB}/other/{TASK}/"
ALL_BYTES = bytes(range(256))
CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 1, 2
PR_CAPBSET_DROP = 24


def bounded() -> None:
    """Where the tests are run by root: take from the process what lets root write to a read-only folder."""
    if os.geteuid() == 0:
        prctl = ctypes.CDLL(None, use_errno=True).prctl
        for right in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
            if prctl(PR_CAPBSET_DROP, right, 0, 0, 0):
                raise OSError(ctypes.get_errno(), "a right cannot be dropped")


def refused(answer: Answer, status: int, code: str) -> dict[str, Any]:
    """Detail of an error that has this status and code, one sentence, and no trace."""
    assert (answer.status, answer.code) == (status, code), answer.body[:1000]
    assert answer.headers["Content-Type"] == "application/json"
    error = answer.json["error"]
    assert " " in error["message"].strip() and "\n" not in error["message"] and "\0" not in error["message"]
    assert 'File "' not in answer.body.decode() and len(answer.body) < 2000
    detail: dict[str, Any] = error["detail"]
    return detail


def still_there(client: Client) -> None:
    """What was acknowledged before is held, once; refused chunks made nothing."""
    assert [job["id"] for job in client.get("/jobs")["jobs"] if job["id"] == "kept"] == ["kept"]
    [stream] = client.get("/jobs/kept/streams")["streams"]
    assert stream["size_bytes"] == len(KEPT_BYTES)
    assert client.raw(stream["id"]) == KEPT_BYTES


def nothing_was_made(client: Client) -> None:
    """Of all jobs only those are there that were sent well."""
    assert [job["id"] for job in client.get("/jobs")["jobs"]] == ["kept"]
    assert len(client.get("/jobs/kept/streams")["streams"]) == 1


def no_trace(service: ServiceProcess) -> None:
    told = service.logged()
    assert "Traceback" not in told and "request_failed" not in told, told[-3000:]


def running(folder: Path) -> ServiceProcess:
    """A service that holds what must stay."""
    service = ServiceProcess(folder).start()
    client = service.client()
    answer = client.chunk(KEPT_BYTES, offset=0, **KEPT)
    assert (answer.status, answer.json["next_offset"]) == (200, len(KEPT_BYTES))
    client.close()
    return service


@pytest.fixture(scope="module")
def refusing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """A service to which nothing good is sent but the first chunk."""
    service = running(tmp_path_factory.mktemp("refusing") / "data")
    yield service
    service.stop()
    assert service.process.returncode == 0


@pytest.fixture
def client(refusing: ServiceProcess) -> Iterator[Client]:
    """A client; afterwards nothing new is held and nothing is lost."""
    client = refusing.client()
    yield client
    client.close()
    client = refusing.client()
    still_there(client)
    nothing_was_made(client)
    no_trace(refusing)
    client.close()


@pytest.fixture(scope="module")
def taking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """A service for odd input that is good all the same."""
    service = running(tmp_path_factory.mktemp("taking") / "data")
    yield service
    still_there(service.client())
    no_trace(service)
    service.stop()
    assert service.process.returncode == 0


_jobs = iter(range(1_000_000))


def a_log() -> dict[str, str]:
    """A log that nobody wrote to yet."""
    job = f"odd-{next(_jobs)}"
    return {"job": job, "task": TASK, "path": ordinary_path(job, TASK)}


def frame(data: bytes, **head: Any) -> bytes:
    encoded = json.dumps({"length": len(data), "offset": 0, **head}).encode()
    return struct.pack("<I", len(encoded)) + encoded + data


# Names.

BAD_NAMES = {
    "job ..": {"job": "..", "path": "modelarts-job-..-worker-0.log"},
    "job .": {"job": ".", "path": "modelarts-job-.-worker-0.log"},
    "job above": {"job": "../etc", "path": "modelarts-job-../etc-worker-0.log"},
    "job absolute": {"job": "/etc", "path": "modelarts-job-/etc-worker-0.log"},
    "job NUL": {"job": "a\0b", "path": "modelarts-job-a\0b-worker-0.log"},
    "job wide": {"job": "作业", "path": "modelarts-job-作业-worker-0.log"},
    "job newline": {"job": "a\n", "path": "modelarts-job-a\n-worker-0.log"},
    "task ..": {"task": ".."},
    "task NUL": {"task": "worker-0\0"},
    "task slash": {"task": "worker-0/../worker-1"},
    "path ..": {"path": ".."},
    "path above": {"path": f"../{LOG['path']}"},
    "path within": {"path": f"{OTHER}a/../../b"},
    "path dot": {"path": f"{OTHER}./b"},
    "path empty part": {"path": f"{OTHER}a//b"},
    "path ends in /": {"path": f"{OTHER}a/"},
    "path absolute": {"path": f"/{LOG['path']}"},
    "path etc": {"path": "/etc/passwd"},
    "path NUL": {"path": f"{LOG['path']}\0"},
    "path NUL within": {"path": f"{OTHER}a\0b"},
    "path long": {"path": OTHER + "x" * 10_000},
    "path deep": {"path": OTHER + "a/" * 5_000 + "b"},
    "path wide and long": {"path": OTHER + "日" * 400},
    "layout foreign": {"path": "var/log/messages"},
    "layout windows": {"path": "C:\\logs\\train.log"},
    "layout of another job": {"path": ordinary_path("another", TASK)},
    "layout of another task": {"path": ordinary_path(JOB, "worker-1")},
    "layout without rank": {"path": f"modelarts-job-{JOB}/ascend/process_log/plog/plog-1_2.log"},
    "layout of a letter": {"path": f"modelarts-job-{JOB}/ascend/process_log/rank_x/plog/plog-1_2.log"},
    "layout plog name": {"path": f"modelarts-job-{JOB}/ascend/process_log/rank_0/plog/plog-1_2.log/../../x"},
}


@pytest.mark.parametrize("name", BAD_NAMES.values(), ids=BAD_NAMES)
def test_names_that_are_none(client: Client, name: dict[str, str]) -> None:
    named = {**LOG, **name}
    refused(client.chunk(b"x\n", offset=0, **named), 422, "bad_path")
    refused(client.ask("GET", "/chunks", **named), 422, "bad_path")
    refused(client.ask("POST", "/offsets", json.dumps({"streams": [named]}).encode()), 422, "bad_path")
    answer = client.ask("POST", "/batch", frame(b"x\n", **named) * 2)
    assert [one["error"]["code"] for one in answer.json["results"]] == ["bad_path"] * 2


@pytest.mark.parametrize("part", ["job", "task", "path"])
def test_names_of_10000_characters_and_none(client: Client, part: str) -> None:
    for value, code in (("x" * 10_000, "bad_path" if part == "path" else "bad_input"), ("", "bad_input")):
        detail = refused(client.chunk(b"x\n", offset=0, **{**LOG, part: value}), 422, code)
        assert code == "bad_path" or detail["parameter"] == part
    refused(client.chunk(b"x\n", offset=0, **{**LOG, part: "x" * 30_000}), 422, "bad_input")
    without = {name: value for name, value in LOG.items() if name != part}
    assert refused(client.chunk(b"x\n", offset=0, **without), 422, "bad_input")["parameter"] == part


BAD_IDS = ["..", ".", "../../etc/passwd", "/", "a\0b", "\0", "x" * 10_000, "a b", "作业", "-1", "1e3", "9" * 40, "1;--"]


@pytest.mark.parametrize("id", BAD_IDS, ids=lambda id: repr(id)[:20])
def test_ids_in_addresses(client: Client, id: str) -> None:
    id = quote(id, safe="")
    for call in (f"/jobs/{id}", f"/jobs/{id}/streams", f"/jobs/{id}/download"):
        refused(client.ask("GET", call), 404, "not_found")
    for call in ("lines", "matches?q=x", "raw", "follow"):
        refused(client.ask("GET", f"/streams/{id}/{call}"), 404, "not_found")


@pytest.mark.parametrize("id", ["%ff", "%", "%zz", "%c0%ae%c0%ae", "..%5c..", "%2e%2e%2f%2e%2e"])
def test_ids_that_are_not_even_text(client: Client, id: str) -> None:
    for call in (f"/jobs/{id}", f"/streams/{id}/lines", f"/streams/{id}/raw"):
        refused(client.ask("GET", call), 404, "not_found")


# Places.


@pytest.mark.parametrize(
    "offset", [-1, -(2**63), 2**63, 10**30, "", "x", "1.0", "1e3", "0x10", " 1", "1 ", "+1", "1_0", "NaN", "１", "\0"]
)
def test_offsets_that_are_none(client: Client, offset: Any) -> None:
    answer = client.ask("POST", "/chunks", b"x", offset=offset, **LOG)
    assert refused(answer, 422, "bad_input")["parameter"] == "offset"


@pytest.mark.parametrize("offset", [-1, 2**63, 1.0, "0", None, True, [], {}])
def test_offsets_in_a_batch_that_are_none(client: Client, offset: Any) -> None:
    answer = client.ask("POST", "/batch", frame(b"x", **{**LOG, "offset": offset}))
    assert [one["error"]["code"] for one in answer.json["results"]] == ["bad_input"]


def test_no_offset(client: Client) -> None:
    assert refused(client.ask("POST", "/chunks", b"x", **LOG), 422, "bad_input")["parameter"] == "offset"


@pytest.mark.parametrize("past", [1, 1000, 2**62])
def test_an_offset_past_the_end(client: Client, past: int) -> None:
    answer = client.chunk(b"x", offset=len(KEPT_BYTES) + past, **KEPT)
    assert refused(answer, 409, "offset_gap")["expected"] == len(KEPT_BYTES)
    assert refused(client.chunk(b"x", offset=past, **LOG), 409, "offset_gap")["expected"] == 0
    [result] = client.ask("POST", "/batch", frame(b"x", **{**KEPT, "offset": 10**6 + past})).json["results"]
    assert (result["error"]["code"], result["error"]["detail"]["expected"]) == ("offset_gap", len(KEPT_BYTES))


def test_resent_bytes_that_differ(client: Client) -> None:
    for data, offset in ((b"FIRST\n", 0), (KEPT_BYTES[:-1] + b"!", 0), (b"x", len(KEPT_BYTES) - 1)):
        refused(client.chunk(data, offset=offset, **KEPT), 409, "content_conflict")
    refused(client.chunk(KEPT_BYTES[:-1] + b"! and more\n", offset=0, **KEPT), 409, "content_conflict")
    assert client.chunk(KEPT_BYTES, offset=0, **KEPT).json["next_offset"] == len(KEPT_BYTES)  # the same: not again


@pytest.mark.parametrize("query", ["from=0", "from=x", "from=1e9", f"from={10**30}", "limit=0", "limit=5001", "limit="])
def test_windows_that_are_none(client: Client, query: str) -> None:
    [stream] = client.get("/jobs/kept/streams")["streams"]
    answer = client.ask("GET", f"/streams/{stream['id']}/lines?{query}")
    assert refused(answer, 422, "bad_input")["parameter"] == query.partition("=")[0]


# Bodies.

NOISE = random.Random(3).randbytes(5000)
BAD_BODIES: dict[str, tuple[str, bytes]] = {
    "plain as zstd": ("zstd", b"plain text\n" * 100),
    "plain as gzip": ("gzip", b"plain text\n" * 100),
    "gzip as zstd": ("zstd", gzip.compress(NOISE)),
    "zstd as gzip": ("gzip", zstandard.compress(NOISE)),
    "deflate as gzip": ("gzip", zlib.compress(NOISE)),
    "empty as zstd": ("zstd", b""),
    "empty as gzip": ("gzip", b""),
    "cut zstd": ("zstd", zstandard.compress(NOISE)[:-10]),
    "cut gzip": ("gzip", gzip.compress(NOISE)[:-10]),
    "zstd with junk behind": ("zstd", zstandard.compress(NOISE) + NOISE),
    "gzip with junk behind": ("gzip", gzip.compress(NOISE) + NOISE),
    "gzip with a wrong sum": ("gzip", gzip.compress(NOISE)[:-8] + bytes(4) + gzip.compress(NOISE)[-4:]),
    "zstd of a huge window": ("zstd", bytes.fromhex("28b52ffd00ff") + NOISE),
}


@pytest.mark.parametrize(("encoding", "body"), BAD_BODIES.values(), ids=BAD_BODIES)
@pytest.mark.parametrize("call", ["/chunks", "/batch"])
def test_bodies_that_are_not_what_they_say(client: Client, call: str, encoding: str, body: bytes) -> None:
    query = {**LOG, "offset": 0} if call == "/chunks" else {}
    refused(client.ask("POST", call, body, {"Content-Encoding": encoding}, **query), 400, "bad_body")


@pytest.mark.parametrize("encoding", ["br", "deflate", "compress", "gzip, zstd", "zstd;q=1", "x" * 1000, "\xff"])
def test_unknown_encodings(client: Client, encoding: str) -> None:
    refused(client.chunk(b"x", offset=0, headers={"Content-Encoding": encoding}, **LOG), 415, "unknown_encoding")


@pytest.mark.parametrize("body", [b"\xff", b"{", b"\0" * 100, b"[" * 100_000, b'{"streams": "\xed\xa0\x80"}'])
def test_json_that_is_none(client: Client, body: bytes) -> None:
    refused(client.ask("POST", "/offsets", body), 400, "bad_body")
    refused(client.ask("PUT", "/jobs/new", body), 400, "bad_body")
    refused(client.ask("POST", "/batch", struct.pack("<I", len(body)) + body), 400, "bad_body")


def bomb(encoding: str, size: int) -> bytes:
    """Zeros, packed without having them all in memory."""
    packer: Any = zstandard.ZstdCompressor().compressobj() if encoding == "zstd" else zlib.compressobj(wbits=31)
    zeros = bytes(MIB)
    return b"".join(packer.compress(zeros) for _ in range(size // MIB)) + bytes(packer.flush())


def memory(service: ServiceProcess, field: str) -> int:
    """Bytes that the process has, or had at most."""
    text = Path(f"/proc/{service.process.pid}/status").read_text()
    found = re.search(rf"^{field}:\s+(\d+) kB$", text, re.MULTILINE)
    assert found
    return int(found[1]) * 1024


def memory_now(service: ServiceProcess) -> int:
    """Bytes that the process has; from here on its peak is counted anew."""
    Path(f"/proc/{service.process.pid}/clear_refs").write_text("5")
    return memory(service, "VmRSS")


def test_a_body_that_unfolds_to_a_gigabyte(refusing: ServiceProcess, client: Client) -> None:
    packed = bomb("zstd", GIB)
    assert 20_000 < len(packed) < 40_000
    encoded, gzipped = {"Content-Encoding": "zstd"}, bomb("gzip", 128 * MIB)
    held = memory_now(refusing)
    for _ in range(3):
        answer = client.chunk(packed, offset=0, headers=encoded, **LOG)
        assert refused(answer, 413, "too_large")["limit_bytes"] == 64 * MIB
    refused(client.ask("POST", "/batch", packed, encoded), 413, "too_large")
    refused(client.ask("PUT", "/jobs/new", packed, encoded), 413, "too_large")
    refused(client.chunk(gzipped, offset=0, headers={"Content-Encoding": "gzip"}, **LOG), 413, "too_large")
    assert memory(refusing, "VmHWM") - held < 200 * MIB
    assert memory(refusing, "VmRSS") - held < 100 * MIB


def test_gigabytes_from_many_at_once(refusing: ServiceProcess, client: Client) -> None:
    packed = bomb("zstd", GIB)
    answers: list[Answer] = []

    def send() -> None:
        sender = refusing.client()
        answers.append(sender.chunk(packed, offset=0, headers={"Content-Encoding": "zstd"}, **LOG))
        sender.close()

    held = memory_now(refusing)
    senders = [threading.Thread(target=send) for _ in range(12)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join(60)
    assert len(answers) == 12
    for answer in answers:
        refused(answer, 413, "too_large")
    assert memory(refusing, "VmHWM") - held < 300 * MIB


# Lines and bytes of every kind: odd, but good.


def test_an_unterminated_line_of_100_mb(taking: ServiceProcess) -> None:
    client, log = taking.client(), a_log()
    piece = b"".join(b"%07d " % n for n in range(MIB))
    assert len(piece) == 8 * MIB
    data = (piece * 12)[: 100_000_000 - 20] + b"the needle at its end"[-20:]
    offset = 0
    for start in range(0, len(data), len(piece)):
        answer = client.chunk(data[start : start + len(piece)], offset=offset, **log)
        assert answer.status == 200, answer.body[:1000]
        offset = answer.json["next_offset"]
    assert offset == len(data) == 100_000_000
    stream = client.get("/chunks", **log)["stream"]
    for partial, lines in ((True, 1), (False, 2)):
        window = client.get(f"/streams/{stream}/lines")
        assert (window["total_lines"], window["total_user_lines"]) == (lines, lines)
        line = window["lines"][0]
        assert (line.get("partial", False), line["cut"], line["size_bytes"]) == (partial, True, len(data))
        assert len(line["text"]) == 64 * 1024 and data.startswith(line["text"].encode())
        found = client.get(f"/streams/{stream}/matches", q="needle")
        assert (found["total"], found["exact"], found["matches"][0]["n"]) == (1, True, 1)
        assert found["matches"][0]["spans"] == [[len(data) - 17, len(data) - 11]]
        if partial:
            assert client.chunk(b"\nafter\n", offset=len(data), **log).status == 200
    assert client.get(f"/streams/{stream}/matches", q=r"^0000000.*at its end$", regex=1, limit=0)["total"] == 1
    assert client.get(f"/streams/{stream}/matches", q="NEEDLE", ignore_case=1, limit=0)["total"] == 1
    raw = client.raw(stream)
    assert hashlib.sha256(raw[: len(data)]).digest() == hashlib.sha256(data).digest()
    assert raw[len(data) :] == b"\nafter\n"
    assert client.get(f"/streams/{stream}/lines?from=2")["lines"][0]["text"] == "after"
    client.close()


ODD_BYTES = {
    "NUL": b"a\0b\0\n\0\n",
    "all bytes": ALL_BYTES,
    "all bytes often": ALL_BYTES * 500,
    "all bytes, turned": ALL_BYTES[::-1] * 3,
    "invalid UTF-8": b"\xff\xfe \xc3( \xe6\x97 \xf0\x9f\x98 \xed\xa0\x80 \xc0\xaf \xf4\x90\x80\x80\nend",
    "lone CR": b"10%\r20%\r100%\rdone\n\r\n\r\r\n\r",
    "CRLF": b"one\r\ntwo\r\n",
    "only newlines": b"\n" * 1000,
    "BOM": b"\xef\xbb\xbfone\n\xff\xfeo\0n\0e\0\n",
    "other line ends": "a\u2028b\u2029c\x85d\x0be\x0cf\n".encode(),
    "noise": random.Random(5).randbytes(100_000),
    "escapes": b"\x1b[31mred\x1b[0m\x08\x07\n<script>alert(1)</script>\n",
}


@pytest.mark.parametrize("data", ODD_BYTES.values(), ids=ODD_BYTES)
@pytest.mark.parametrize("step", [1 << 30, 997])
def test_bytes_of_every_kind(taking: ServiceProcess, data: bytes, step: int) -> None:
    client, log = taking.client(), a_log()
    for start in range(0, len(data), step):
        assert client.chunk(data[start : start + step], offset=start, **log).status == 200
    stream = client.get("/chunks", **log)["stream"]
    assert client.raw(stream) == data
    parts = data.split(b"\n")
    expected = [part.removesuffix(b"\r").decode(errors="replace") for part in (parts if parts[-1] else parts[:-1])]
    window = client.get(f"/streams/{stream}/lines", limit=5000)
    assert [line["text"] for line in window["lines"]] == expected
    assert window["total_lines"] == len(expected)
    for word in ("\0", "\ufffd", "\r", "d"):
        found = client.get(f"/streams/{stream}/matches", q=word, limit=0)
        assert found["total"] == sum(word in text for text in expected), word
    client.close()


# Patterns.


@pytest.mark.parametrize(
    "pattern",
    [
        *("(", ")", "[", "*", "a**b", "a{2,1}", "a{1001}", "(?=x)", "(?!x)", "(?<=x)y", "(?<!x)y", r"(a)\1", r"\8"),
        *("(?P<n", "(?z)", "[z-a]", "[[:none:]]", r"\p{None}", "a\\", "((a{100}){100}){100}", "(?>a)", "a++", r"\Z"),
        *("(" * 2000 + "a" + ")" * 2000, "a" * 10_000, "(" * 10_000, "a?" * 5000 + "a" * 5000),
    ],
    ids=lambda pattern: pattern[:20],
)
def test_patterns_that_are_refused(client: Client, pattern: str) -> None:
    [stream] = client.get("/jobs/kept/streams")["streams"]
    for call in (f"/streams/{stream['id']}/matches", "/search"):
        refused(client.ask("GET", call, q=pattern, regex=1), 422, "bad_pattern")
        refused(client.ask("GET", call, q=pattern, regex=1, ignore_case=1, limit=0), 422, "bad_pattern")


@pytest.mark.parametrize("regex", [0, 1])
def test_texts_that_are_none(client: Client, regex: int) -> None:
    [stream] = client.get("/jobs/kept/streams")["streams"]
    for call in (f"/streams/{stream['id']}/matches", "/search"):
        for query in ({}, {"q": ""}, {"q": "a" * 30_000}):
            assert refused(client.ask("GET", call, regex=regex, **query), 422, "bad_input")["parameter"] == "q"
        refused(client.ask("GET", f"{call}?q=%ff&regex={regex}"), 422, "bad_input")


@pytest.mark.parametrize("pattern", ["(a+)+$", "^(a|a)*$", "(a*)*b", "(.*)*x$", "a?" * 40 + "a" * 40 + "$"])
def test_patterns_that_blow_up_other_engines(taking: ServiceProcess, pattern: str) -> None:
    client, log = taking.client(), a_log()
    lines = [b"a" * 40 + b"!\n"] * 200 + [b"a" * 100_000 + b"!\n"]
    assert client.chunk(b"".join(lines), offset=0, **log).status == 200
    stream = client.get("/chunks", **log)["stream"]
    began = time.monotonic()
    assert client.get(f"/streams/{stream}/matches", q=pattern, regex=1)["total"] == 0
    assert time.monotonic() - began < 3
    client.close()


def test_a_text_of_4000_characters_is_found(taking: ServiceProcess) -> None:
    client, log = taking.client(), a_log()
    text = "".join(f"{n:05}" for n in range(800))
    assert client.chunk(f"before\nxx{text}xx\n{text[:-1]}\n".encode(), offset=0, **log).status == 200
    stream = client.get("/chunks", **log)["stream"]
    found = client.get(f"/streams/{stream}/matches", q=text)
    assert [(match["n"], match["spans"]) for match in found["matches"]] == [(2, [[2, 4_002]])]
    client.close()


def test_a_conflict_is_another_generation(taking: ServiceProcess) -> None:
    client, log = taking.client(), a_log()
    assert client.chunk(b"one\ntwo\n", offset=0, **log).status == 200
    refused(client.chunk(b"uno\n", offset=0, **log), 409, "content_conflict")
    assert client.chunk(b"uno\n", offset=0, generation=1, **log).status == 200
    held = {each["generation"]: client.raw(each["id"]) for each in client.get(f"/jobs/{log['job']}/streams")["streams"]}
    assert held == {0: b"one\ntwo\n", 1: b"uno\n"}
    client.close()


# Data folders that cannot be used.


def closed(folder: Path) -> None:
    """The folder and all in it read-only."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(stat.S_IMODE(path.stat().st_mode) & ~0o222)


def files_closed(folder: Path) -> None:
    """The folder's own files read-only: lock and catalog."""
    for path in folder.iterdir():
        path.chmod(0o500 if path.is_dir() else 0o400)


def unreadable(folder: Path) -> None:
    """Nobody may enter."""
    folder.chmod(0)


def foreign(folder: Path) -> None:
    """Another user's."""
    if os.geteuid():
        pytest.skip("only root can give a folder away")
    os.chown(folder, 12345, 12345)
    folder.chmod(0o755)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def does_not_start(folder: Path, log: Path) -> str:
    """The one sentence of a service that cannot have this folder."""
    service = ServiceProcess(folder, preexec=bounded)
    service.log = log
    service.launch()
    assert service.process.wait(60) == 2, service.logged()
    assert service.process.stdout and service.process.stdout.read() == b""
    service.kill()
    assert "Traceback" not in service.logged()
    [sentence] = service.logged().strip().splitlines()
    assert str(folder) in sentence
    return sentence


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a service that has stopped; in the end one that starts again finds everything."""
    folder = tmp_path_factory.mktemp("left") / "data"
    running(folder).stop()
    yield folder
    again = ServiceProcess(folder).start()
    still_there(again.client())
    no_trace(again)
    again.stop()


@pytest.mark.parametrize("how", [closed, files_closed, foreign, unreadable], ids=lambda how: how.__name__)
def test_a_folder_that_cannot_be_used(left: Path, tmp_path: Path, how: Callable[[Path], None]) -> None:
    before = contents(left)
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (left, *left.rglob("*"))}
    try:
        how(left)
        does_not_start(left, tmp_path / "refused.log")
    finally:
        os.chown(left, os.geteuid(), -1)
        for path, mode in modes.items():
            path.chmod(mode)
    assert contents(left) == before


def test_a_folder_that_another_service_has(refusing: ServiceProcess, client: Client, tmp_path: Path) -> None:
    assert "another logsvc" in does_not_start(refusing.folder, tmp_path / "refused.log").lower()

"""A scan of streams: counts, places, bounds."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import HandClock, a_stream, lines_of, write
from logsvc.core import secret_scan
from logsvc.core.secret_scan import MAX_PLACES, Found, StreamScan, scan
from logsvc.stores.memory import MemoryStore
from serving import a_store

TOKEN = "hf_" + "aB3" * 12
KEY = "-----BEGIN PRIVATE KEY-----\n" + "MIIEvAIBADANBgkqhkiG9w0BAQEFAASC\n" * 20 + "-----END PRIVATE KEY-----\n"


@pytest.fixture(params=["memory", "embedded"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[MemoryStore]:
    held = a_store(request.param, tmp_path, HandClock())
    await held.open()
    yield held
    await held.close()


async def scanned(store: MemoryStore, *texts: str | bytes, **limits: object) -> Found:
    """Of streams with these bytes."""
    job = "secret-scan"
    for index, text in enumerate(texts):
        data = text.encode() if isinstance(text, str) else text
        await write(store, data, stream=a_stream(job, f"worker-{index}"))
    given = {"time_limit_seconds": 30, **limits}
    return await scan(store, await store.streams(job), HandClock(), **given)  # type: ignore[arg-type]


async def test_counts_and_places(store: MemoryStore) -> None:
    first = f"step 1\n损失 password=hunter2 a@b.example\n{KEY}step\n{TOKEN}"
    found = await scanned(store, first, "nothing\n", f"\n\n{TOKEN}\r\n")
    ids = [stream.id for stream in await store.streams("secret-scan")]
    assert found.counts == {"password": 1, "email": 1, "private_key": 1, "hugging_face_token": 2}
    assert [(place.stream_id, place.n, place.kind) for place in found.places] == [
        (ids[0], 2, "password"),
        (ids[0], 2, "email"),
        (ids[0], 3, "private_key"),
        (ids[0], 26, "hugging_face_token"),
        (ids[2], 3, "hugging_face_token"),
    ]
    assert found.exact and found.scanned_bytes == len(first.encode()) + 8 + len(TOKEN) + 4
    line = (await lines_of(store, ids[0], 2, 1))[0]["text"]
    assert [line[place.start : place.end] for place in found.places[:2]] == ["hunter2", "a@b.example"]


async def test_what_is_inside_of_a_key_is_no_secret_of_its_own(store: MemoryStore) -> None:
    body = KEY.splitlines()
    found = await scanned(store, "\n".join([body[0], body[1], "password=hunter2", f"{body[-1]} {TOKEN}", TOKEN]))
    assert found.counts == {"private_key": 1, "hugging_face_token": 2}


async def test_the_first_places_are_given_and_all_are_counted(store: MemoryStore) -> None:
    found = await scanned(store, f"{TOKEN}\n" * (MAX_PLACES + 50))
    assert found.counts.total() == MAX_PLACES + 50
    assert [place.n for place in found.places] == list(range(1, MAX_PLACES + 1))


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 4000), min_size=8, max_size=8), st.integers(3000, 30_000), st.booleans())
def test_secrets_that_lie_across_pieces_are_found_once(gaps: list[int], piece_bytes: int, ascii_only: bool) -> None:
    """A piece of a store ends anywhere, also in the midst of a line that is held in parts."""
    filling = "x " if ascii_only else "損 "
    line, places = "", []
    for gap in gaps:
        line += filling * gap
        places.append(len(line))
        line += TOKEN + " "
    data = f"{TOKEN}\nstep\n{line}\n\n{TOKEN}".encode()
    found = Found()
    one = StreamScan("1", found, MAX_PLACES)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(secret_scan, "PART_BYTES", 3 * secret_scan.OVERLAP_BYTES)
        for at in range(0, len(data), piece_bytes):
            one.feed(data[at : at + piece_bytes])
        one.end()
    assert [place.n for place in found.places] == [1, *[3] * len(places), 5]
    assert [(place.start, place.end) for place in found.places[1:-1]] == [(at, at + len(TOKEN)) for at in places]


def test_a_secret_longer_than_a_part_is_one_or_a_few() -> None:
    """Nothing else is bounded by memory; and where a part ends within it, that is no end of the scan."""
    found = Found()
    one = StreamScan("1", found, MAX_PLACES)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(secret_scan, "PART_BYTES", 3 * secret_scan.OVERLAP_BYTES)
        for _ in range(100):
            one.feed(b"password=" * 1000)
        one.end()
    assert 1 <= found.counts["password"] <= 100 and {place.n for place in found.places} == {1}


async def test_past_the_time_limit_it_says_so(store: MemoryStore) -> None:
    clock = HandClock()
    data = (f"{TOKEN}\n" + f"{'step 1 ' * 1000}\n").encode() * 400
    await write(store, data, stream=a_stream("secret-slow"))
    told: list[tuple[int, int]] = []

    def progress(done: int, whole: int) -> None:
        told.append((done, whole))
        clock.move(6)

    streams = await store.streams("secret-slow")
    found = await scan(store, streams, clock, time_limit_seconds=10, progress=progress)
    assert not found.exact and 0 < found.scanned_bytes < len(data)
    assert 0 < found.counts["hugging_face_token"] < 400
    assert told == sorted(told) and told[-1] == (found.scanned_bytes, len(data))


async def test_a_scan_ends_when_it_is_cancelled(store: MemoryStore) -> None:
    await write(store, (b"step 1 " * 1000 + b"\n") * 300, stream=a_stream("secret-cancelled"))
    pieces = 0

    def progress(done: int, whole: int) -> None:
        nonlocal pieces
        pieces += 1
        task.cancel()

    streams = await store.streams("secret-cancelled")
    work = scan(store, streams, HandClock(), time_limit_seconds=60, progress=progress)
    task = asyncio.ensure_future(work)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert pieces == 1


async def test_no_secret_in_what_is_found_nor_in_our_log(store: MemoryStore, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    found = await scanned(store, f"{TOKEN} password=hunter2hunter2\n")
    assert found.counts.total() == 2
    assert not [part for part in (TOKEN, "hunter2hunter2") if part in repr(found) + caplog.text]

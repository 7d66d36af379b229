"""`logsvc doctor` finds what is broken, says where, and finds nothing where nothing is."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from builders import HandClock, a_chunk
from logsvc.errors import StoreUnavailable
from logsvc.model.query import WindowQuery
from logsvc.stores.embedded.doctor import check
from logsvc.stores.embedded.segments import CHUNK, frames
from logsvc.stores.embedded.store import EmbeddedStore

DATA = b"".join(b"step %d, loss is %d\n" % (n, n * 7919 % 1000) for n in range(60_000))


@pytest.fixture
async def folder(tmp_path: Path, clock: HandClock) -> Path:
    """A data folder with three chunks and a tail, closed."""
    store = EmbeddedStore(tmp_path / "data", clock=clock)
    await store.open()
    await store.append([a_chunk(DATA)])
    await store.append([a_chunk(b"a tail", offset=len(DATA))])
    await store.close()
    return tmp_path / "data"


def segment_of(folder: Path) -> Path:
    (path,) = folder.glob("segments/*/*.seg")
    return path


def test_a_sound_folder_has_no_findings(folder: Path) -> None:
    told: list[tuple[int, int]] = []
    assert check(folder, lambda done, total: told.append((done, total))) == []
    assert told[-1][0] == told[-1][1] == segment_of(folder).stat().st_size


async def test_a_flipped_bit_is_found_and_never_shown(folder: Path, clock: HandClock) -> None:
    path = segment_of(folder)
    second = [frame for frame in frames(path) if frame.kind == CHUNK][1]
    data = bytearray(path.read_bytes())
    data[second.position + 100] ^= 1
    path.write_bytes(data)
    (finding,) = check(folder)
    assert finding.severity == "error" and f"at byte {second.position}" in finding.place
    assert "wrong checksum" in finding.message
    store = EmbeddedStore(folder, clock=clock)
    await store.open()
    assert len((await store.window("1", WindowQuery(start=1))).lines) == 500
    with pytest.raises(StoreUnavailable, match="damaged"):
        await store.window("1", WindowQuery(start=25_000))
    assert (await store.window("1", WindowQuery(start=-1))).lines[0]["text"] == "a tail"
    await store.close()


def test_missing_and_short_segments_are_found(folder: Path) -> None:
    path = segment_of(folder)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert any("no frame where" in finding.message or "cut short" in finding.message for finding in check(folder))
    path.unlink()
    assert any("missing" in finding.message for finding in check(folder))


def test_what_a_crash_left_behind_is_a_warning(folder: Path) -> None:
    with segment_of(folder).open("ab") as file:
        file.write(b"half a frame")
    (finding,) = check(folder)
    assert finding.severity == "warning" and "12 bytes that the catalog does not know" in finding.message


def test_wrong_sums_in_the_catalog_are_found(folder: Path) -> None:
    with sqlite3.connect(folder / "catalog.db") as catalog:
        catalog.execute("UPDATE chunks SET lines = lines + 1 WHERE offset = 0")
    catalog.close()
    assert any("a chunk begins" in finding.message for finding in check(folder))
    assert any("the catalog says" in finding.message for finding in check(folder))


def test_a_folder_without_catalog(tmp_path: Path) -> None:
    (finding,) = check(tmp_path)
    assert finding.severity == "error" and "there is no catalog" in finding.message

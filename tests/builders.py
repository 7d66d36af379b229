"""Small things that tests are made of: streams, chunks, a clock moved by hand."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from logsvc.model.chunk import Appended, Chunk
from logsvc.model.query import SearchQuery, WindowQuery
from logsvc.model.stream import StreamName, ordinary_path
from logsvc.stores.memory import MemoryStore

if TYPE_CHECKING:
    from logsvc.model.query import Line, Matches, Window
    from logsvc.ports import LogStore

SAMPLES = Path(__file__).parent / "samples"
JOB = "95f661bd-1527-41b8-971c-eca55e513254"
TASK = "worker-0"
NOON = 1795176000.0  # 2026-11-20T12:00:00Z
MARKED = b"[ModelArts Service Log]2026-11-20 12:00:00,000 - INFO - bootstrap: started\n"
ANNOUNCING = b"[ModelArts Service Log]2026-11-20 12:00:00,000 - bootstrap.py[line:10] - INFO -\n"
PACK_BYTES = 512 * 1024  # a tail of this size is packed (docs/design.md)


class HandClock:
    """Time that stands still until a test moves it."""

    def __init__(self, at: float = NOON) -> None:
        self.at = at

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at

    def move(self, seconds: float) -> None:
        """Let time pass."""
        self.at += seconds


def a_stream(job: str = JOB, task: str = TASK, *, path: str | None = None, generation: int = 0) -> StreamName:
    """A stream's name: by default a task's own log."""
    return StreamName(job, task, path if path is not None else ordinary_path(job, task), generation)


STREAM = a_stream()


def a_chunk(
    data: bytes = b"epoch 1\n",
    *,
    offset: int = 0,
    stream: StreamName = STREAM,
    final: bool = False,
    owner: str | None = None,
    rank: int | None = None,
) -> Chunk:
    """A chunk of the usual stream."""
    return Chunk(stream, offset, data, final, owner, rank)


async def write(store: LogStore, *pieces: bytes, stream: StreamName = STREAM, final: bool = False) -> str:
    """Append each piece at the stream's end, in a commit of its own; returns the stream's id."""
    held = await store.find(stream)
    offset, stream_id = held.size_bytes if held else 0, held.id if held else ""
    for index, piece in enumerate(pieces):
        last = index == len(pieces) - 1
        [result] = await store.append([a_chunk(piece, offset=offset, stream=stream, final=final and last)])
        assert isinstance(result, Appended), result
        offset += len(piece)
        assert result.next_offset == offset
        stream_id = result.stream_id
    await store.refresh()
    return stream_id


async def read_all(store: LogStore, stream_id: str) -> bytes:
    """Every byte held of a stream."""
    return b"".join([piece async for piece in store.read(stream_id, 0, 2**63 - 1)])


async def window(store: LogStore, stream_id: str, start: int = 1, limit: int = 5000, **limits: object) -> Window:
    """Lines around a place."""
    return await store.window(stream_id, WindowQuery(start=start, limit=limit, **limits))  # type: ignore[arg-type]


async def lines_of(store: LogStore, stream_id: str, start: int = 1, limit: int = 5000, **limits: object) -> list[Line]:
    """The lines of a window."""
    return (await window(store, stream_id, start, limit, **limits)).lines


async def texts_of(store: LogStore, stream_id: str, start: int = 1, limit: int = 5000, **limits: object) -> list[str]:
    """The texts of a window's lines."""
    return [line["text"] for line in await lines_of(store, stream_id, start, limit, **limits)]


async def find(store: LogStore, stream_id: str, text: str, **limits: object) -> Matches:
    """Search one stream."""
    return await store.matches(stream_id, SearchQuery(text, **limits))  # type: ignore[arg-type]


def in_chunks(store: LogStore, lines: int) -> int:
    """So many lines where they make several chunks; a twentieth for the plain store, which has none."""
    return lines // 20 if isinstance(store, MemoryStore) else lines


async def found_lines(store: LogStore, stream_id: str, text: str, **limits: object) -> list[int]:
    """Numbers of the lines that match; checks that the count says the same."""
    result = await find(store, stream_id, text, **{"limit": 1000, **limits})
    numbers = [match["n"] for match in result.matches]
    assert result.exact and result.total == len(numbers)
    return numbers

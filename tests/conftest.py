"""What every test may ask for: a clock moved by hand, and each store in turn."""

from __future__ import annotations

import signal
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from builders import HandClock
from logsvc.errors import LogsvcError
from logsvc.model.chunk import Appended, Chunk
from logsvc.model.sample import Sample
from logsvc.ports import LogStore, SampleStore
from logsvc.stores.embedded.store import EmbeddedStore
from logsvc.stores.memory import MemoryStore

STAGES = {"web": 0, "integration": 0, "contract": 1, "unit": 2}


def pytest_configure() -> None:
    """Processes that tests start take signals as usual, also where the tests run with nohup or in the background."""
    if threading.current_thread() is threading.main_thread():
        for ignorable, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
            if signal.getsignal(ignorable) is signal.SIG_IGN:
                signal.signal(ignorable, usual)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """
    Files in the order that keeps all workers busy (the Makefile asks for it with `--no-loadscope-reorder`).

    Those with browsers, which compute, beside those with processes, which wait; then the stores; the shortest last,
    so that nobody is left with a long one.
    """
    files: dict[str, list[Path]] = {}
    for path in dict.fromkeys(item.path for item in items):
        files.setdefault(path.parent.name, []).append(path)
    place = {
        path: STAGES.get(folder, 0) + index / len(paths)
        for folder, paths in files.items()
        for index, path in enumerate(paths)
    }
    items.sort(key=lambda item: place[item.path])


class PackedStore(EmbeddedStore):
    """The embedded store with everything packed at once: each border of a test is a chunk border."""

    async def append(self, chunks: Sequence[Chunk]) -> list[Appended | LogsvcError]:
        results = await super().append(chunks)
        for stream_id in {result.stream_id for result in results if isinstance(result, Appended) and result.stream_id}:
            await self.pack(stream_id)
        return results

    async def add_samples(self, job: str, samples: Sequence[Sample]) -> int:
        added = await super().add_samples(job, samples)
        await self.pack_samples(job)
        return added


STORES = ("memory", "embedded", "packed")


def a_store(kind: str, folder: Path, clock: HandClock) -> LogStore:
    """A store, not yet open."""
    if kind == "memory":
        return MemoryStore(clock)
    return {"embedded": EmbeddedStore, "packed": PackedStore}[kind](folder, clock=clock)


@pytest.fixture
def clock() -> HandClock:
    """Time that only the test moves."""
    return HandClock()


@pytest.fixture(params=STORES)
async def log_store(request: pytest.FixtureRequest, tmp_path: Path, clock: HandClock) -> AsyncIterator[LogStore]:
    """Each store in turn, open and empty. It is a RecordStore too."""
    store = a_store(request.param, tmp_path / "data", clock)
    await store.open()
    yield store
    await store.close()


@pytest.fixture
def record_store(log_store: LogStore) -> LogStore:
    """The same, where only its records matter."""
    return log_store


@pytest.fixture
def sample_store(log_store: LogStore) -> SampleStore:
    """The same, where only its samples matter."""
    assert isinstance(log_store, (MemoryStore, EmbeddedStore))
    return log_store


@pytest.fixture
async def reopen(tmp_path: Path, clock: HandClock) -> AsyncIterator[Callable[[LogStore], Awaitable[LogStore]]]:
    """Closes a store and opens another on the same folder."""
    opened: list[LogStore] = []

    async def reopened(store: LogStore) -> LogStore:
        await store.close()
        again = store if isinstance(store, MemoryStore) else type(store)(tmp_path / "data", clock=clock)
        await again.open()
        opened.append(again)
        return again

    yield reopened
    for store in opened:
        await store.close()

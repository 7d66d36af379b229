"""A search of many streams while their tails are packed: every line is seen, once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from builders import HandClock, a_chunk, a_stream
from logsvc.model.query import SearchQuery
from logsvc.stores.embedded.store import EmbeddedStore

STREAMS = 5


def packing(store: EmbeddedStore, ids: list[str], asked: Callable[..., Any], *, before: bool) -> Callable[..., Any]:
    """The same question, and all tails packed just before or just after its answer."""
    loop = asyncio.get_running_loop()

    def pack() -> None:
        for id_ in ids:
            asyncio.run_coroutine_threadsafe(store.pack(id_), loop).result(10)

    def ask(*args: Any, **named: Any) -> Any:
        if before:
            pack()
        answer = asked(*args, **named)
        if not before:
            pack()
        return answer

    return ask


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("step", ["filters", "tails", "rows"])
async def test_a_tail_packed_during_a_search(
    tmp_path: Path, clock: HandClock, monkeypatch: pytest.MonkeyPatch, step: str, before: bool
) -> None:
    """At each step of it."""
    store = EmbeddedStore(tmp_path / "data", clock=clock)
    await store.open()
    names = [a_stream(task=f"worker-{n}") for n in range(STREAMS)]
    await store.append([a_chunk(b"first\nneedle in %d\nlast" % n, stream=name) for n, name in enumerate(names)])
    ids = await store.stream_ids(None)
    holder, name = {
        "filters": (store._filters, "candidates"),
        "tails": (store._registry, "ids_with_tail"),
        "rows": (store._blocks, "rows_of_columns"),
    }[step]
    monkeypatch.setattr(holder, name, packing(store, ids, getattr(holder, name), before=before))
    page = await store.search(ids, SearchQuery("needle in"))
    assert [one.total for one in page.streams] == [1] * STREAMS
    await store.close()

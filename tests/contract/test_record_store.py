"""RecordStore: JSON by kind and id, with compare-and-swap."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from logsvc.errors import Conflict
from logsvc.model.query import Record
from logsvc.ports import RecordStore


async def test_put_and_get(record_store: RecordStore) -> None:
    """What was put comes back; the version counts its changes."""
    value = {"a": [1, 2.5, None, True, {"b": "信\0"}], "": "é\U0001f600"}
    assert await record_store.get("job", "x") is None
    assert await record_store.put("job", "x", value) == Record("job", "x", value, 1)
    assert await record_store.get("job", "x") == Record("job", "x", value, 1)
    assert (await record_store.put("job", "x", {})).version == 2
    assert await record_store.get("job", "x") == Record("job", "x", {}, 2)


async def test_kinds_do_not_mix(record_store: RecordStore) -> None:
    """The same id in two kinds is two documents."""
    await record_store.put("job", "x", {"a": 1})
    await record_store.put("share", "x", {"b": 2})
    await record_store.delete("job", "x")

    assert await record_store.get("job", "x") is None
    assert await record_store.get("share", "x") == Record("share", "x", {"b": 2}, 1)


async def test_what_is_given_out_is_a_copy(record_store: RecordStore) -> None:
    """Changing what was read, or what was put, changes no document."""
    value = {"tags": ["a"]}
    await record_store.put("job", "x", value)
    value["tags"].append("b")
    record = await record_store.get("job", "x")
    assert record is not None and record.value == {"tags": ["a"]}
    record.value["tags"].append("c")
    assert (await record_store.get("job", "x")) == Record("job", "x", {"tags": ["a"]}, 1)


async def test_put_expects_a_version(record_store: RecordStore) -> None:
    """Somebody else changed it first: Conflict, and nothing is changed."""
    with pytest.raises(Conflict):
        await record_store.put("job", "x", {}, expected=1)
    assert (await record_store.put("job", "x", {"n": 1}, expected=0)).version == 1
    for expected in (0, 2):
        with pytest.raises(Conflict):
            await record_store.put("job", "x", {"n": 2}, expected=expected)
    assert (await record_store.put("job", "x", {"n": 2}, expected=1)).version == 2
    assert await record_store.get("job", "x") == Record("job", "x", {"n": 2}, 2)


async def test_delete(record_store: RecordStore) -> None:
    """True if there was one; a version may be expected here too."""
    assert await record_store.delete("job", "x") is False
    await record_store.put("job", "x", {})
    with pytest.raises(Conflict):
        await record_store.delete("job", "x", expected=2)
    assert await record_store.delete("job", "x", expected=1) is True
    assert await record_store.get("job", "x") is None
    assert await record_store.delete("job", "x") is False
    with pytest.raises(Conflict):
        await record_store.delete("job", "x", expected=1)


async def test_put_after_delete_is_new(record_store: RecordStore) -> None:
    """What is gone may be made again."""
    await record_store.put("job", "x", {"n": 1})
    await record_store.delete("job", "x")
    await record_store.put("job", "x", {"n": 2}, expected=0)

    assert [record.value for record in await record_store.list("job")] == [{"n": 2}]


async def test_list_by_id(record_store: RecordStore) -> None:
    """In order of ids, page by page."""
    ids = ["", "A", "Z", "a", "a-1", "a.b", "b", "é", "信", "\U0001f600"]
    for id in reversed(ids):
        await record_store.put("job", id, {"id": id})
    await record_store.put("other", "a", {})

    assert await record_store.list("nobody") == []
    page = await record_store.list("job")
    assert [record.id for record in page] == ids[1:]  # those greater than "", so not ""
    assert page[0] == Record("job", "A", {"id": "A"}, 1)
    assert [record.id for record in await record_store.list("job", after="a", limit=3)] == ["a-1", "a.b", "b"]
    assert [record.id for record in await record_store.list("job", after="a.a")] == [
        "a.b",
        "b",
        "é",
        "信",
        "\U0001f600",
    ]
    assert await record_store.list("job", after="\U0001f600") == []


async def test_one_of_many_writers_wins(record_store: RecordStore) -> None:
    """Writers that expect the same version: one succeeds, the others hear of it."""
    await record_store.put("job", "x", {"n": 0})
    results = await asyncio.gather(
        *(record_store.put("job", "x", {"n": n}, expected=1) for n in range(1, 9)), return_exceptions=True
    )

    won = [result for result in results if isinstance(result, Record)]
    assert len(won) == 1
    assert all(isinstance(result, Conflict) for result in results if result not in won)
    assert await record_store.get("job", "x") == won[0]


async def test_records_survive_a_restart(
    record_store: RecordStore, reopen: Callable[[RecordStore], Awaitable[RecordStore]]
) -> None:
    """Durable on return."""
    await record_store.put("job", "x", {"n": 1})
    await record_store.put("job", "x", {"n": 2})
    await record_store.put("job", "y", {"n": 3})
    await record_store.delete("job", "y")
    record_store = await reopen(record_store)

    assert await record_store.list("job") == [Record("job", "x", {"n": 2}, 2)]

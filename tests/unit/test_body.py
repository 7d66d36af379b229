"""Bodies: the budget of bytes, and unfolding with a limit."""

from __future__ import annotations

import asyncio
import gzip
import zlib

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from logsvc.api.body import ByteBudget, unfold_gzip, unfold_zstd
from logsvc.errors import BadBody, TooLarge

BODIES = st.lists(st.one_of(st.binary(max_size=300), st.integers(0, 200_000).map(bytes)), min_size=1, max_size=5)


@given(parts=BODIES)
def test_unfolding_gives_back_what_was_packed(parts: list[bytes]) -> None:
    whole = b"".join(parts)
    packed = b"".join(zstandard.compress(part) for part in parts)
    assert unfold_zstd(packed, len(whole)) == whole
    members = b"".join(gzip.compress(part) for part in parts)
    assert unfold_gzip(members, len(whole)) == whole
    if whole:
        with pytest.raises(TooLarge):
            unfold_zstd(packed, len(whole) - 1)
        with pytest.raises(TooLarge):
            unfold_gzip(members, len(whole) - 1)


@given(part=st.binary(min_size=1, max_size=2000), cut=st.integers(1, 2000))
def test_a_cut_body_is_refused(part: bytes, cut: int) -> None:
    packed, member = zstandard.compress(part), gzip.compress(part)
    with pytest.raises(BadBody):
        unfold_zstd(packed[: -min(cut, len(packed))], 1 << 20)
    with pytest.raises(BadBody):
        unfold_gzip(member[: -min(cut, len(member))], 1 << 20)


@given(noise=st.binary(max_size=3000))
def test_noise_is_an_answer_or_a_refusal(noise: bytes) -> None:
    for unfold in (unfold_zstd, unfold_gzip):
        for prefix in (b"", zstandard.compress(b"x"), gzip.compress(b"x")):
            try:
                assert len(unfold(prefix + noise, 1 << 16)) <= 1 << 16
            except (BadBody, TooLarge):
                continue


def test_a_frame_that_asks_for_a_huge_window_is_refused() -> None:
    packer = zstandard.ZstdCompressor(
        compression_params=zstandard.ZstdCompressionParameters(window_log=30, enable_ldm=False)
    ).compressobj()
    packed = packer.compress(b"x" * 1000) + packer.flush()
    with pytest.raises(BadBody):
        unfold_zstd(packed, 1 << 20)


def test_raw_deflate_is_not_gzip() -> None:
    with pytest.raises(BadBody):
        unfold_gzip(zlib.compress(b"x"), 100)


async def test_the_budget_is_kept_in_order() -> None:
    budget = ByteBudget(10)
    order: list[str] = []

    async def hold(name: str, size: int, let_go: asyncio.Event) -> None:
        async with budget.hold(size):
            order.append(name)
            await let_go.wait()

    events = [asyncio.Event() for _ in range(4)]
    tasks = [
        asyncio.create_task(hold(name, size, event))
        for (name, size), event in zip([("a", 6), ("b", 6), ("c", 1), ("d", 99)], events, strict=True)
    ]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert order == ["a"]  # b waits for room, c for b: a small one does not overtake for ever
    events[0].set()
    await asyncio.sleep(0.01)
    assert order == ["a", "b", "c"]
    events[1].set()
    events[2].set()
    await asyncio.sleep(0.01)
    assert order == ["a", "b", "c", "d"]  # more than all: takes all
    events[3].set()
    await asyncio.gather(*tasks)


async def test_whoever_gives_up_waiting_holds_nothing() -> None:
    budget = ByteBudget(10)
    async with budget.hold(10):
        waiting = [asyncio.create_task(_hold(budget, 10)) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        await asyncio.sleep(0)
    waiting[1].cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    async with asyncio.timeout(1), budget.hold(10):
        pass


async def _hold(budget: ByteBudget, size: int) -> None:
    async with budget.hold(size):
        await asyncio.sleep(0)

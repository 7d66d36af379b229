"""What is done again and again goes on whatever goes wrong."""

from __future__ import annotations

import asyncio
import logging

import pytest

from logsvc.core.periodic import repeat
from logsvc.errors import StoreUnavailable


async def test_it_goes_on_whatever_goes_wrong(caplog: pytest.LogCaptureFixture) -> None:
    done = asyncio.Event()
    faults = [StoreUnavailable("the disk is full"), ValueError("ours"), None]

    async def work() -> None:
        if not faults:
            done.set()
        elif fault := faults.pop(0):
            raise fault

    with caplog.at_level(logging.WARNING):
        task = asyncio.create_task(repeat(work, seconds=0, name="seal"))
        await asyncio.wait_for(done.wait(), 30)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert [record.message for record in caplog.records] == ["seal_put_off", "seal_failed"]
    assert task.cancelled()

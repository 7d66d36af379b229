"""Work that is done again and again beside the calls, whatever goes wrong once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from logsvc.errors import LogsvcError

log = logging.getLogger(__name__)


async def repeat(work: Callable[[], Awaitable[None]], *, seconds: float, name: str) -> None:
    """
    Do `work` for ever, `seconds` after the start and after each time.

    Args:
        name: of the events `<name>_put_off` (the store is away, or refuses) and `<name>_failed` (a fault of ours).
    """
    while True:
        await asyncio.sleep(seconds)
        try:
            await work()
        except LogsvcError as error:
            log.warning("%s_put_off", name, extra={"code": error.code, "reason": error.message})
        except Exception:
            log.exception("%s_failed", name)

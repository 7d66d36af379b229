"""Lines around a place, as the API shows them."""

from __future__ import annotations

from typing import Any

from logsvc.model.query import WindowQuery
from logsvc.ports import LogStore


async def lines(store: LogStore, stream_id: str, query: WindowQuery) -> dict[str, Any]:
    """
    A window in its public form.

    Raises: NotFound, StoreUnavailable.
    """
    window = await store.window(stream_id, query)
    return {
        "total_lines": window.total_lines,
        "total_user_lines": window.total_user_lines,
        "through": window.through,
        "lines": window.lines,
    }

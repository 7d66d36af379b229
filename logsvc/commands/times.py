"""Times as people type them."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from logsvc.core.clock import rfc3339
from logsvc.errors import BadInput

_AGO = re.compile(r"(?:\d+(?:\.\d+)?[smhdw])+")
_PART = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def moment(text: str, *, now: datetime) -> str:
    """
    A time in RFC 3339.

    Args:
        text: so long ago (`90s`, `2h`, `1d12h`), a date, a date and a time, or a time of today; without a
            zone it is local.
        now: this moment, in local time.

    Raises: BadInput.
    """
    text = text.strip()
    try:
        if _AGO.fullmatch(text):
            seconds = sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text))
            at = now - timedelta(seconds=seconds)
        elif re.fullmatch(r"\d\d:\d\d(:\d\d(\.\d+)?)?", text):
            at = datetime.fromisoformat(f"{now:%Y-%m-%d}T{text}")
        else:
            at = datetime.fromisoformat(text)
        return str(rfc3339(at.timestamp()))
    except (ValueError, OverflowError) as exc:
        raise BadInput(
            f"{text[:40]!a} is no time; write 2h, 1d12h, 2026-11-20, '2026-11-20 12:00' or 2026-11-20T12:00:00Z."
        ) from exc

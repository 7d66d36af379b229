"""The collector's own lines in a stream: what it did, and what was lost."""

from __future__ import annotations

from datetime import datetime

MARK = "[ModelArts Service Log]"  # makes a line one of the system's, as the platform's own
LOST_MARK = "[logsvc-collector] WARNING:"  # a user line: hiding system lines must not hide a loss


def service_line(text: str) -> str:
    """A line in the platform's form, one line whatever the text holds."""
    now = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M:%S,%f")[:-3]  # local, as the platform
    return f"{MARK}{now} - INFO - {' '.join(text.splitlines())}\n"


def lost_line(count: int, why: str) -> bytes:
    """
    The line that stands in a stream in the place of bytes that are truly lost.

    Args:
        count: bytes lost, as far as it is known.
        why: the cause, in a few words.

    It begins at the start of a line: where the stream does not end in `\\n`, the caller puts one before it.
    """
    return f"{LOST_MARK} {count:,} bytes lost here: {' '.join(why.split())}\n".encode("utf-8", "backslashreplace")

"""What a collector keeps between two starts: a checkpoint that is only a hint, and a lock.

The service knows what it holds; a checkpoint that is torn, old or missing costs a question, never
a byte. Written to a new file, then renamed.
"""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import Any, Optional

from logsvc.errors import CannotStart

CHECKPOINT = "checkpoint.json"
LOCK = "lock"
_FIELDS = {
    **dict.fromkeys(("job", "task", "path", "name", "line", "head"), str),
    **dict.fromkeys(("generation", "device", "inode", "sent", "size", "ended_a_line", "behind"), int),
}


class State:
    """A state folder, held by one collector at a time."""

    def __init__(self, folder: Path) -> None:
        """
        Make the folder and take its lock.

        Raises:
            CannotStart: it cannot be made, or another collector holds it.
        """
        self.folder = folder
        self._lock: Optional[int] = None
        self._written: Optional[bytes] = None
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as exc:
            raise CannotStart(f"state folder {folder}: {exc.strerror}; choose another with --state-dir") from exc
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            os.close(self._lock)
            self._lock = None
            raise CannotStart(
                f"state folder {folder} is in use by another collector; stop it, or choose another with --state-dir"
            ) from exc

    def load(self) -> list[dict[str, Any]]:
        """Entries of the checkpoint that make sense; none where it is missing or garbage."""
        try:
            content = json.loads((self.folder / CHECKPOINT).read_bytes())
        except (OSError, ValueError, RecursionError):
            return []
        entries = content.get("files") if isinstance(content, dict) else None
        return [entry for entry in entries if _is_entry(entry)] if isinstance(entries, list) else []

    def save(self, entries: list[dict[str, Any]]) -> bool:
        """Write the checkpoint if it changed; False where it could not be (it is only a hint)."""
        content = json.dumps({"version": 1, "files": entries}).encode()
        if content == self._written:
            return True
        new = self.folder / (CHECKPOINT + ".new")
        try:
            new.write_bytes(content)
            os.replace(new, self.folder / CHECKPOINT)
        except OSError:
            return False
        self._written = content
        return True

    def close(self) -> None:
        """Let the lock go; may be called twice."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _is_entry(entry: object) -> bool:
    return isinstance(entry, dict) and all(
        isinstance(entry.get(name), kind) and not isinstance(entry.get(name), bool) for name, kind in _FIELDS.items()
    )

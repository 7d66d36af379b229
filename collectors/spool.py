"""The log of a command while it runs, on disk: what is not acknowledged yet waits here.

The spool is the log file itself, under the name that the stream has; it is read and shipped like
any other file, and can be shipped later by `watch` if the service stays away.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Optional

from collectors.lines import service_line
from logsvc.model.stream import ordinary_path


class Spool:
    """An append-only file with the bytes of one command, and the collector's own lines."""

    def __init__(self, state_dir: Path, job: str, task: str) -> None:
        """
        Make the file, in a folder of its own; in the temporary folder where the state folder refuses.

        Raises:
            OSError: there is no room anywhere.
        """
        name = f"{job[:60]}-{task}-{time.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}"
        try:
            runs = state_dir / "runs"
            runs.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.folder = Path(tempfile.mkdtemp(prefix=name + "-", dir=runs))
        except OSError:
            self.folder = Path(tempfile.mkdtemp(prefix=f"logsvc-{name}-"))
        self.file = self.folder / ordinary_path(job, task)
        self._fd = os.open(self.file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._at_line_start = True
        self._lost_bytes = 0
        self._trouble = ""

    def write(self, data: bytes) -> None:
        """Append; bytes that the disk refuses are counted and named as soon as it takes some again."""
        if self._lost_bytes:
            note = f"\n{service_line(f'{self._lost_bytes} bytes of output are lost here: {self._trouble}')}"
            if not self._append(note.encode()):
                self._lost_bytes += len(data)
                return
            self._lost_bytes = 0
        if self._append(data):
            self._at_line_start = data.endswith(b"\n")
        else:
            self._lost_bytes += len(data)

    def write_line(self, text: str) -> None:
        """Append one of the collector's own lines, at the start of a line."""
        self.write((("" if self._at_line_start else "\n") + service_line(text)).encode("utf-8", "backslashreplace"))

    def trouble(self) -> Optional[str]:
        """Why bytes are being lost now; None while all is well."""
        return self._trouble if self._lost_bytes else None

    def size(self) -> int:
        """Bytes in the file."""
        return self.file.stat().st_size

    def close(self) -> None:
        """No more bytes come; may be called twice."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def remove(self) -> None:
        """All is acknowledged: nothing stays on disk."""
        self.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _append(self, data: bytes) -> bool:
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._fd, view) :]
        except OSError as exc:
            self._trouble = exc.strerror or str(exc)
            return False
        return True

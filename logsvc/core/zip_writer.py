"""A zip made piece by piece, of files whose content is not there yet: nothing of it is held but its directory.

Its last entry is `manifest.sha256`, which `sha256sum -c` reads: what was written, not what was meant to be.
"""

from __future__ import annotations

import hashlib
import time
import zipfile
from typing import IO, cast

from logsvc.core.clock import rfc3339

MANIFEST = "manifest.sha256"
COMPRESS_LEVEL = 1  # logs shrink to a fifth at this level already; a higher one costs the reader time
_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", "\r": r"\r"})  # as sha256sum has them


class ZipWriter:
    """`begin`, `write`… and `end` for each file, then `finish`; `take` what has become ready at any time."""

    def __init__(self, title: str, at: float) -> None:
        """
        Args:
            title: what the files are, for the manifest.
            at: Unix seconds, when they were so.
        """
        self._out = _Unseekable()
        self._archive = zipfile.ZipFile(
            cast(IO[bytes], self._out), "w", zipfile.ZIP_DEFLATED, allowZip64=True, compresslevel=COMPRESS_LEVEL
        )
        self._entry: IO[bytes] | None = None
        self._title, self._at = title, at
        self._lines: list[str] = []
        self._total = self._files = 0

    @property
    def ready_bytes(self) -> int:
        """How much `take` would give."""
        return self._out.size

    def take(self) -> bytes:
        """The zip's next bytes."""
        return self._out.take()

    def begin(self, name: str, size_bytes: int, at: float) -> None:
        """The next file; it will have `size_bytes`, and was written to last at `at` (Unix seconds)."""
        info = zipfile.ZipInfo(name, _zip_time(at))
        info.compress_type = zipfile.ZIP_DEFLATED
        info.external_attr = 0o644 << 16
        # Sizes come behind the data; a reader must know beforehand whether they have 64 bits.
        large = size_bytes > zipfile.ZIP64_LIMIT // 2
        self._name, self._size, self._sum = name, 0, hashlib.sha256()
        self._entry = self._archive.open(info, "w", force_zip64=large)

    def write(self, piece: bytes) -> None:
        """The file's next bytes."""
        assert self._entry
        self._sum.update(piece)
        self._entry.write(piece)
        self._size += len(piece)

    def end(self) -> None:
        """The file is complete."""
        assert self._entry
        self._entry.close()
        self._entry = None
        self._files += 1
        self._total += self._size
        escaped = self._name.translate(_ESCAPES)
        self._lines.append(f"# {self._size} bytes")
        self._lines.append(f"{chr(92) * (escaped != self._name)}{self._sum.hexdigest()}  {escaped}")

    def finish(self) -> None:
        """Manifest and directory."""
        head = [
            f"# {self._title}, as it was at {rfc3339(self._at)}: {self._files} files, {self._total} bytes.",
            f"# To check what was unpacked: sha256sum -c {MANIFEST}",
        ]
        text = "\n".join([*head, *self._lines, ""]).encode("utf-8")
        self.begin(MANIFEST, len(text), self._at)
        self.write(text)
        self.end()
        self._archive.close()

    def abandon(self) -> None:
        """Let go of an unfinished zip; may be called on a finished one."""
        if self._entry:
            self._entry.close()
            self._entry = None
        self._archive.close()
        self._out.take()


class _Unseekable:
    """What zipfile writes to; without `seek` and `tell`, it puts sizes behind the data."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self.size = 0

    def write(self, data: bytes) -> int:
        self._pieces.append(bytes(data))
        self.size += len(data)
        return len(data)

    def flush(self) -> None:
        """Nothing is held back."""

    def take(self) -> bytes:
        taken = b"".join(self._pieces)
        self._pieces.clear()
        self.size = 0
        return taken


def _zip_time(seconds: float) -> tuple[int, int, int, int, int, int]:
    """UTC, within what a zip can say: 1980 to 2107, every other second."""
    moment = time.gmtime(min(max(seconds, 315_532_800), 4_354_819_198))
    return moment.tm_year, moment.tm_mon, moment.tm_mday, moment.tm_hour, moment.tm_min, moment.tm_sec

"""Word from the kernel that something in a folder has changed (inotify): so that a look need not wait for its time.

A hint, never relied upon: it is late, incomplete or silent on NFS, on overlays, where the system allows
no more watches, and where there is none. Every file is looked at in its time, whatever this says.
"""

from __future__ import annotations

import ctypes
import os
import select
import struct
import threading
from collections.abc import Iterable, Iterator
from typing import Optional

WORDS = 0.1  # seconds from one word to the next: programs that write all the time are looked at in their time
READ_BYTES = 256 << 10  # of word, at once

_MODIFY, _MOVED_TO, _CREATE = 0x2, 0x80, 0x100
_ONLY_FOLDERS = 0x01000000
_OVERFLOW, _IGNORED = 0x4000, 0x8000
_EVENT = struct.Struct("iIII")  # watch, what, cookie, bytes of the name behind it


class Notices:
    """Watches folders, and sets an event when something has changed in one while that is waited for."""

    def __init__(self, wake: threading.Event) -> None:
        """Raises OSError where the system has no such thing, or no more of it."""
        try:
            libc = ctypes.CDLL(None, use_errno=True)
            self._add, self._remove = libc.inotify_add_watch, libc.inotify_rm_watch
            self._fd = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        except AttributeError as exc:
            raise OSError("no inotify") from exc
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "inotify_init1")
        self._wake = wake
        self._folders: dict[int, str] = {}  # by watch
        self._watches: dict[str, int] = {}
        self._asked: Optional[set[str]] = None  # folders, when last asked; None: one of them may have lost its watch
        self._skipped = False  # words that were not heard: one of them may have told of a watch that is no more
        self._awaited = threading.Event()
        self._closed = threading.Event()
        self._end, self._ending = os.pipe()
        self._thread = threading.Thread(target=self._listen, name="notices", daemon=True)
        self._thread.start()

    def watch(self, folders: Iterable[str]) -> bool:
        """
        These folders, and no others; as many of them as the system allows.

        Returns:
            Whether one of them was not watched before: what happened in it until now was not noticed.
        """
        wanted = set(folders)
        if wanted == self._asked:
            return False
        self._asked = wanted
        for folder in self._watches.keys() - wanted:
            number = self._watches.pop(folder)
            self._folders.pop(number, None)
            self._remove(self._fd, number)
        added = False
        for folder in wanted if self._skipped else wanted - self._watches.keys():
            number = self._add(self._fd, os.fsencode(folder), _MODIFY | _MOVED_TO | _CREATE | _ONLY_FOLDERS)
            if number >= 0 and number != self._watches.get(folder):
                self._watches[folder] = number
                self._folders[number] = folder
                added = True
        self._skipped = False
        return added

    def expect(self) -> None:
        """Nothing else is going on: the next word is to set the event."""
        self._awaited.set()

    def take(self) -> tuple[set[str], bool]:
        """Files that were written to since the last call, and whether there are names that were not there."""
        written: set[str] = set()
        fresh = False
        try:
            data = os.read(self._fd, READ_BYTES)
        except OSError:
            return written, fresh
        for number, what, name in events(data):
            if what & _IGNORED:
                self._forget(number)
            elif what & (_CREATE | _MOVED_TO | _OVERFLOW):
                fresh = fresh or not name.startswith(b".")
            elif number in self._folders:
                written.add(os.path.join(self._folders[number], os.fsdecode(name)))
        return written, fresh

    def skip(self) -> None:
        """Hear nothing of what has happened until now: so much happens that looking costs less."""
        try:
            while os.read(self._fd, READ_BYTES):
                self._asked, self._skipped = None, True
        except OSError:
            pass

    def close(self) -> None:
        """Watch nothing; may be called twice."""
        if self._closed.is_set():
            return
        self._closed.set()
        self._awaited.set()
        os.write(self._ending, b"x")
        self._thread.join()
        for fd in (self._fd, self._end, self._ending):
            os.close(fd)

    def _listen(self) -> None:
        waiting = select.poll()
        waiting.register(self._fd, select.POLLIN)
        waiting.register(self._end, select.POLLIN)
        while True:
            self._awaited.wait()
            self._awaited.clear()
            waiting.poll()
            if self._closed.is_set():
                return
            self._wake.set()
            self._closed.wait(WORDS)

    def _forget(self, number: int) -> None:
        """A watch that is no more; a folder of that name may have another by now."""
        folder = self._folders.pop(number, None)
        if folder is not None and self._watches.get(folder) == number:
            del self._watches[folder]
            self._asked = None


def events(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Watch, what happened, and the name of each event, as the kernel writes them."""
    at = 0
    while at + _EVENT.size <= len(data):
        number, what, _, length = _EVENT.unpack_from(data, at)
        at += _EVENT.size
        yield number, what, data[at : at + length].rstrip(b"\0")
        at += length

"""A terminal for the command (`run --pty`): it behaves as on a screen, and its bytes stay as written.

The command gets a terminal of its own, without the translation of line ends. Where the collector
itself runs on one, what is typed reaches the command key by key, Ctrl+C too, and the window has
the same size.
"""

from __future__ import annotations

import fcntl
import os
import select
import shutil
import struct
import termios
import threading
from typing import Any, Optional

_IFLAG, _OFLAG, _LFLAG, _CC = 0, 1, 3, 6  # places in what tcgetattr gives
_KEYS_UNTRANSLATED = termios.BRKINT | termios.ICRNL | termios.INPCK | termios.ISTRIP | termios.IXON
_KEYS_AT_ONCE = termios.ECHO | termios.ICANON | termios.IEXTEN | termios.ISIG


class Terminal:
    """
    The command's terminal.

    Attributes:
        reading: what the command writes is read here.
        inner: the command's end; closed once it runs.
        stdin: what the command reads from: its terminal; None, the collector's own stdin, where that is none.
    """

    def __init__(self) -> None:
        """Raises OSError where the system has no terminal left."""
        self._outer = _own_terminal()
        self.reading, self.inner = os.openpty()
        mode = termios.tcgetattr(self.inner if self._outer is None else 0)
        mode[_OFLAG] &= ~termios.OPOST  # a line end stays one byte
        termios.tcsetattr(self.inner, termios.TCSANOW, mode)
        self.stdin = self.inner if self._outer is not None else None
        self._over = threading.Event()
        self._keyboard: Optional[threading.Thread] = None
        self.resize()

    def take_control(self) -> None:
        """In the command's process, in a session of its own: signals typed here reach it."""
        fcntl.ioctl(1, termios.TIOCSCTTY, 0)

    def resize(self) -> None:
        """The command's window is as large as ours, and it is told."""
        fcntl.ioctl(self.reading, termios.TIOCSWINSZ, _window())

    def type(self) -> None:
        """From now on keys go to the command."""
        if self._outer is None:
            return
        mode = termios.tcgetattr(0)
        mode[_IFLAG] &= ~_KEYS_UNTRANSLATED
        mode[_LFLAG] &= ~_KEYS_AT_ONCE
        mode[_CC][termios.VMIN], mode[_CC][termios.VTIME] = 1, 0
        termios.tcsetattr(0, termios.TCSADRAIN, mode)
        self._keyboard = threading.Thread(target=self._type, name="keyboard", daemon=True)
        self._keyboard.start()

    def restore(self) -> None:
        """The command is gone: keys are ours again; may be called twice."""
        self._over.set()
        if self._keyboard is not None and self._outer is not None:
            self._keyboard.join(1.0)
            self._keyboard = None
            termios.tcsetattr(0, termios.TCSADRAIN, self._outer)

    def _type(self) -> None:
        try:
            while not self._over.is_set():
                ready, _, _ = select.select([0], [], [], 0.1)
                if ready:
                    keys = os.read(0, 4096)
                    if not keys:
                        return
                    os.write(self.reading, keys)
        except OSError:
            pass  # one of the terminals is gone


def _own_terminal() -> Optional[list[Any]]:
    """The mode of the terminal that we are in front of; None where there is none."""
    try:
        if os.tcgetpgrp(0) == os.getpgrp():
            return termios.tcgetattr(0)
    except (OSError, termios.error):
        pass
    return None


def _window() -> bytes:
    """Rows and columns of our window, else of the environment, else 24 and 80."""
    for fd in (0, 1, 2):
        try:
            return fcntl.ioctl(fd, termios.TIOCGWINSZ, bytes(8))
        except OSError:
            continue
    size = shutil.get_terminal_size((80, 24))
    return struct.pack("HHHH", size.lines, size.columns, 0, 0)

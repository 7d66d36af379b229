"""`logsvc-collector run --pty`: the command has a terminal, and its bytes stay as written."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import struct
import termios

from integration.collector_oracle import Oracle
from integration.command_rig import NAME, Commands, python, shell, shipped


def test_a_terminal_for_a_command_whose_bytes_stay_as_written(oracle: Oracle, run: Commands) -> None:
    script = "import os; print(*(os.isatty(fd) for fd in (0, 1, 2))); os.write(2, bytes([0, 9, 13, 27, 255]))"
    out, _ = run(*python(script), options=("--pty", "--no-service-lines")).communicate(timeout=30)
    assert out == bytes(oracle.held[NAME]) == b"False True True\n" + bytes([0, 9, 13, 27, 255])


def test_a_terminal_of_a_command_ends_with_it(oracle: Oracle, run: Commands) -> None:
    """By a signal, with a process left behind that holds it."""
    process = run(*shell("sleep 60 & echo $!; kill -TERM $$"), options=("--pty",))
    out, _ = process.communicate(timeout=30)
    os.kill(int(out), signal.SIGKILL)
    assert process.returncode == 143
    assert shipped(oracle) == out


class Screen:
    """A terminal with a person before it."""

    def __init__(self) -> None:
        self.outer, self.inner = os.openpty()
        self.seen = b""

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self.outer, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, keys: bytes) -> None:
        os.write(self.outer, keys)

    def shows(self, text: bytes) -> None:
        """Read on until this is there."""
        while text not in self.seen:
            assert select.select([self.outer], [], [], 20)[0], self.seen
            self.seen += os.read(self.outer, 65536)


def test_a_person_before_the_terminal(oracle: Oracle, run: Commands) -> None:
    """Window, keys and Ctrl+C reach the command; the terminal is afterwards as it was."""
    script = """if True:
        import os, signal, sys
        def tell(*_): print("window", *os.get_terminal_size(0))
        signal.signal(signal.SIGWINCH, tell)
        tell()
        try:
            print("typed", sys.stdin.readline().strip())
            while True: signal.pause()
        except KeyboardInterrupt:
            sys.exit(9)
    """
    screen = Screen()
    screen.resize(100, 40)
    before = termios.tcgetattr(screen.inner)
    process = run(*python(script), options=("--pty",), terminal=screen.inner)
    screen.shows(b"window 100 40\r\n")
    screen.resize(132, 50)
    screen.shows(b"window 132 50\r\n")
    screen.type(b"hello\r")
    screen.shows(b"typed hello\r\n")
    screen.type(b"\x03")
    assert process.wait(30) == 9
    assert termios.tcgetattr(screen.inner) == before
    assert shipped(oracle) == b"window 100 40\nwindow 132 50\nhello\ntyped hello\n^C\n"

"""How far a download is: a bar on standard error, where somebody reads it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from logsvc.commands.terminal import Terminal, harmless

if TYPE_CHECKING:
    from rich.progress import Progress


class Watcher(Protocol):
    """Who is told."""

    def begin(self, doing: str, total_bytes: int) -> None:
        """Something of this size begins."""

    def advance(self, size_bytes: int) -> None:
        """So much more of it is done."""

    def say(self, text: str) -> None:
        """A sentence, beside what is shown."""


class Unseen:
    """Nobody watches; what is said goes into a file or a pipe."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal

    def begin(self, doing: str, total_bytes: int) -> None:
        """Nothing to say."""

    def advance(self, size_bytes: int) -> None:
        """Nothing to say."""

    def say(self, text: str) -> None:
        self._terminal.say(text)


@contextmanager
def progress(terminal: Terminal) -> Iterator[Watcher]:
    """A bar on a terminal."""
    if not terminal.told:
        yield Unseen(terminal)
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (BarColumn(), DownloadColumn(binary_units=True), TransferSpeedColumn(), TimeRemainingColumn())
    words = TextColumn("{task.description}", markup=False)
    with Progress(words, *columns, console=Console(stderr=True), transient=True) as rich:
        yield _Bar(rich)


class _Bar:
    def __init__(self, rich: Progress) -> None:
        self._rich = rich
        self._task = rich.add_task("", total=None)

    def begin(self, doing: str, total_bytes: int) -> None:
        self._rich.reset(self._task, description=harmless(doing), total=total_bytes)

    def advance(self, size_bytes: int) -> None:
        self._rich.advance(self._task, size_bytes)

    def say(self, text: str) -> None:
        self._rich.console.print(f"logsvc: {harmless(text)}", markup=False, highlight=False, soft_wrap=True)

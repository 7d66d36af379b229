"""Search in the terminal: `job/task:line:text`, as grep prints it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from logsvc.client import Client
from logsvc.commands.follow import label
from logsvc.commands.terminal import NUMBER, PLACE, QUIET, Terminal

PAGE = 500


@dataclass(frozen=True)
class Wanted:
    """
    What to find and how to show it.

    Attributes:
        query: parameters of `/search` (docs/http-api.md).
        before, after: lines shown around a match.
        count: matching lines of each log are counted, not shown.
        limit: matches shown at most; None: all.
        json: an object a match, or a log.
    """

    query: dict[str, Any]
    before: int = 0
    after: int = 0
    count: bool = False
    limit: int | None = None
    json: bool = False


@dataclass
class Outcome:
    """What a search came to."""

    found: int = 0
    exact: bool = True  # False: it was ended by its time limit
    more: bool = False  # there are more than were asked for
    searched_streams: int = 0
    left_out_streams: int = 0

    @property
    def said(self) -> str:
        """What was searched, and what was not."""
        said = f"searched {_logs(self.searched_streams)}"
        if self.left_out_streams:
            said += f"; left out {_logs(self.left_out_streams)} of processes that say the same (--proc searches them)"
        return said + ("; there are more matches (--limit)" if self.more else "")


def search(client: Client, wanted: Wanted, terminal: Terminal) -> Outcome:
    """Print what is found."""
    outcome = Outcome()
    if wanted.count:
        for one in _page(client, wanted, outcome, limit=0, count="exact")["totals"]:
            outcome.found += one["total"]
            if wanted.json:
                terminal.write(orjson.dumps(one).decode() + "\n")
            else:
                terminal.write(f"{terminal.styled(place(one), PLACE)}{terminal.styled(':', QUIET)}{one['total']}\n")
        return outcome
    printed = _Printed(terminal, wanted)
    for match in _matches(client, wanted, outcome):
        outcome.found += 1
        if wanted.json:
            terminal.write(orjson.dumps(match).decode() + "\n")
        else:
            printed.match(match)
    printed.end()
    return outcome


def _logs(number: int) -> str:
    return "1 log" if number == 1 else f"{number} logs"


def _matches(client: Client, wanted: Wanted, outcome: Outcome) -> Iterator[dict[str, Any]]:
    cursor, left = None, wanted.limit
    while left is None or left > 0:
        limit = PAGE if left is None else min(left, PAGE)
        context = max(wanted.before, wanted.after) or None
        page = _page(client, wanted, outcome, limit=limit, count="none", context=context, cursor=cursor)
        yield from page["matches"]
        left = None if left is None else left - len(page["matches"])
        cursor = page["cursor"]
        if cursor is None:
            return
    outcome.more = True


def _page(client: Client, wanted: Wanted, outcome: Outcome, **how: Any) -> Any:
    page = client.get("/search", **wanted.query, **how)
    outcome.exact &= page["exact"]
    outcome.searched_streams, outcome.left_out_streams = page["searched_streams"], page["left_out_streams"]
    return page


class _Printed:
    """Matches with the lines around them, each line once; `--` between those that do not follow each other."""

    def __init__(self, terminal: Terminal, wanted: Wanted) -> None:
        self._terminal, self._wanted = terminal, wanted
        self._number = "u" if wanted.query.get("lines") == "user" else "n"
        self._of: dict[str, Any] | None = None  # the match printed last
        self._last = -1  # number of the line printed last, of the same log
        self._behind: list[dict[str, Any]] = []  # lines behind it, one of which may be the next match

    def match(self, match: dict[str, Any]) -> None:
        """The next match."""
        if self._of is None or self._of["stream"] != match["stream"]:
            self.end()
            self._last = -1
        before = match.get("before", [])[-self._wanted.before :] if self._wanted.before else []
        for line in [*self._behind, *before]:
            if self._last < line[self._number] < match[self._number]:
                self._line(match, line, "-", self._terminal.shown(line["text"]))
        self._line(match, match, ":", self._terminal.marked(match["text"], match["spans"]))
        self._of, self._behind = match, match.get("after", [])[: self._wanted.after]

    def end(self) -> None:
        """What stands behind the last match of a log."""
        for line in self._behind:
            assert self._of is not None
            self._line(self._of, line, "-", self._terminal.shown(line["text"]))
        self._behind = []

    def _line(self, match: dict[str, Any], line: dict[str, Any], mark: str, text: str) -> None:
        styled, number = self._terminal.styled, line[self._number]
        if self._of is not None and (self._wanted.before or self._wanted.after) and number != self._last + 1:
            self._terminal.write(styled("--", QUIET) + "\n")
        between = styled(mark, QUIET)
        head = f"{styled(place(match), PLACE)}{between}{styled(str(line['n']), NUMBER)}{between}"
        self._terminal.write(f"{head}{text}\n")
        self._last = number


def place(stream: dict[str, Any]) -> str:
    """Job and log, as a match names them."""
    generation = f".gen-{stream['generation']}" if stream["generation"] else ""
    return f"{stream['job']}/{label(stream)}{generation}"

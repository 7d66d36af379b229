"""`logsvc doctor`: is everything in a data folder that the catalog says, and sound?

Reads every frame of every segment and compares its checksums, its place and its size with the
catalog; adds up the chunks of each stream; looks at the filters, and at events that the webhook has
not taken. Changes nothing, and may run beside the service: what is being written meanwhile lies
behind what the catalog knows.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import zstandard

from logsvc.model.delivery import WEBHOOK_KIND
from logsvc.stores.embedded import catalog as files
from logsvc.stores.embedded.grams import COLUMNS, GROUP_BYTES
from logsvc.stores.embedded.samples.doctor import problems
from logsvc.stores.embedded.segments import CHUNK, Frame, frames
from logsvc.stores.embedded.zstd import decompress

NEWLINE = b"\n"
Progress = Callable[[int, int], None]  # bytes checked, bytes in all


@dataclass(frozen=True)
class Finding:
    """Something that is not as it should be, where, and what to do about it."""

    severity: Literal["error", "warning"]  # a warning costs no line
    place: str
    message: str


def check(data_dir: Path, progress: Progress = lambda done, total: None) -> list[Finding]:
    """
    Everything that is wrong with a data folder; empty: nothing.

    Args:
        progress: told now and then how many of how many segment bytes were read.
    """
    samples = [Finding("error", where, what) for where, what in problems(data_dir)]
    return [*_logs(data_dir, progress), *samples]


def _logs(data_dir: Path, progress: Progress) -> list[Finding]:
    path = data_dir / files.CATALOG
    if not path.is_file():
        return [Finding("error", str(path), "there is no catalog; this is not a data folder of logsvc, or it was lost. "
                        f"A copy at most a day old may lie beside it as {files.COPY}")]  # fmt: skip
    try:
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
            connection.execute("BEGIN")  # one snapshot: the service may go on writing
            try:
                return list(_all(connection, data_dir, progress))
            finally:
                connection.execute("ROLLBACK")
    except sqlite3.Error as exc:
        return [Finding("error", str(path), f"the catalog cannot be read: {exc}. Stop the service and put {files.COPY} "
                        "in its place; collectors send again what came since")]  # fmt: skip


def _all(connection: sqlite3.Connection, data_dir: Path, progress: Progress) -> Iterator[Finding]:
    for (line,) in connection.execute("PRAGMA integrity_check(20)"):
        if line != "ok":
            yield Finding("error", files.CATALOG, f"the database is damaged: {line}")
    yield from _sums(connection)
    yield from _segments(connection, data_dir, progress)
    yield from _filters(connection, data_dir)
    yield from _webhook(connection)


def _sums(connection: sqlite3.Connection) -> Iterator[Finding]:
    """Each stream's chunks follow each other from its start to its tail, and so do their lines."""
    streams = connection.execute("SELECT id, path, packed_bytes, packed_lines, packed_users FROM streams").fetchall()
    for stream, path, *packed in streams:
        reached = [0, 0, 0]
        for offset, lines_before, users_before, size, lines, users in connection.execute(
            "SELECT offset, lines_before, users_before, size, lines, users FROM chunks "
            "WHERE stream = ? ORDER BY offset",
            (stream,),
        ):
            begin = [offset, lines_before, users_before]
            if begin != reached:
                yield Finding("error", f"stream {stream} ({path})", _differs("a chunk begins", begin, reached))
            reached = [offset + size, lines_before + lines, users_before + users]
        if packed != reached:
            yield Finding("error", f"stream {stream} ({path})", _differs("its chunks end", reached, packed))
        end = packed[0]
        for offset, size in connection.execute(
            "SELECT offset, LENGTH(data) FROM tails WHERE stream = ? ORDER BY offset", (stream,)
        ):
            if offset != end:
                yield Finding(
                    "error", f"stream {stream} ({path})", f"its tail goes on at byte {offset}, expected at {end}"
                )
            end = offset + size


def _differs(what: str, found: list[int], expected: list[int]) -> str:
    return (
        f"{what} at byte {found[0]}, line {found[1]}, user line {found[2]}; "
        f"expected at byte {expected[0]}, line {expected[1]}, user line {expected[2]}"
    )


def _segments(connection: sqlite3.Connection, data_dir: Path, progress: Progress) -> Iterator[Finding]:
    segments = connection.execute("SELECT id, job, sequence, size FROM segments ORDER BY id").fetchall()
    total = sum(row[3] for row in segments)
    done = 0
    for segment, job, sequence, size in segments:
        path = data_dir / files.SEGMENTS / job / f"{sequence:06d}.seg"
        expected = {
            position: (stream, offset, raw_size, lines)
            for position, stream, offset, raw_size, lines in connection.execute(
                "SELECT position, stream, offset, size, lines FROM chunks WHERE segment = ?", (segment,)
            )
        }
        if not path.is_file():
            yield Finding("error", str(path), f"the file is missing; {len(expected)} chunks of job {job} were in it")
            continue
        if path.stat().st_size > size:
            yield _unknown(path, path.stat().st_size - size)
        for frame in frames(path):
            if frame.position >= size:
                break
            if frame.problem:
                yield Finding("error", f"{path} at byte {frame.position}", f"{frame.problem}; its lines are lost. "
                              "Their file is stored again if a collector sends it as a new generation")  # fmt: skip
            expecting = expected.pop(frame.position, None)
            if expecting is not None and not frame.problem:
                problem = _compare(frame, expecting)
                if problem:
                    yield Finding("error", f"{path} at byte {frame.position}", problem)
            progress(done + frame.position, total)
        done += size
        for position, (stream, offset, _, _) in sorted(expected.items()):
            yield Finding(
                "error",
                f"{path} at byte {position}",
                f"no frame where the catalog has byte {offset} of stream {stream}",
            )
    known = {(job, sequence) for _, job, sequence, _ in segments}
    for path in sorted((data_dir / files.SEGMENTS).glob("*/*.seg")):
        if (path.parent.name, int(path.stem)) not in known:
            yield _unknown(path, path.stat().st_size)
    progress(total, total)


def _unknown(path: Path, size: int) -> Finding:
    return Finding("warning", str(path), f"{size} bytes that the catalog does not know; the next start stores them, "
                   "or says in its log (orphans_left) why they do not fit")  # fmt: skip


def _compare(frame: Frame, known: tuple[int, int, int, int]) -> str | None:
    stream, offset, raw_size, lines = known
    if (frame.kind, frame.stream, frame.offset, frame.raw_size) != (CHUNK, stream, offset, raw_size):
        return (
            f"the frame is byte {frame.offset} of stream {frame.stream}; "
            f"the catalog says byte {offset} of stream {stream}"
        )
    try:
        data = decompress(frame.payload)
    except zstandard.ZstdError as exc:
        return f"the chunk cannot be unpacked: {exc}"
    if len(data) != raw_size or data.count(NEWLINE) != lines:
        return f"{len(data)} bytes in {data.count(NEWLINE)} lines; the catalog says {raw_size} in {lines}"
    return None


def _filters(connection: sqlite3.Connection, data_dir: Path) -> Iterator[Finding]:
    path = data_dir / files.FILTERS
    groups = [row[0] for row in connection.execute("SELECT id FROM filter_groups ORDER BY id")]
    if groups != list(range(len(groups))):
        yield Finding(
            "error", files.CATALOG, "a group of filters is missing; searches may overlook lines in its chunks"
        )
    size = path.stat().st_size if path.is_file() else 0
    if size < len(groups) * GROUP_BYTES:
        yield Finding("warning", str(path), f"{len(groups) * GROUP_BYTES - size} bytes are missing; searches look at "
                      "all their chunks and take longer")  # fmt: skip
    columns = {row[0] for row in connection.execute("SELECT id FROM filter_columns")} | set(
        range(len(groups) * COLUMNS)
    )
    used = {row[0] for row in connection.execute("SELECT DISTINCT column_no FROM chunks")}
    if used - columns:
        yield Finding("error", files.CATALOG, f"{len(used - columns)} chunks have no filter; searches overlook them")


def _webhook(connection: sqlite3.Connection) -> Iterator[Finding]:
    """Events that were sent and not taken; those that were never sent may be on their way just now."""
    refused = [
        value
        for (text,) in connection.execute("SELECT value FROM records WHERE kind = ? ORDER BY id", (WEBHOOK_KIND,))
        if (value := json.loads(text))["attempts"]
    ]
    if refused:
        since = datetime.fromtimestamp(refused[0]["told_at"], UTC).isoformat(timespec="seconds")
        jobs = f"{len(refused)} jobs" if len(refused) > 1 else f"job {refused[0]['job']}"
        yield Finding("warning", files.CATALOG, f"the webhook has not taken what was told of {jobs}, the oldest since "
                      f"{since}; the last attempt failed: {refused[-1]['problem']}. Look at webhook_url and at the "
                      "receiver; it is tried again until webhook_retry_hours are over")  # fmt: skip

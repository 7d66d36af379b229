"""`logsvc download`: a job's files, verbatim; each fetched by ranges, so that a cut download goes on where it was.

Several files become a zip here, not at the service: a zip that is made while it is sent cannot be resumed. They are
kept in a folder `.parts` until all are there. Only standard output takes the service's own zip, from start to end.
"""

from __future__ import annotations

import hashlib
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from logsvc.client import Client
from logsvc.commands.fetching import READ_BYTES, Fetching, Remote
from logsvc.commands.progress import Watcher
from logsvc.core.file_names import file_names
from logsvc.core.zip_writer import ZipWriter
from logsvc.errors import LogsvcError, NotFound
from logsvc.model.stream import StreamName

STANDARD_OUTPUT = Path("-")
LONGEST_NAME_BYTES = 200  # of a file made here; systems take 255, and `.part` comes behind


@dataclass(frozen=True)
class Wanted:
    """What to download, and where to."""

    job: str
    tasks: tuple[str, ...] = ()
    output: Path | None = None


class Download:
    """Runs one download."""

    def __init__(self, client: Client, watcher: Watcher) -> None:
        self._client, self._watcher = client, watcher

    def run(self, wanted: Wanted) -> Path | None:
        """
        Where the file lies now; None where it went to standard output.

        Raises:
            NotFound: no such job, no such task of it, or no files yet.
            LogsvcError: what went wrong; what was fetched by then is kept for the next call.
        """
        with self._client.connected() as connection:
            remotes = _remotes(_chosen(connection.get(f"/jobs/{wanted.job}/streams")["streams"], wanted))
            fetching = Fetching(connection, self._watcher)
            if wanted.output == STANDARD_OUTPUT:
                zipped = connection.stream(f"/jobs/{wanted.job}/download", task=list(wanted.tasks) or None)
                for piece in fetching.pieces(remotes[0]) if len(remotes) == 1 else zipped:
                    sys.stdout.buffer.write(piece)
                sys.stdout.buffer.flush()
                return None
            alone = len(remotes) == 1
            target = _target(wanted.output, remotes[0].name if alone else f"modelarts-job-{wanted.job}.zip")
            part = target.with_name(f"{target.name}.{'part' if alone else 'parts'}")
            with self._kept(target, part):
                if alone:
                    fetching.into(remotes[0], part)
                    part.replace(target)
                else:
                    self._zip(fetching, wanted.job, remotes, part, target)
            return target

    def _zip(self, fetching: Fetching, job: str, remotes: list[Remote], folder: Path, target: Path) -> None:
        at = time.time()
        folder.mkdir(exist_ok=True)
        parts = [folder / f"{hashlib.sha256(remote.name.encode()).hexdigest()[:32]}.part" for remote in remotes]
        for remote, part in zip(remotes, parts, strict=True):
            fetching.into(remote, part)
        self._watcher.begin(f"packing {target.name}", sum(remote.size_bytes for remote in remotes))
        writer = ZipWriter(f"Job {job}", at)
        whole = folder / "zip"
        try:
            with open(whole, "wb") as out:
                for remote, part in zip(remotes, parts, strict=True):
                    self._pack(writer, remote, part, out)
                writer.finish()
                out.write(writer.take())
                out.flush()
                os.fsync(out.fileno())
        finally:
            writer.abandon()
        whole.replace(target)
        for part in parts:
            part.unlink()
        if not any(folder.iterdir()):  # what another call has left of other tasks stays
            folder.rmdir()

    def _pack(self, writer: ZipWriter, remote: Remote, part: Path, out: BinaryIO) -> None:
        writer.begin(remote.name, remote.size_bytes, remote.last_at)
        with open(part, "rb") as file:
            while piece := file.read(READ_BYTES):
                writer.write(piece)
                out.write(writer.take())
                self._watcher.advance(len(piece))
        writer.end()

    @contextmanager
    def _kept(self, target: Path, part: Path) -> Iterator[None]:
        """Tells what a call that ends early has left."""
        try:
            yield
        except (OSError, LogsvcError, KeyboardInterrupt) as exc:
            if part.exists():
                self._watcher.say(f"what was fetched is kept in {part}; the same command goes on from there")
            if isinstance(exc, OSError):
                raise LogsvcError(f"{target} cannot be written: {exc.strerror or exc}.") from exc
            raise


def _chosen(streams: list[dict[str, Any]], wanted: Wanted) -> list[dict[str, Any]]:
    if missing := sorted(set(wanted.tasks) - {one["task"] for one in streams}):
        raise NotFound(f"Job {wanted.job} has no logs of task {missing[0]!a}.")
    if not streams:
        raise NotFound(f"Job {wanted.job} has no log files yet.")
    return [one for one in streams if not wanted.tasks or one["task"] in wanted.tasks]


def _remotes(streams: list[dict[str, Any]]) -> list[Remote]:
    names = file_names(
        [(one["id"], StreamName(one["job"], one["task"], one["path"], one["generation"])) for one in streams]
    )
    return [
        Remote(one["id"], name, one["size_bytes"], datetime.fromisoformat(one["last_chunk_at"]).timestamp())
        for one, name in zip(streams, names, strict=True)
    ]


def _target(output: Path | None, name: str) -> Path:
    name = name.rpartition("/")[2].encode()[-LONGEST_NAME_BYTES:].decode("utf-8", "ignore")
    if output is None:
        return Path(name)
    return output / name if output.is_dir() else output

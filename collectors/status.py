"""What a collector is doing, told to `logsvc-collector status` by the collector itself.

Each `watch` and `run` listens on a Unix socket in its state folder and answers whoever connects. A
thread of its own answers, so a request to the service that hangs delays nothing, and the answer says
for how long it hangs. A status file would be old just then, would cost a write every few seconds,
could not be written on a full disk, and would outlive a collector that was killed; a socket without
its process refuses. One that is stopped (SIGSTOP) accepts and stays silent: that is told as well.

Only the owner can connect: the folder is 0700, the socket 0600. A socket's address holds 108 bytes,
so it is reached through `/proc/self/fd/<its folder>`, however long the folder's name is.
"""

from __future__ import annotations

import heapq
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

from collectors.chain import left_bytes
from collectors.spool import RUNS, SPOOL_SUFFIX
from collectors.tailer.family import Member
from collectors.tailer.rotation import Tailer
from collectors.words import printable, size, span
from logsvc.errors import CannotStart

if TYPE_CHECKING:
    from collectors.agent import Agent

FOLDER = "status"  # of sockets, in the state folder
LISTED = 10  # files named in a report
ASK_SECONDS = 3.0  # a collector that runs answers at once
SLOW_SECONDS = 30.0  # without an answer from the service: something is wrong
STUCK_SECONDS = 600.0  # without a step of the loop: something is wrong

Report = dict[str, Any]


def report_of(agent: Agent, command: str) -> Report:
    """
    What an agent is doing now; may be called from any thread.

    Names and units are those of `logsvc-collector status --json`; None: not known, or not the case.
    """
    now = time.monotonic()
    members = [(family, member) for family in list(agent.tailer.families.values()) for member in list(family.members)]
    followed = [member for family, member in members if not family.dropped and not member.lost]
    waiting = behind(agent.tailer)
    skipped = {
        **agent.discovery.unplaced,
        **{member.file.name: family.dropped for family, member in members if family.dropped},
    }
    asked_at, answered_at, last_error = agent.client.asked_at, agent.client.answered_at, agent.last_error
    asked_seconds = None if asked_at is None else now - asked_at
    step_seconds = now - agent.stepped_at
    return {
        "command": command,
        "pid": os.getpid(),
        "node": os.uname().nodename,
        "started_at": _wall(now - agent.started_at),
        "running_seconds": now - agent.started_at,
        "well": agent.problem is None and (asked_seconds or 0) < SLOW_SECONDS and step_seconds < STUCK_SECONDS,
        "problem": agent.problem,
        "server": agent.client.server,
        "answered_seconds_ago": None if answered_at is None else now - answered_at,
        "asked_seconds_ago": asked_seconds,
        "step_seconds_ago": step_seconds,
        "files_followed": len(followed),
        "files_waiting": len(waiting),
        "files_skipped": len(skipped),
        "skipped": [{"file": name, "reason": skipped[name]} for name in sorted(skipped)[:LISTED]],
        "bytes_behind": sum(count for count, _ in waiting),
        "furthest_behind": [{"file": name, "bytes": count} for count, name in heapq.nlargest(LISTED, waiting)],
        "bytes_sent": agent.shipper.sent_bytes,
        "newest_line_seconds_ago": min((written_ago(member, now) for member in followed if member.size), default=None),
        "gaps": agent.tailer.gaps + (agent.spool.gaps if agent.spool else 0),
        "lost_bytes": agent.tailer.lost_bytes + (agent.spool.lost_bytes if agent.spool else 0),
        "rank_conflicts": agent.discovery.conflicts,
        "errors": dict(agent.errors),
        "last_error": None if last_error is None else {"seconds_ago": now - last_error[0], "message": last_error[1]},
        "sampling": agent.sampling.report() if agent.sampling else None,
    }


def behind(tailer: Tailer) -> list[tuple[int, str]]:
    """Bytes that are not acknowledged yet, and the file that holds them."""
    return [
        (member.pending, member.file.name)
        for family in list(tailer.families.values())
        if not family.dropped
        for member in list(family.members)
        if member.pending > 0
    ]


def written_ago(member: Member, now: float) -> float:
    """Seconds since a line came; a spool has no time of its own, and is seen to grow."""
    return max(0.0, time.time() - member.modified_at) if member.modified_at else now - member.grew_at


def in_words(report: Report) -> str:
    """A report for a person; what is not known has no line."""
    head = f"{report['command']}, pid {report['pid']} on {report['node']}"
    if "started_at" in report:
        head += f", running for {span(report['running_seconds'])} (since {report['started_at']})"
    lines = [head]

    def say(name: str, text: str) -> None:
        lines.append(f"  {name:<13}{printable(text)}")

    if report["problem"]:
        say("problem", report["problem"])
    if "server" not in report:
        return "\n".join(lines)
    say("server", report["server"] + _answers(report))
    if report["step_seconds_ago"] >= STUCK_SECONDS:
        say("stuck", f"for {span(report['step_seconds_ago'])}")
    say(
        "files",
        f"{report['files_followed']} followed, {report['files_waiting']} waiting, {report['files_skipped']} skipped",
    )
    if report["newest_line_seconds_ago"] is not None:
        say("newest line", f"{span(report['newest_line_seconds_ago'])} ago")
    say("sent", size(report["bytes_sent"]))
    say("behind", size(report["bytes_behind"]) if report["bytes_behind"] else "nothing")
    for entry in report["furthest_behind"]:
        say("", f"{size(entry['bytes']):>12}  {entry['file']}")
    for entry in report["skipped"]:
        say("skipped", entry["reason"] if entry["file"] in entry["reason"] else f"{entry['file']}: {entry['reason']}")
    if report["files_skipped"] > len(report["skipped"]):
        say("", f"and {report['files_skipped'] - len(report['skipped'])} more")
    if report["gaps"]:
        places = "1 place" if report["gaps"] == 1 else f"{report['gaps']} places"
        say("lost", f"{report['lost_bytes']:,} bytes at {places}, marked in the logs")
    for conflict in report["rank_conflicts"]:
        say("conflict", conflict)
    for name, text in _sampling_in_words(report["sampling"]):
        say(name, text)
    if report["last_error"]:
        say("last error", f"{span(report['last_error']['seconds_ago'])} ago: {report['last_error']['message']}")
    return "\n".join(lines)


def ask(state_dir: Path) -> list[Report]:
    """
    Reports of all collectors that run on a state folder, the oldest first.

    Raises:
        CannotStart: the folder may not be read.
    """
    try:
        names = sorted(entry for entry in os.listdir(state_dir / FOLDER) if entry.endswith(".sock"))
        with _nearby(state_dir / FOLDER) as folder:
            reports = [report for report in (_ask(f"{folder}/{name}") for name in names) if report is not None]
    except FileNotFoundError:
        return []
    except OSError as exc:
        raise CannotStart(f"state folder {state_dir}: {exc.strerror}") from exc
    return sorted(reports, key=lambda report: -report.get("running_seconds", 0.0))


def left_spools(state_dir: Path) -> list[Report]:
    """What commands have left to be sent, and nobody sends: the folder to `watch`, and bytes."""
    spools = sorted((state_dir / RUNS).glob(f"*/*{SPOOL_SUFFIX}"))
    return [
        {"folder": os.fspath(spool.parent), "bytes": count}
        for spool, count in zip(spools, map(left_bytes, spools))
        if count is not None
    ]


class StatusSocket:
    """Sends the report to whoever connects, until closed."""

    def __init__(self, state_dir: Path, command: str, report: Callable[[], Report]) -> None:
        """Raises OSError where there can be no socket."""
        self._report = report
        self._folder = state_dir / FOLDER
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        node = os.uname().nodename[:32]
        self._name = f"{command}-{os.getpid()}-{secrets.token_hex(4)}@{node}.sock"
        self._socket = socket.socket(socket.AF_UNIX)
        try:
            with _nearby(self._folder) as folder:
                _sweep(folder, node, of_watch=command == "watch")
                self._socket.bind(f"{folder}/{self._name}.new")
                os.chmod(f"{folder}/{self._name}.new", 0o600)
                self._socket.listen()
                os.rename(f"{folder}/{self._name}.new", f"{folder}/{self._name}")  # so one that refuses is dead
        except BaseException:
            self._socket.close()
            raise
        self._thread = threading.Thread(target=self._serve, name="status", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Answer no more; may be called twice."""
        (self._folder / self._name).unlink(missing_ok=True)
        try:
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes `accept`
        except OSError:
            pass
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(ASK_SECONDS)
                try:
                    connection.sendall(json.dumps(self._report()).encode())
                except OSError:
                    pass  # whoever asked is gone


def _ask(address: str) -> Optional[Report]:
    """One collector's report; None: nobody is behind that socket any more."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(ASK_SECONDS)
        answer = b""
        try:
            connection.connect(address)
            while piece := connection.recv(1 << 16):
                answer += piece
            report: Report = json.loads(answer)
            return report
        except (ConnectionError, FileNotFoundError):
            return None
        except (TimeoutError, socket.timeout, BlockingIOError, ValueError):
            who, _, node = address.rpartition("/")[2][: -len(".sock")].partition("@")
            command, pid, _ = who.split("-")
            problem = "does not answer: it is stopped, or its node is very busy"
            return {"command": command, "pid": int(pid), "node": node, "well": False, "problem": problem}


def _sweep(folder: str, node: str, *, of_watch: bool) -> None:
    """
    Away with the sockets of this node's collectors that were killed.

    A `watch` holds the state folder alone, so that any other one's is dead, whatever its node was called: a pod
    has a new name with each start.
    """
    for name in os.listdir(folder):
        if not name.endswith(f"@{node}.sock") and not (of_watch and name.startswith("watch-")):
            continue
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(ASK_SECONDS)
            try:
                connection.connect(f"{folder}/{name}")
            except ConnectionRefusedError:
                os.unlink(f"{folder}/{name}")
            except OSError:
                pass


@contextmanager
def _nearby(folder: Path) -> Iterator[str]:
    """A short name of a folder, good while the block lasts."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{fd}"
    finally:
        os.close(fd)


def _sampling_in_words(sampling: Optional[Report]) -> Iterator[tuple[str, str]]:
    """What samplers do, a line each; nothing where nothing is sampled."""
    if sampling is None:
        return
    for sampler in sampling["samplers"]:
        text = f"{sampler['name']}: {sampler['state']}"
        if sampler["state"] != "ok":
            text += f" for {span(sampler['state_seconds'])}"
        if sampler["reason"]:
            text += f", {sampler['reason']}"
        if sampler["sampled_seconds_ago"] is not None:
            text += f"; read {span(sampler['sampled_seconds_ago'])} ago"
        yield "sampler", text
    waiting, dropped = sampling["readings_waiting"], sampling["readings_dropped"]
    if sampling["samplers"] or waiting:
        text = f"{sampling['readings_sent']:,} sent"
        if sampling["problem"]:
            text += f", {waiting:,} wait: {sampling['problem']}"
        yield "readings", text + (f"; {dropped:,} lost" if dropped else "")


def _answers(report: Report) -> str:
    """Whether the service answers, as far as that is known."""
    answered, asked = report["answered_seconds_ago"], report["asked_seconds_ago"]
    if asked is not None and asked >= 1.0:
        return f", no answer for {span(asked)}"
    if report["problem"] is None and answered is not None:
        return f", answered {span(answered)} ago"
    if answered is not None:
        return f", last took something {span(answered)} ago"
    return ""


def _wall(age_seconds: float) -> str:
    then = datetime.fromtimestamp(time.time() - age_seconds, timezone.utc)
    return then.isoformat(timespec="seconds")

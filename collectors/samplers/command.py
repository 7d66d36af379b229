"""A tool's output, with a bound in time and size, and never a second process beside one that hangs."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from typing import Optional

from collectors.samplers import Absent, Failed, Hung

TOOL_SECONDS = 4.5  # less than CUT_SECONDS: it is killed before its sampler is given up
KILLED_SECONDS = 0.2  # in this time a killed process is gone, unless the driver holds it
OUTPUT_BYTES = 4 << 20
LOOK_SECONDS = 0.1  # so often it is seen how much has come
WORDS = 200  # characters of what a tool says of its failure

# Tools answer in the language of the environment; figures are read in this one.
PLAIN = {"LC_ALL": "C", "LANG": "C", "LANGUAGE": "C"}

helpers: dict[int, subprocess.Popen[bytes]] = {}  # what samplers have started, by pid: they are no job's


class Tool:
    """Runs one command at a time."""

    def __init__(self, seconds: float = TOOL_SECONDS, *, leads: bool = True) -> None:
        """
        Args:
            seconds: for one run.
            leads: it gets a session of its own, which is killed as a whole; else it ends with ours.
        """
        self._seconds, self._leads = seconds, leads
        self._stuck: Optional[subprocess.Popen[bytes]] = None  # killed, and not gone

    def output(
        self, command: Sequence[str], *, seconds: Optional[float] = None, variables: Optional[Mapping[str, str]] = None
    ) -> str:
        """
        What the command prints; bytes that are no UTF-8 become U+FFFD.

        Args:
            seconds: of this one run, where several share the time; None: the tool's.
            variables: set for it, beside those of this process.

        Raises:
            Absent: there is no such program, or it may not be run.
            Failed: it ended with another status than 0, or prints without end.
            Hung: it was killed after the time; or one killed before is still there, and none was started.
        """
        name = os.path.basename(command[0])
        self.close()
        if self._stuck is not None:
            raise Hung(f"{name} hangs in the driver and cannot be killed (pid {self._stuck.pid})")
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            limit = self._seconds if seconds is None else seconds
            code = self._run(command, out.fileno(), err.fileno(), limit, variables or {})
            text = _content(out.fileno())
            if code == 0 and len(text) <= OUTPUT_BYTES:
                return text.decode("utf-8", "replace")
            if code == 0:
                raise Failed(f"{name} prints more than {OUTPUT_BYTES:,} bytes")
            said = (_content(err.fileno()) or text).decode("utf-8", "replace")
        how = f"was ended by signal {-code}" if code < 0 else f"exit status {code}"
        words = " ".join(said.split())[:WORDS]
        raise Failed(f"{name}: {how}" + (f": {words}" if words else ""))

    def close(self) -> None:
        """Take note of a killed one that is gone by now; may be called twice."""
        if self._stuck is not None and self._stuck.poll() is not None:
            helpers.pop(self._stuck.pid, None)
            self._stuck = None

    def _run(self, command: Sequence[str], out: int, err: int, seconds: float, variables: Mapping[str, str]) -> int:
        """Its exit status. Output goes to files, so that whoever inherits it holds nobody up."""
        name = os.path.basename(command[0])
        try:
            process = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env={**os.environ, **PLAIN, **variables},
                start_new_session=self._leads,
            )
        except (FileNotFoundError, PermissionError) as exc:
            raise Absent(f"{name}: {exc.strerror}") from exc
        except OSError as exc:
            raise Failed(f"{name}: {exc.strerror}") from exc
        helpers[process.pid] = process
        try:
            until = time.monotonic() + seconds
            while (left := until - time.monotonic()) > 0 and _size(out) + _size(err) <= OUTPUT_BYTES:
                try:
                    return process.wait(min(LOOK_SECONDS, left))
                except subprocess.TimeoutExpired:
                    pass
            if self._leads:
                kill_group(process)
            else:
                process.kill()
            try:
                process.wait(KILLED_SECONDS)
            except subprocess.TimeoutExpired:
                self._stuck = process
            if left > 0:
                raise Failed(f"{name} prints more than {OUTPUT_BYTES:,} bytes")
            raise Hung(f"{name} gave no answer in {seconds:.1f} s")
        finally:
            if self._stuck is None:
                helpers.pop(process.pid, None)


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a process that leads a session of its own, and all it has started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        process.kill()


def end_helpers() -> None:
    """Kill what samplers have started and what still runs: this process is about to end."""
    killed = [process for process in list(helpers.values()) if process.poll() is None]
    for process in killed:
        kill_group(process)
    until = time.monotonic() + KILLED_SECONDS
    for process in killed:
        try:
            process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            pass  # held by the driver


def _size(fd: int) -> int:
    return os.fstat(fd).st_size


def _content(fd: int) -> bytes:
    return os.pread(fd, OUTPUT_BYTES + 1, 0)

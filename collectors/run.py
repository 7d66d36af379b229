"""`logsvc-collector run`: a command whose output becomes the task's ordinary log.

stdout and stderr share one pipe, so their order is the order of writing. Each piece goes to the
spool first and to the terminal second; the sender reads the spool. A service that is away never
slows the command down.
"""

from __future__ import annotations

import os
import select
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Optional

from collectors.agent import Agent
from collectors.client import Say
from collectors.jobstatus import JobStatus
from collectors.progress import Progress
from collectors.settings import Settings
from collectors.spool import Spool

PASSED_ON = tuple(
    getattr(signal, name)
    for name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGQUIT")
    if hasattr(signal, name)
)
PIPE_BYTES = 1 << 20
LEFTOVER_SECONDS = 2.0  # processes that outlive the command and hold its output are heard this long
SI_KERNEL = 0x80  # siginfo: the signal came from the terminal, and went to the command as well

NOT_FOUND, NOT_EXECUTABLE = 127, 126  # as a shell says it

_IN_WORDS = {
    126: "the command could not be executed",
    127: "the command was not found",
    129: "hung up (SIGHUP)",
    130: "interrupted (SIGINT)",
    131: "quit (SIGQUIT)",
    132: "illegal instruction (SIGILL)",
    134: "aborted (SIGABRT)",
    135: "bus error (SIGBUS)",
    136: "arithmetic error (SIGFPE)",
    137: "killed (SIGKILL), often because memory ran out",
    139: "segmentation fault (SIGSEGV)",
    141: "broken pipe (SIGPIPE)",
    143: "terminated (SIGTERM)",
}


@dataclass(frozen=True)
class RunOptions:
    """
    What `run` is told beside the settings.

    Attributes:
        command: what to run.
        job, task: whose log it becomes.
        folders: shipped too, while the command runs.
        glog_dir: MindSpore's log folder, where known.
        name: of the job, should it be made here; the command's, unless said.
        set_status: see `JobStatus`.
        service_lines: whether the collector writes its own lines at start and end.
        drain_seconds: how long the end waits for the service to take the rest.
    """

    command: Sequence[str]
    job: str
    task: str
    folders: Sequence[Path] = ()
    glog_dir: Optional[Path] = None
    name: Optional[str] = None
    set_status: Optional[bool] = None
    service_lines: bool = True
    drain_seconds: float = 60.0


def run(settings: Settings, options: RunOptions, say: Say) -> int:
    """
    Run the command to its end; returns its exit status, 128 + n where signal n ended it.

    Raises:
        BadInput: the settings cannot be used; the command was not started.
    """
    try:
        spool = Spool(settings.state_dir, options.job, options.task)
    except OSError as exc:
        say(f"no place for the spool ({exc.strerror}): the output goes to the terminal only")
        return _bare(options.command, say)
    try:
        agent = Agent(settings, [spool.file, *options.folders], say, state=None, glog_dir=options.glog_dir)
    except BaseException:
        spool.remove()
        raise
    agent.tailer.pinned.add(os.fspath(spool.file))
    name = options.name or os.path.basename(options.command[0])
    status = JobStatus(options.job, options.task, always=options.set_status, name=name)
    agent.errands.append(status.start)
    return _Run(options, spool, agent, status, say).run()


class _Run:
    """One command, its pump and its sender."""

    def __init__(self, options: RunOptions, spool: Spool, agent: Agent, status: JobStatus, say: Say) -> None:
        self.options, self.spool, self.agent, self.status, self.say = options, spool, agent, status, say
        self._tee = True
        self._ended = threading.Event()  # nothing more is written to the spool
        self._stop = threading.Event()  # stop sending
        self._sender_error: Optional[BaseException] = None
        self._code = 0
        self._ended_at = ""

    def run(self) -> int:
        options = self.options
        if options.service_lines:
            self.spool.write_line(
                f"logsvc-collector: job {options.job}, {options.task} started on {os.uname().nodename}"
            )
            self.spool.write_line(f"logsvc-collector: command: {shlex.join(options.command)}")
        started = time.monotonic()
        watched = {*PASSED_ON, signal.SIGCHLD}
        signal.pthread_sigmask(signal.SIG_BLOCK, watched)
        reading, writing = os.pipe()
        child: Optional[subprocess.Popen[bytes]] = None
        try:
            child = subprocess.Popen(
                list(options.command),
                stdout=writing,
                stderr=writing,
                preexec_fn=lambda: _unblock(watched),  # no thread runs yet
            )
            code = -1
        except OSError as exc:
            code = NOT_FOUND if isinstance(exc, FileNotFoundError) else NOT_EXECUTABLE
            message = f"logsvc-collector: {options.command[0]}: {exc.strerror}"
            self.say(message.partition(": ")[2])
            self.spool.write_line(message)
        finally:
            os.close(writing)
        self.agent.show("run")
        sender = threading.Thread(target=self._send, name="sender", daemon=True)
        sender.start()
        if child is not None:
            gone = threading.Event()
            pump = threading.Thread(target=self._pump, args=(reading, gone), name="pump", daemon=True)
            pump.start()
            code = _wait(child, watched)
            gone.set()
            _join(pump, watched, child)
        os.close(reading)
        if options.service_lines:
            ended = f"{options.task} ended after {time.monotonic() - started:.1f} s"
            self.spool.write_line(f"logsvc-collector: {ended} with exit code {code}{exit_words(code)}")
        self.spool.close()
        self._ended_at = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        self._code = code
        self._ended.set()
        self.agent.wake.set()
        self._drain(sender, watched)
        return code

    def _pump(self, reading: int, gone: threading.Event) -> None:
        """From the pipe to the spool and the terminal, until the pipe ends."""
        quiet_since: Optional[float] = None
        while True:
            ready, _, _ = select.select([reading], [], [], 0.1)
            if not ready:
                if gone.is_set():
                    quiet_since = quiet_since or time.monotonic()
                    if time.monotonic() - quiet_since > LEFTOVER_SECONDS:
                        return
                continue
            data = os.read(reading, PIPE_BYTES)
            if not data:
                return
            if gone.is_set() and quiet_since is None:
                quiet_since = time.monotonic()
            self.spool.write(data)
            if self.spool.trouble():
                self.agent.say(f"spool {self.spool.file}: {self.spool.trouble()}: output is being lost")
            self.agent.wake.set()
            self._show(data)

    def _show(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            while self._tee and view:
                view = view[os.write(1, view) :]
        except OSError:
            self._tee = False  # the terminal is gone; the log goes on

    def _send(self) -> None:
        try:
            self.agent.loop(self._ended)
            self._finish()
            self.agent.loop(self._stop, idle=self.agent.is_done)
        except BaseException as exc:  # reported by _drain: the command's end must not hang on it
            self._sender_error = exc

    def _finish(self) -> None:
        """Everything that was written is known; the ordinary log is complete."""
        agent = self.agent
        agent.tailer.scan(time.monotonic())
        spool = os.fspath(self.spool.file)
        for family in agent.tailer.families.values():
            for member in family.members:
                if member.file.name == spool:
                    member.final_asked = True
                    member.grew_at = time.monotonic()
                    agent.tailer.active[id(member)] = (family, member)
        agent.loop(self._stop, idle=agent.is_done)
        agent.errands.append(lambda client: self.status.end(client, self._code, self._ended_at))

    def _drain(self, sender: threading.Thread, watched: set[signal.Signals]) -> None:
        """Wait a bounded time for the service to take the rest; a signal ends the wait."""
        deadline = time.monotonic() + self.options.drain_seconds
        progress = self.agent.progress = Progress(sys.stderr, self.say, self.agent.client.server, awaited=True)
        interrupted = False
        while sender.is_alive() and time.monotonic() < deadline and not interrupted:
            sender.join(0.02)
            while (caught := signal.sigtimedwait(watched, 0)) is not None:
                interrupted = interrupted or caught.si_signo in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        self._stop.set()
        self.agent.wake.set()
        sender.join(1.0)
        progress.clear()
        done = not sender.is_alive() and self._sender_error is None and self.agent.is_done()
        if done:
            self.spool.remove()
            self.agent.close()
            return
        reason = str(self._sender_error or self.agent.problem or "not in time")
        self.say(
            f"the log is not all sent: {reason}. It stays in {self.spool.folder}; send it later with: "
            f"logsvc-collector watch --once {shlex.quote(os.fspath(self.spool.folder))} "
            f"--server {self.agent.client.server}"
        )


def exit_words(code: int) -> str:
    """What an exit status means, as ` (words)`; empty where the number says all there is."""
    words = _IN_WORDS.get(code)
    if words is None and code > 128:
        try:
            words = f"ended by {signal.Signals(code - 128).name}"
        except ValueError:
            return ""
    return f": {words}" if words else ""


def _unblock(watched: set[signal.Signals]) -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, watched)


def _wait(child: subprocess.Popen[bytes], watched: set[signal.Signals]) -> int:
    """Wait for the command, passing signals on; its exit status as a shell gives it."""
    while True:
        code = child.poll()
        if code is not None:
            return 128 - code if code < 0 else code
        caught = signal.sigtimedwait(watched, 1.0)
        if caught is not None:
            _pass_on(child, caught)


def _join(pump: threading.Thread, watched: set[signal.Signals], child: subprocess.Popen[bytes]) -> None:
    while pump.is_alive():
        pump.join(0.02)
        while signal.sigtimedwait(watched, 0) is not None:
            pass  # the command is gone; what it wrote is still taken


def _pass_on(child: subprocess.Popen[bytes], caught: signal.struct_siginfo) -> None:
    if caught.si_signo == signal.SIGCHLD:
        return
    if caught.si_code == SI_KERNEL and caught.si_signo in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        return  # Ctrl+C: the terminal told the command itself
    try:
        child.send_signal(caught.si_signo)
    except ProcessLookupError:
        pass


def _bare(command: Sequence[str], say: Say) -> int:
    """The command must run, log or no log."""
    try:
        code = subprocess.call(list(command))
    except OSError as exc:
        say(f"{command[0]}: {exc.strerror}")
        return NOT_FOUND if isinstance(exc, FileNotFoundError) else NOT_EXECUTABLE
    return 128 - code if code < 0 else code

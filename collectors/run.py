"""`logsvc-collector run`: a command whose output becomes the task's ordinary log.

stdout and stderr share one pipe, or one terminal, so their order is the order of writing. Each
piece goes to the spool first and to our own stdout second; the sender reads the spool. A service
that is away never slows the command down while the spool has room.
"""

from __future__ import annotations

import fcntl
import os
import select
import shlex
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from collectors.agent import Agent
from collectors.client import Say
from collectors.jobstatus import JobStatus
from collectors.progress import Progress
from collectors.settings import Settings
from collectors.spool import DROP_OLDEST, RUNS, SPOOL_BYTES, Spool, SpooledFile
from collectors.terminal import Terminal
from logsvc.model.stream import StreamName, ordinary_path

PASSED_ON = tuple(
    getattr(signal, name)
    for name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGQUIT")
    if hasattr(signal, name)
)
PIPE_BYTES = 1 << 20
GATHER_BYTES, GATHER_SECONDS = 64 << 10, 0.001  # small pieces come together: that costs the command less
HELD_PARTS = 4  # of a spool, one may be on its way to the service: the others can be dropped
LEFT_SECONDS = 5.0  # what earlier commands have left is sent so long after the end, at most
LAST_READINGS_SECONDS = 1.0  # for readings of samplers that wait, where the log took all the time
LEFTOVER_SECONDS = 2.0  # processes that outlive the command and hold its output are heard this long
F_SETPIPE_SZ = 1031  # fcntl has the name from Python 3.10 on
SI_KERNEL = 0x80  # siginfo: the signal came from the terminal, and went to the command as well

NOT_FOUND, NOT_EXECUTABLE = 127, 126  # as a shell says it

_IN_WORDS = {
    126: "the command could not be executed",
    127: "the command was not found",
    129: "hung up (SIGHUP)",
    130: "interrupted (SIGINT)",
    131: "quit (SIGQUIT)",
    132: "illegal instruction (SIGILL)",
    133: "trace trap (SIGTRAP)",
    134: "aborted (SIGABRT)",
    135: "bus error (SIGBUS), often because shared memory (/dev/shm) ran out",
    136: "arithmetic error (SIGFPE)",
    137: "killed (SIGKILL), often because memory ran out",
    139: "segmentation fault (SIGSEGV)",
    141: "broken pipe (SIGPIPE)",
    142: "alarm (SIGALRM)",
    143: "terminated (SIGTERM)",
    152: "CPU time limit (SIGXCPU)",
    153: "file size limit (SIGXFSZ)",
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
        pty: whether the command gets a terminal.
        spool_bytes, spool_policy: see `Spool`.
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
    pty: bool = False
    spool_bytes: int = SPOOL_BYTES
    spool_policy: str = DROP_OLDEST


def run(settings: Settings, options: RunOptions, say: Say) -> int:
    """
    Run the command to its end; returns its exit status, 128 + n where signal n ended it.

    Raises:
        BadInput: the settings cannot be used; the command was not started.
    """
    folders = [*options.folders, settings.state_dir / RUNS]  # what commands before this one have left goes, too
    agent = Agent(settings, folders, say, state=None, glog_dir=options.glog_dir)
    try:
        spool = Spool(
            settings.state_dir,
            options.job,
            options.task,
            bound_bytes=options.spool_bytes,
            policy=options.spool_policy,
            say=agent.say,
        )
    except OSError as exc:
        agent.close()
        say(f"no place for the spool ({exc.strerror}): the output goes to the terminal only")
        return _bare(options.command, say)
    agent.spool = spool
    name = options.name or os.path.basename(options.command[0])
    status = JobStatus(spool.folder, options.job, options.task, name, options.set_status, options.service_lines)
    status.hold()
    status.keep()
    agent.errands.append(status.start)
    return _Run(options, spool, agent, status, say).run()


class _Run:
    """One command, its pump and its sender."""

    def __init__(self, options: RunOptions, spool: Spool, agent: Agent, status: JobStatus, say: Say) -> None:
        self.options, self.spool, self.agent, self.status, self.say = options, spool, agent, status, say
        self._place = StreamName(options.job, options.task, ordinary_path(options.job, options.task))
        file = SpooledFile(spool.chain, options.spool_bytes // HELD_PARTS)
        self._log = agent.tailer.adopt(self._place, file, time.monotonic())
        self._family = agent.tailer.families[self._place]
        self._tee = True
        self._ended = threading.Event()  # nothing more is written to the spool
        self._stop = threading.Event()  # stop sending
        self._sender_error: Optional[BaseException] = None

    def run(self) -> int:
        options = self.options
        if options.service_lines:
            self.spool.write_line(
                f"logsvc-collector: job {options.job}, {options.task} started on {os.uname().nodename}"
            )
            self.spool.write_line(f"logsvc-collector: command: {shlex.join(options.command)}")
        started = time.monotonic()
        terminal = Terminal() if options.pty else None
        watched = {*PASSED_ON, signal.SIGCHLD, *([signal.SIGWINCH] if terminal else [])}
        signal.pthread_sigmask(signal.SIG_BLOCK, watched)
        reading, writing = (terminal.reading, terminal.inner) if terminal else _pipe()

        def prepare() -> None:  # in the new process; no other thread runs yet
            signal.pthread_sigmask(signal.SIG_UNBLOCK, watched)
            if terminal:
                terminal.take_control()

        child: Optional[subprocess.Popen[bytes]] = None
        try:
            child = subprocess.Popen(
                list(options.command),
                stdin=terminal.stdin if terminal else None,
                stdout=writing,
                stderr=writing,
                start_new_session=terminal is not None,
                preexec_fn=prepare,
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
        if child is not None:
            self.agent.sample(child.pid)
        sender = threading.Thread(target=self._send, name="sender", daemon=True)
        sender.start()
        interrupted = False
        if child is not None:
            gone = threading.Event()
            pump = threading.Thread(target=self._pump, args=(reading, gone), name="pump", daemon=True)
            pump.start()
            if terminal:
                terminal.type()
            code = _wait(child, watched, terminal)
            if self.agent.sampling:
                self.agent.sampling.stop_sampling()
            gone.set()
            self.spool.stop_waiting()
            if terminal:
                terminal.restore()
            interrupted = _join(pump, watched)
        os.close(reading)
        ended = f"logsvc-collector: {options.task} ended after {time.monotonic() - started:.1f} s"
        self.status.ended(code)  # first: from now on a kill leaves a command that has ended
        self.spool.close(f"{ended} with exit code {code}{exit_words(code)}" if options.service_lines else "")
        self._ended.set()
        self.agent.wake.set()
        self._drain(sender, watched, interrupted)
        return code

    def _pump(self, reading: int, gone: threading.Event) -> None:
        """From the command to the spool and our stdout, until nobody holds the other end."""
        buffer = memoryview(bytearray(PIPE_BYTES))
        until, owed = float("inf"), 0
        while True:
            ready, _, _ = select.select([reading], [], [], 0.1)
            if gone.is_set():
                if until == float("inf"):
                    until, owed = time.monotonic() + LEFTOVER_SECONDS, _waiting_bytes(reading)
                if owed <= 0 and time.monotonic() > until:
                    return
            if not ready:
                continue
            try:
                count = os.readv(reading, [buffer])
            except OSError:  # of a terminal that nobody holds
                return
            if not count:
                return
            owed -= count
            self.spool.write(buffer[:count])
            self.agent.wake.set()
            self._show(buffer[:count])
            if count < GATHER_BYTES:
                gone.wait(GATHER_SECONDS)

    def _show(self, view: memoryview) -> None:
        while self._tee and view:
            try:
                view = view[os.write(1, view) :]
            except BlockingIOError:
                select.select([], [1], [])
            except OSError:
                self._tee = False  # the terminal is gone; the log goes on

    def _send(self) -> None:
        try:
            self.agent.loop(self._ended)
            self._finish()
            until = time.monotonic() + LEFT_SECONDS
            self.agent.loop(self._stop, idle=lambda: self._is_over() and self._may_leave(until))
        except BaseException as exc:  # reported by _drain: the command's end must not hang on it
            self._sender_error = exc
            self.spool.stop_waiting()

    def _finish(self) -> None:
        """Everything that was written is known; the ordinary log is complete."""
        agent = self.agent
        agent.tailer.scan(time.monotonic())
        self._log.final_asked = True
        agent.loop(self._stop, idle=self._is_over)
        agent.errands.append(self.status.end)
        if self._log.sealed:
            agent.step()  # even where nobody waits any longer for what else is left

    def _may_leave(self, until: float) -> bool:
        """Whether what earlier commands have left is sent, or takes too long for this one."""
        return self.agent.is_over() or time.monotonic() > until

    def _is_over(self) -> bool:
        """Whether there is nothing of this command to wait for; a spool that somebody has deleted is gone."""
        return self.agent.is_over(left=False) or not (self._log.sealed or self.spool.chain.folder.exists())

    def _drain(self, sender: threading.Thread, watched: set[signal.Signals], interrupted: bool) -> None:
        """Wait a bounded time for the service to take the rest; a signal ends the wait."""
        deadline = time.monotonic() + self.options.drain_seconds
        progress = self.agent.progress = Progress(sys.stderr, self.say, self.agent.client.server, awaited=True)
        while sender.is_alive() and time.monotonic() < deadline and not interrupted:
            sender.join(0.02)
            interrupted = _is_interrupted(watched)
        self._stop.set()
        self.agent.wake.set()
        sender.join(1.0)
        if self.agent.sampling:
            self.agent.sampling.close(
                max(LAST_READINGS_SECONDS, deadline - time.monotonic()) if not interrupted else 0.0,
                is_over=lambda: _is_interrupted(watched),
            )
        progress.clear()
        reason = str(self._sender_error or self.agent.problem or self.agent.unread() or "not in time")
        later = (
            f"later with: logsvc-collector watch --once {shlex.quote(os.fspath(self.spool.folder))} "
            f"--server {self.agent.client.server}"
        )
        if self._log.sealed or self._family.dropped:
            self.spool.remove()
            if not sender.is_alive():
                self.agent.close()
            if left := self.agent.pending():
                self.say(f"{left} bytes of other files are not sent: {reason}")
            if self.status.is_untold:
                self.say(f"how the command ended is not told: {reason}; tell it {later}")
        elif not self.spool.chain.folder.exists():
            self.say(f"the log is not all sent: somebody has deleted {self.spool.folder}")
        else:
            self.say(f"the log is not all sent: {reason}. It stays in {self.spool.folder}; send it {later}")


def exit_words(code: int) -> str:
    """What an exit status means, as ` (words)`; empty where the number says all there is."""
    words = _IN_WORDS.get(code)
    if words is None and code > 128:
        try:
            words = f"ended by {signal.Signals(code - 128).name}"
        except ValueError:
            return ""
    return f": {words}" if words else ""


def _pipe() -> tuple[int, int]:
    """A pipe as large as the system allows, so that the command seldom waits for us."""
    reading, writing = os.pipe()
    try:
        fcntl.fcntl(writing, F_SETPIPE_SZ, PIPE_BYTES)
    except OSError:
        pass
    return reading, writing


def _waiting_bytes(fd: int) -> int:
    """Bytes that can be read at once; 0 where the system does not say."""
    try:
        return int(struct.unpack("i", fcntl.ioctl(fd, termios.FIONREAD, bytes(4)))[0])
    except OSError:
        return 0


def _wait(child: subprocess.Popen[bytes], watched: set[signal.Signals], terminal: Optional[Terminal]) -> int:
    """Wait for the command, passing signals on; its exit status as a shell gives it."""
    while True:
        code = child.poll()
        if code is not None:
            return 128 - code if code < 0 else code
        caught = signal.sigtimedwait(watched, 1.0)
        if caught is None or caught.si_signo == signal.SIGCHLD:
            continue
        if terminal and caught.si_signo == signal.SIGWINCH:
            terminal.resize()
        elif terminal or not _came_from_the_terminal(caught):
            child.send_signal(caught.si_signo)


def _join(pump: threading.Thread, watched: set[signal.Signals]) -> bool:
    """The command is gone; what it wrote is still taken. Whether somebody does not want to wait for more."""
    interrupted = False
    while pump.is_alive():
        pump.join(0.02)
        interrupted = _is_interrupted(watched) or interrupted
    return interrupted


def _is_interrupted(watched: set[signal.Signals]) -> bool:
    """Whether a signal came that tells us to end."""
    interrupted = False
    while (caught := signal.sigtimedwait(watched, 0)) is not None:
        interrupted = interrupted or caught.si_signo in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    return interrupted


def _came_from_the_terminal(caught: signal.struct_siginfo) -> bool:
    """Ctrl+C, say: the terminal told the command itself."""
    return caught.si_code == SI_KERNEL and caught.si_signo in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)


def _bare(command: Sequence[str], say: Say) -> int:
    """The command must run, log or no log."""
    try:
        code = subprocess.call(list(command))
    except OSError as exc:
        say(f"{command[0]}: {exc.strerror}")
        return NOT_FOUND if isinstance(exc, FileNotFoundError) else NOT_EXECUTABLE
    return 128 - code if code < 0 else code

"""A sampler in a process of its own: for what may block in a C library or in the kernel, or take its process along.

One line of JSON asks, one answers. A child that does not answer in time is killed. One that cannot even be killed
(its system call never returns) is left alone, and none is started beside it until it is gone.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Optional

import collectors
from collectors.samplers import OPEN_SECONDS, Absent, DeviceReading, Failed, Hung, Reading, Sampler
from collectors.samplers.command import KILLED_SECONDS, TOOL_SECONDS, helpers, kill_group

START_SECONDS = 10.0  # until a child of a node that is very busy has read its program
ANSWER_BYTES = 4 << 20

# The program's own folder or file comes first, and the folder that we happen to be in does not count.
_START = """\
import sys
sys.path[:] = [sys.argv[1], *filter(None, sys.path)]
from collectors.samplers.child import serve
serve(sys.argv[2])
"""

Answer = Callable[[Any], Any]  # what a child does with what it is asked


class Child:
    """A process that answers; started by the first question, and again after its end."""

    def __init__(self, target: str) -> None:
        """Args: target: `module:name` of a function that makes an `Answer`."""
        self._target = target
        self._process: Optional[subprocess.Popen[bytes]] = None
        self.stuck: Optional[subprocess.Popen[bytes]] = None  # killed, and not gone

    def ask(self, question: object, seconds: float = TOOL_SECONDS) -> Any:
        """
        Its answer.

        Raises:
            Absent, Failed: as the child did, or it has ended without an answer.
            Hung: no answer in time, and it was killed; or one killed before is still there.
        """
        process = self._running()
        deadline = time.monotonic() + seconds
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps(question).encode() + b"\n")
            process.stdin.flush()
        except OSError:
            pass  # it has ended; how, is seen below
        answer = json.loads(self._line(process, deadline, seconds))
        if "absent" in answer:
            raise Absent(answer["absent"])
        if "failed" in answer:
            raise Failed(answer["failed"])
        if "hung" in answer:
            raise Hung(answer["hung"])
        return answer["answer"]

    def start(self) -> None:
        """Start it before the first question, which then has its whole time. Raises as `ask`."""
        self._running()

    def kill(self) -> None:
        """End it; may be called twice. It is in `stuck` if it is not gone then."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None and process.stdout is not None
        process.stdout.close()
        try:
            process.stdin.close()  # it ends by itself
        except OSError:
            pass
        kill_group(process)
        try:
            process.wait(KILLED_SECONDS)
            helpers.pop(process.pid, None)
        except subprocess.TimeoutExpired:
            self.stuck = process

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        self.kill()
        if self.stuck is not None:
            if self.stuck.poll() is None:
                raise Hung(f"the process that asks hangs in the kernel and cannot be killed (pid {self.stuck.pid})")
            helpers.pop(self.stuck.pid, None)
            self.stuck = None
        home = str(Path(collectors.__file__).parent.parent)  # a folder, or the single file
        try:
            process = subprocess.Popen(
                [sys.executable, "-c", _START, home, self._target],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as exc:
            raise Failed(f"{sys.executable}: {exc.strerror}") from exc
        self._process = process
        helpers[process.pid] = process
        self._line(process, time.monotonic() + START_SECONDS, START_SECONDS)
        return process

    def _line(self, process: subprocess.Popen[bytes], deadline: float, seconds: float) -> bytes:
        """What it says next."""
        assert process.stdout is not None
        line = b""
        while not line.endswith(b"\n"):
            ready, _, _ = select.select([process.stdout], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                self.kill()
                raise Hung(f"no answer in {seconds:g} s")
            piece = os.read(process.stdout.fileno(), 1 << 16)
            line += piece
            if not piece or len(line) > ANSWER_BYTES:
                self.kill()
                code = process.poll()
                how = f"was ended by {signal.Signals(-code).name}" if code and code < 0 else f"ended ({code})"
                raise Failed(f"the process that asks {how if not piece else 'says too much'}")
        return line


class InChild:
    """A sampler of cards whose work is done in a child."""

    def __init__(self, name: str, target: str, is_found: Callable[[], bool]) -> None:
        """
        Args:
            target: `module:name` of what makes it, called without arguments.
            is_found: whether it is worth starting a process.
        """
        self.name, self.remark = name, ""
        self._is_found = is_found
        self._child = Child(f"collectors.samplers.child:answering {target}")

    def open(self) -> None:
        """See `Sampler`."""
        if not self._is_found():
            raise Absent("no driver")
        self._child.ask("open", OPEN_SECONDS / 2)

    def sample(self) -> list[Reading]:
        """See `Sampler`."""
        answer = self._child.ask("sample")
        self.remark = answer["remark"]
        return [_device(values) for values in answer["readings"]]

    def close(self) -> None:
        """See `Sampler`."""
        self._child.kill()


def serve(target: str) -> None:
    """In the child: answer until nobody asks any more. A target with a word behind it is called with that word."""
    for caught in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(caught, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    answers = os.fdopen(os.dup(1), "wb", buffering=0)  # what a library prints goes elsewhere
    os.dup2(2, 1)
    answers.write(b"{}\n")
    function, *arguments = target.split(" ")
    made: Optional[Answer] = None
    for line in sys.stdin.buffer:
        answer: dict[str, Any]
        try:
            made = made or _named(function)(*arguments)
            answer = {"answer": made(json.loads(line))}
        except Absent as exc:
            answer = {"absent": str(exc)}
        except Hung as exc:
            answer = {"hung": str(exc)}
        except Failed as exc:
            answer = {"failed": str(exc)}
        except Exception as exc:  # told in the parent
            answer = {"failed": f"{type(exc).__name__}: {exc}"}
        answers.write(json.dumps(answer).encode() + b"\n")


def answering(target: str) -> Answer:
    """In the child: a sampler that is asked by words."""
    sampler: Sampler = _named(target)()
    is_open = False

    def answer(question: Any) -> Any:
        nonlocal is_open
        if question == "open":
            sampler.open()
            is_open = True
            return None
        if not is_open:
            raise Failed("the process that asks had ended")
        return {"readings": sampler.sample(), "remark": sampler.remark}

    return answer


def _named(target: str) -> Any:
    module, _, name = target.partition(":")
    return getattr(import_module(module), name)


def _device(values: Sequence[Any]) -> DeviceReading:
    reading = DeviceReading(*values)
    return reading._replace(pids=tuple(reading.pids))

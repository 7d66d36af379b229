"""Collectors forked from one process that has imported everything: a hundred starts in a few seconds.

Run as a program it is that process: a line of JSON asks for a start or an end, a line answers.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import signal
import subprocess
import sys
import threading
import traceback
from pathlib import Path
from typing import Any


class Forks:
    """Starts `logsvc-collector` with arguments, kills and waits."""

    def __init__(self, errors: Path, constants: dict[str, float], settings: dict[str, float]) -> None:
        """
        Args:
            errors: file for what the collectors say.
            constants: of modules of `collectors`, for all of them: `{"client.ANSWER_SECONDS": 1.0}`.
            settings: that no argument gives: `{"busy_seconds": 0.02}`.
        """
        self.errors = errors
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(errors), json.dumps(constants), json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(self, *arguments: str, token: str = "") -> int:
        """A collector's process id."""
        with self._lock:
            return self._ask("start", arguments=arguments, token=token)

    def kill(self, pid: int, number: int = signal.SIGKILL) -> int:
        """Send a signal, wait for the end; returns the exit status, or minus the signal that ended it."""
        with self._lock:
            return self._ask("end", pid=pid, number=number)

    def close(self) -> None:
        """Kill those that still run."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()

    def said(self) -> str:
        """What the collectors have written to stderr."""
        return self.errors.read_text(errors="replace") if self.errors.exists() else ""

    def _ask(self, what: str, **more: Any) -> int:
        assert self._process.stdin and self._process.stdout
        print(json.dumps({"do": what, **more}), file=self._process.stdin, flush=True)
        return int(self._process.stdout.readline())


def serve(errors: str, constants: dict[str, float], settings: dict[str, float]) -> None:
    """Answer on stdout what stdin asks."""
    from collectors import cli

    for name, value in constants.items():
        module, _, constant = name.rpartition(".")
        found = importlib.import_module(f"collectors.{module}")
        assert hasattr(found, constant), name
        setattr(found, constant, value)
    cli.Settings = functools.partial(cli.Settings, **settings)  # type: ignore[misc, assignment]
    alive: set[int] = set()
    for line in sys.stdin:
        asked = json.loads(line)
        if asked["do"] == "start":
            pid = os.fork()
            if pid == 0:
                _become(cli, errors, asked)
            alive.add(pid)
            print(pid, flush=True)
        else:
            os.kill(asked["pid"], asked["number"])
            print(os.waitstatus_to_exitcode(os.waitpid(asked["pid"], 0)[1]), flush=True)
            alive.discard(asked["pid"])
    for pid in alive:
        os.kill(pid, signal.SIGKILL)


def _become(cli: Any, errors: str, asked: dict[str, Any]) -> None:
    """The collector, as if it had been started from a shell."""
    status = 99
    try:
        os.dup2(os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), 2)
        os.dup2(os.open(os.devnull, os.O_RDWR), 0)
        os.dup2(0, 1)
        os.environ["LOGSVC_TOKEN"] = asked["token"]
        status = cli.main(asked["arguments"])
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


if __name__ == "__main__":
    serve(sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3]))

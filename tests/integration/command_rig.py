"""A command under `logsvc-collector run`, and what the service holds of it."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import termios
from pathlib import Path
from typing import Optional

from integration.collector_oracle import TOKEN, Oracle

JOB = "J-1"
LOG = f"modelarts-job-{JOB}-worker-0.log"
NAME = (JOB, "worker-0", LOG, 0)


class Commands:
    """Starts commands under the collector: `options` before the command, `prefix` before all, pipes or a terminal."""

    def __init__(self, url: str, state_dir: Path) -> None:
        self.url, self.state_dir = url, state_dir
        self._started: list[subprocess.Popen[bytes]] = []

    def __call__(
        self,
        *command: str,
        options: tuple[str, ...] = (),
        task: str = "worker-0",
        prefix: tuple[str, ...] = (),
        terminal: Optional[int] = None,
        stdout: Optional[int] = None,
    ) -> subprocess.Popen[bytes]:
        words = [*prefix, sys.executable, "-m", "collectors", "run", "--job", JOB, "--task", task]
        words += ["--server", self.url, "--state-dir", str(self.state_dir), *options, "--", *command]
        pipes = subprocess.PIPE if terminal is None else terminal
        process = subprocess.Popen(
            words,
            env=environment(),
            stdin=pipes,
            stdout=pipes if stdout is None else stdout,
            stderr=pipes,
            start_new_session=terminal is not None,
            preexec_fn=None if terminal is None else lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        self._started.append(process)
        return process

    def watch_once(self, *folders: Path) -> subprocess.CompletedProcess[bytes]:
        """Ship what runs have left."""
        words = [sys.executable, "-m", "collectors", "watch", "--once", *map(str, folders)]
        words += ["--server", self.url, "--state-dir", str(self.state_dir)]
        return subprocess.run(words, env=environment(), capture_output=True, timeout=60, check=False)

    def close(self) -> None:
        """End what still runs."""
        for process in self._started:
            if process.poll() is None:
                process.kill()
            process.communicate()


def environment() -> dict[str, str]:
    """Without what would tell the collector where else to look."""
    names = ("MA_LOG_DIR", "ASCEND_PROCESS_LOG_PATH", "GLOG_log_dir", "LOGSVC_TOKEN_FILE")
    return {**{key: value for key, value in os.environ.items() if key not in names}, "LOGSVC_TOKEN": TOKEN}


def shipped(oracle: Oracle) -> bytes:
    """What the service holds of the ordinary log, without the collector's own lines."""
    lines = bytes(oracle.held.get(NAME, b"")).split(b"\n")
    return b"\n".join(line for line in lines if b"- INFO - logsvc-collector:" not in line)


def python(script: str) -> tuple[str, ...]:
    """A command that runs a script."""
    return (sys.executable, "-uc", script)


def shell(script: str) -> tuple[str, ...]:
    """A command that a shell runs."""
    return ("sh", "-c", script)

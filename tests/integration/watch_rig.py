"""`logsvc-collector watch` on a folder, started and ended by a test."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

from integration.collector_oracle import TOKEN

JOB = "J-1"
OTHER = f"modelarts-job-{JOB}/other/worker-0"
OWN = ("MA_VJ_NAME", "VC_TASK_INDEX", "RANK_ID", "LOGSVC_TOKEN_FILE", "GLOG_log_dir")


class Watches:
    """
    Starts collectors on `logs`, one after the other, with the same state.

    Attributes:
        program: what the interpreter is told to run.
    """

    def __init__(self, url: str, folder: Path) -> None:
        self.program: tuple[str, ...] = ("-m", "collectors")
        self._url, self._folder = url, folder
        self._started: list[subprocess.Popen[bytes]] = []
        (folder / "logs").mkdir()

    def __call__(self, *more: str, job: str | None = JOB, descriptors: int = 0) -> subprocess.Popen[bytes]:
        """Start one; with at most so many `descriptors`, where that is not 0."""
        command = [sys.executable, *self.program, "watch", str(self._folder / "logs"), "--server", self._url]
        command += ["--state-dir", str(self._folder / "state"), *more]
        command += ["--job", job] if job else []
        environment = {name: value for name, value in os.environ.items() if name not in OWN}

        def limit() -> None:
            if descriptors:
                resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))

        process = subprocess.Popen(
            command, env=environment | {"LOGSVC_TOKEN": TOKEN}, stderr=subprocess.PIPE, preexec_fn=limit
        )
        self._started.append(process)
        return process

    def close(self) -> None:
        """End those that still run."""
        for process in self._started:
            if process.poll() is None:
                process.terminate()
                process.wait(20)
            if process.stderr:
                process.stderr.close()

"""From npu-smi to the service: what it prints is what is stored, and what it cannot say is never stored as zero."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from integration.command_rig import environment
from processes import ServiceProcess, wait_until

NPU_SMI = Path(__file__).resolve().parents[1] / "samples" / "accelerators" / "npu-smi"
USES = [0, 0, 0, 0, 0, 0, 82, 68]  # of the captured table


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    service = ServiceProcess(tmp_path_factory.mktemp("service") / "data").start()
    yield service
    service.stop()
    assert "Traceback" not in service.logged()


class Node:
    """A node whose npu-smi does as it is told, and a job that runs on it."""

    def __init__(self, folder: Path, service: ServiceProcess) -> None:
        self.job = f"cards-{uuid.uuid4()}"
        self._folder, self._service = folder, service
        (folder / "bin").mkdir()

    def prints(self, script: str) -> None:
        """From now on npu-smi is this piece of shell; never half of it."""
        new = self._folder / "new"
        new.write_text(f"#!/bin/sh\n{script}\n")
        new.chmod(0o755)
        new.rename(self._folder / "bin/npu-smi")

    def start(self) -> subprocess.Popen[bytes]:
        words = [sys.executable, "-m", "collectors", "run", "--job", self.job, "--task", "worker-0", "--set-status"]
        words += ["--server", f"http://127.0.0.1:{self._service.port}", "--state-dir", str(self._folder / "state")]
        variables = environment() | {"LOGSVC_TOKEN": self._service.token}
        variables["PATH"] = f"{self._folder / 'bin'}{os.pathsep}{variables['PATH']}"
        return subprocess.Popen([*words, "--sample-seconds", "1", "--", "sleep", "600"], env=variables)

    def get(self, what: str = "") -> Any:
        client = self._service.client()
        try:
            answer = client.ask("GET", f"/jobs/{self.job}{what}")
            return answer.json if answer.status == 200 else {}
        finally:
            client.close()

    def sampler(self) -> dict[str, str]:
        return next((one for one in self.get().get("samplers", []) if one["name"] == "npu-smi"), {})


def test_what_npu_smi_cannot_say_is_told_and_never_stored(tmp_path: Path, service: ServiceProcess) -> None:
    node = Node(tmp_path, service)
    table = f'[ "$2" = -m ] && exit 1\ncat "{NPU_SMI}/info-910B4-24.1.rc3-busy-processes.txt"'
    node.prints(table)
    collector = node.start()
    try:
        wait_until(lambda: len(node.get("/utilization").get("series", [])) == len(USES))
        assert node.get()["mean_utilization_percent"] == sum(USES) / len(USES)

        node.prints("echo 命令执行失败，请检查驱动")
        wait_until(lambda: node.sampler()["state"] == "failed")
        assert "no table, but '命令执行失败，请检查驱动'" in node.sampler()["reason"]

        node.prints(table)
        wait_until(lambda: node.sampler()["state"] == "ok")
        assert "named by their NPU id" in node.sampler()["reason"]

        found = node.get("/utilization?points=1&readings=utilization_percent,process_count")
        assert [series["device"] for series in found["series"]] == [str(card) for card in range(8)]
        for series, use in zip(found["series"], USES, strict=True):
            buckets = series["readings"]["utilization_percent"]
            assert {value for values in buckets.values() for value in values} == {use}
        assert node.get()["mean_utilization_percent"] == sum(USES) / len(USES)
    finally:
        collector.send_signal(signal.SIGTERM)
        collector.wait(30)

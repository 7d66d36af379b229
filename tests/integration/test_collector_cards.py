"""From the tools to the service: what they say is what is stored, and what they cannot say is never stored as zero."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
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


def asked(service: ServiceProcess, path: str) -> Any:
    """JSON of an answer; empty where there is none yet."""
    client = service.client()
    try:
        answer = client.ask("GET", path)
        return answer.json if answer.status == 200 else {}
    finally:
        client.close()


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
        return asked(self._service, f"/jobs/{self.job}{what}")

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


def test_an_exporter_on_a_node_of_many_jobs_tells_whose_each_card_is(tmp_path: Path, service: ServiceProcess) -> None:
    jobs = [f"pods-{uuid.uuid4()}" for _ in range(2)]
    pods = [f"ma-job-{jobs[0]}-worker-3", f"modelarts-job-{jobs[1]}-worker-0", "somebody-else", ""]
    line = 'npu_chip_info_utilization{{id="{0}",vdie_id="V{0}",namespace="ns",pod_name="{1}"}} {2}\n'
    page = "".join(line.format(card, pod, 10 * (card + 1)) for card, pod in enumerate(pods)).encode()

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *words: object) -> None:
            pass

    exporter = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=exporter.serve_forever, daemon=True).start()
    (tmp_path / "log").mkdir()
    words = [sys.executable, "-m", "collectors", "watch", str(tmp_path / "log"), "--sample-seconds", "1"]
    words += ["--server", f"http://127.0.0.1:{service.port}", "--state-dir", str(tmp_path / "state")]
    words += ["--sample-from", f"http://127.0.0.1:{exporter.server_port}"]
    collector = subprocess.Popen(words, env=environment() | {"LOGSVC_TOKEN": service.token})
    try:
        wait_until(lambda: all(asked(service, f"/jobs/{job}/utilization").get("series") for job in jobs))
        for job, task, device, use in ((jobs[0], "worker-3", "0", 10), (jobs[1], "worker-0", "1", 20)):
            means = asked(service, f"/jobs/{job}/utilization")["means"]
            assert [(card["task"], card["device"], card["mean_percent"]) for card in means["devices"]] == [
                (task, device, use)
            ]
        (sampler,) = (one for one in asked(service, f"/jobs/{jobs[1]}")["samplers"] if one["name"] == "exporter")
        assert (sampler["state"], sampler["reason"]) == ("ok", "cards of other pods: 2")
    finally:
        collector.send_signal(signal.SIGTERM)
        collector.wait(30)
        exporter.shutdown()
        exporter.server_close()

"""`run` samples cards, processes and mounts beside a real service: killed, away, back; tools that garble and fail."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from collectors.status import ask
from processes import Client, ServiceProcess, wait_until

HEAD = "index, uuid, utilization.gpu [%], memory.used [MiB], memory.total [MiB], power.draw [W], temperature.gpu"
# Card 0 says how often it was asked; card 1 is always at 50 %. `mode` says what goes wrong.
SMI = f"""\
#!/bin/sh
cd {{folder}}
case "$1" in --query-compute-apps=*) echo 'gpu_uuid, pid'; exit ;; esac
case "$(cat mode)" in
  garbled) echo 'Auslastung 5 Prozent'; exit ;;
  failing) echo 'Unable to determine the device handle: GPU is lost' >&2; exit 15 ;;
esac
n=$(($(cat count) + 1)); echo $n > count.new; mv count.new count
echo '{HEAD}'
echo "0, GPU-a, $n %, 100 MiB, 80000 MiB, 300.00 W, 60"
echo "1, GPU-b, 50 %, 100 MiB, 80000 MiB, 300.00 W, 60"
"""
# Waits for its end, and writes a little.
TRAINING = """
import pathlib, sys, time
folder = pathlib.Path(sys.argv[1])
while not (folder / "stop").exists():
    (folder / "data").write_bytes(b"x" * 1000)
    time.sleep(0.05)
"""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    started = ServiceProcess(tmp_path_factory.mktemp("service") / "data").start()
    yield started
    started.stop()


class Node:
    """A folder with `nvidia-smi` and a training in it, and the collector that runs it."""

    def __init__(self, folder: Path, job: str, service: ServiceProcess, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.job, self.service = folder, job, service
        (folder / "nvidia-smi").write_text(SMI.format(folder=folder))
        (folder / "nvidia-smi").chmod(0o755)
        (folder / "train.py").write_text(TRAINING)
        (folder / "count").write_text("0")
        self.mode("garbled")
        monkeypatch.setenv("PATH", str(folder), prepend=":")
        monkeypatch.setenv("LOGSVC_TOKEN", service.token)
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        words = [sys.executable, "-m", "collectors", "run", "--job", job, "--name", "a training"]
        words += ["--server", f"http://127.0.0.1:{service.port}", "--state-dir", str(folder / "state")]
        words += ["--sample-seconds", "1", "--", sys.executable, str(folder / "train.py"), str(folder)]
        self.process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    def mode(self, mode: str) -> None:
        (self.folder / "mode").write_text(mode)

    @property
    def count(self) -> int:
        return int((self.folder / "count").read_text())

    def stop(self) -> str:
        """End the training; what the collector said."""
        (self.folder / "stop").touch()
        _, said = self.process.communicate(timeout=60)
        assert self.process.returncode == 0, said
        return said

    def get(self, path: str = "", **query: Any) -> Any:
        """Of the job; None while there is none."""
        client: Client = self.service.client()
        try:
            answer = client.ask("GET", f"/jobs/{self.job}{path}", **query)
            return answer.json if answer.status == 200 else None
        finally:
            client.close()

    def devices(self) -> dict[str, dict[str, Any]]:
        found = self.get("/utilization") or {"means": {"devices": []}}
        return {device["device"]: device for device in found["means"]["devices"]}

    def sampler(self, name: str) -> str:
        job = self.get() or {"samplers": []}
        return next((entry["state"] for entry in job["samplers"] if entry["name"] == name), "")

    def report(self) -> dict[str, Any]:
        """What the collector itself says."""
        reports = ask(self.folder / "state")
        return reports[0]["sampling"] if reports else {}


@pytest.fixture
def node(tmp_path: Path, service: ServiceProcess, monkeypatch: pytest.MonkeyPatch) -> Iterator[Node]:
    made = Node(tmp_path, "sampling-run", service, monkeypatch)
    yield made
    if made.process.poll() is None:
        (tmp_path / "stop").touch()
        made.process.kill()
    made.process.communicate()


def test_a_run_is_sampled_whatever_its_tool_and_the_service_do(node: Node, service: ServiceProcess) -> None:
    """Garble is told and not guessed; while the service is killed nothing is lost; a card that fails is never 0."""
    wait_until(lambda: node.sampler("nvidia") == "failed")
    (said,) = [entry for entry in node.report()["samplers"] if entry["name"] == "nvidia"]
    assert said["reason"] == "nvidia-smi answers without a column index: 'Auslastung 5 Prozent'"
    known = node.get()
    assert node.devices() == {} and known["utilization_state"] == "no_data"
    # Its start was told before its first sample: the job is the collector's own.
    assert (known["status"], known["name"]) == ("running", "a training")

    node.mode("")
    wait_until(lambda: len(node.devices()) == 2 and node.sampler("mounts") == node.sampler("host") == "ok")
    assert node.get()["utilization_state"] == "measured"

    service.kill()
    before = node.count
    wait_until(lambda: node.count >= before + 2 and (node.report().get("readings_waiting") or 0) > 0)
    assert node.report()["problem"]
    service.start()
    node.mode("failing")
    wait_until(lambda: node.sampler("nvidia") == "failed")
    said = node.stop()
    assert "sampler nvidia failed: nvidia-smi: exit status 15: Unable to determine" in said and "not sent" not in said

    # Each answer once: 2 + 3 + … + n. The first was for the sampler alone, to see whether it is understood.
    first, second = node.devices()["0"], node.devices()["1"]
    assert first["readings"] == node.count - 1
    assert first["mean_percent"] == pytest.approx((2 + node.count) / 2)
    assert (second["readings"], second["mean_percent"]) == (first["readings"], 50.0)
    assert node.get()["status"] == "succeeded"

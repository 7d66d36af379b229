"""`run` samples cards, processes and mounts beside a real service: killed, away, back; tools that garble and fail."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from collectors.status import ask
from processes import Client, ServiceProcess, wait_until

EIGHT_CARDS = (
    Path(__file__).resolve().parents[1] / "samples/accelerators/npu-smi/info-910B4-24.1.rc3-busy-processes.txt"
)
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


class Taker(BaseHTTPRequestHandler):
    """Takes samples, and knows no job."""

    protocol_version = "HTTP/1.1"
    bodies: list[dict[str, Any]] = []

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert self.path == "/api/v1/samples"
        self.bodies.append(body)
        self.send_response(204)
        self.end_headers()

    def do_GET(self) -> None:
        answer = json.dumps({"error": {"code": "not_found", "message": "no such job", "detail": {}}}).encode()
        self.send_response(404)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        pass


def test_a_watch_gives_each_job_of_a_node_its_cards_and_processes(tmp_path: Path) -> None:
    """Two jobs on eight cards, told apart by the environment of their processes; the log files are of neither."""
    (tmp_path / "npu-smi").write_text(f"#!/bin/sh\nexec cat '{EIGHT_CARDS}'\n")
    (tmp_path / "npu-smi").chmod(0o755)
    (tmp_path / "logs").mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Taker)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    jobs = {"sampling-watch-a": "0,1", "sampling-watch-b": "6"}
    names = ("MA_VJ_NAME", "VC_TASK_INDEX", "LOGSVC_TOKEN", "LOGSVC_TOKEN_FILE")
    environment = {name: value for name, value in os.environ.items() if name not in names}
    environment["PATH"] = f"{tmp_path}:{environment['PATH']}"
    trainings = [
        subprocess.Popen(
            ["sleep", "3600"],
            env={**environment, "MA_VJ_NAME": job, "VC_TASK_INDEX": "3", "ASCEND_RT_VISIBLE_DEVICES": cards},
        )
        for job, cards in jobs.items()
    ]
    words = [
        sys.executable,
        "-m",
        "collectors",
        "watch",
        str(tmp_path / "logs"),
        "--state-dir",
        str(tmp_path / "state"),
    ]
    words += ["--server", f"http://127.0.0.1:{server.server_port}", "--sample-seconds", "1"]
    collector = subprocess.Popen(words, env=environment, stderr=subprocess.DEVNULL)
    try:
        # The cards were there first, and whose they were was not known yet.
        wait_until(
            lambda: {body["job"] for body in Taker.bodies if "samples" in body and "process_io" in body} >= {*jobs}
        )
    finally:
        for process in (collector, *trainings):
            process.terminate()
        for process in (collector, *trainings):
            process.wait(30)
        server.shutdown()
        server.server_close()
    for training, (job, cards) in zip(trainings, jobs.items(), strict=True):
        bodies = [body for body in Taker.bodies if body["job"] == job]
        assert {body["task"] for body in bodies} == {"worker-3"}
        devices = {card["device"] for body in bodies for card in body.get("samples", ())}
        assert devices == set(cards.split(","))
        assert {entry["pid"] for body in bodies for entry in body.get("process_io", ())} == {training.pid}

"""Starts service, collectors and workers as processes of their own, and ends them all again."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from pathlib import Path
from types import FrameType
from urllib.parse import parse_qs, urlsplit

from collectors.client import Client, Refused, Unavailable
from collectors.settings import Settings
from logsvc.demo.cards import Cards
from logsvc.demo.training import make_shards

USUAL_PORT = 8600
READY_SECONDS = 60.0  # for the service's `viewer:` line
END_SECONDS = 10.0  # for a child to end by itself
POLL_SECONDS = 0.1
SERVICE_SETTINGS = {  # of a job that lasts a minute, and of which nothing is kept for good
    "LOGSVC_RECENT_WINDOW_MINUTES": "0.5",
    "LOGSVC_FINDINGS_INTERVAL_SECONDS": "5",
    "LOGSVC_CHECKPOINT_NEAR_SECONDS": "1",  # checkpoints are ten seconds apart
    "LOGSVC_REQUIRE_ARCHIVE_FOR_ASCEND": "false",
}
FOREIGN_VARIABLES = (  # of this machine's own jobs: where their logs go, which cards they may see
    *("LOGSVC_TOKEN_FILE", "LOGSVC_SERVER", "MA_LOG_DIR", "ASCEND_PROCESS_LOG_PATH", "GLOG_log_dir"),
    *("NVIDIA_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES", "ASCEND_VISIBLE_DEVICES", "ASCEND_RT_VISIBLE_DEVICES"),
)
PACE_VARIABLE = "LOGSVC_DEMO_PACE"  # 1: for people, about 75 s; less: faster


def run(port: int | None, seconds: float | None, data_dir: Path | None) -> int:
    """
    Show everything once.

    Args:
        port: of the service; None: 8600, or a free one where that is taken.
        seconds: the demo ends so long after its `viewer:` line; None: when it is interrupted.
        data_dir: where the data stays; None: a temporary folder that is removed.

    Returns:
        Exit status: 0 ended as asked, 2 the service did not start or ended early.
    """
    work = Path(tempfile.mkdtemp(prefix="logsvc-demo-"))
    show = _Show(work, data_dir or work / "data")
    stop = threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        stop.set()

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        url = show.start_service(port, stop)
        if url is None:
            return 0 if stop.is_set() else 2
        _say_viewer(url)
        began = time.monotonic()
        show.start_training(url)
        while not stop.wait(POLL_SECONDS):
            if seconds is not None and time.monotonic() - began >= seconds:
                break
            if not show.check():
                return 2
        return 0
    finally:
        show.end()
        shutil.rmtree(work, ignore_errors=True)
        for number, handler in before.items():
            signal.signal(number, handler)


class _Show:
    """The demo's processes."""

    def __init__(self, work: Path, data_dir: Path) -> None:
        self._work, self._data_dir = work, data_dir
        self._service: subprocess.Popen[str] | None = None
        self._watch: subprocess.Popen[bytes] | None = None
        self._workers: dict[str, subprocess.Popen[bytes]] = {}
        self._ended: set[str] = set()
        root = str(Path(__file__).resolve().parents[2])
        path = os.pathsep.join(part for part in (root, os.environ.get("PYTHONPATH", "")) if part)
        self._environment = {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}
        for name in FOREIGN_VARIABLES:
            self._environment.pop(name, None)

    def start_service(self, port: int | None, stop: threading.Event) -> str | None:
        """The viewer's URL, once the service is ready; None where it does not come up."""
        errors = self._work / "service.txt"
        command = ["-m", "logsvc", "serve", "--port", str(port or _free_port()), "--data-dir", str(self._data_dir)]
        with errors.open("wb") as file:
            service = subprocess.Popen(
                [sys.executable, *command],
                env={**self._environment, **SERVICE_SETTINGS},
                stdout=subprocess.PIPE,
                stderr=file,
                stdin=subprocess.DEVNULL,
                text=True,
                start_new_session=True,
            )
        self._service = service
        found: list[str] = []
        ready = threading.Event()
        threading.Thread(target=_read_viewer, args=(service, found, ready), daemon=True).start()
        deadline = time.monotonic() + READY_SECONDS
        while not ready.wait(POLL_SECONDS) and not stop.is_set() and time.monotonic() < deadline:
            pass
        if found:
            return found[0]
        if not stop.is_set():
            said = errors.read_text("utf-8", "replace").strip().splitlines() or ["no answer"]
            _say(f"the service did not start: {said[-1]}")
        return None

    def start_training(self, url: str) -> None:
        """The job's data, its collectors and its two workers."""
        parts = urlsplit(url)
        server, token = f"{parts.scheme}://{parts.netloc}", parse_qs(parts.query)["token"][0]
        self._environment.update(LOGSVC_TOKEN=token, LOGSVC_SERVER=server)
        job = str(uuid.uuid4())
        shards, logs = self._work / "shards", self._work / "log"
        shards.mkdir()
        logs.mkdir()
        make_shards(shards)
        self._describe(job, server, token)
        collector = [sys.executable, "-m", "collectors"]
        state = ["--state-dir", str(self._work / "state")]
        watch = [*collector, "watch", str(logs), "--job", job, "--server", server, *state, "--sample-seconds", "0"]
        self._watch = self._start(watch)
        pace = os.environ.get(PACE_VARIABLE) or "1"
        for rank in (0, 1):
            task = f"worker-{rank}"
            training = [sys.executable, "-m", "logsvc.demo.training", "--job", job, "--rank", str(rank)]
            cards = self._work / f"cards-{rank}.jsonl"
            Cards(cards, rank).begin()
            training += ["--folder", str(shards), "--log-dir", str(logs), "--cards", str(cards), "--pace", pace]
            runner = [*collector, "run", "--job", job, "--task", task, "--server", server, *state, "--set-status"]
            runner += ["--sample-from", str(cards), "--sample-seconds", "1"]
            self._workers[task] = self._start([*runner, "--", *training])
        _say(f"training job {job} runs on two workers; its logs are in the viewer")

    def check(self) -> bool:
        """Say which workers have ended; False where the service is gone."""
        for task, worker in self._workers.items():
            if worker.poll() is not None and task not in self._ended:
                self._ended.add(task)
                _say(f"{task} ended with exit status {worker.returncode}")
                if len(self._ended) == len(self._workers):
                    _say("the job has ended; the service stays up to be looked at (Ctrl+C ends the demo)")
        if self._service is not None and self._service.poll() is not None:
            _say(f"the service ended with exit status {self._service.returncode}")
            return False
        return True

    def end(self) -> None:
        """End everything, senders before the service; may be called twice."""
        _end(list(self._workers.values()))
        _end([self._watch] if self._watch else [])
        _end([self._service] if self._service else [])

    def _start(self, command: list[str]) -> subprocess.Popen[bytes]:
        with (self._work / "collectors.txt").open("ab") as file:
            return subprocess.Popen(
                command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=file,
                start_new_session=True,
            )

    @staticmethod
    def _describe(job: str, server: str, token: str) -> None:
        client = Client(Settings(server=server, token=token))
        fields = {
            "name": "digits-perceptron",
            "type": "training",
            "algorithm": "two-layer perceptron",
            "engine": "NumPy",
            "accelerator": "ascend",
            "task_count": 2,
            "status": "pending",
        }
        try:
            client.put_job(job, fields)
        except (Refused, Unavailable) as exc:
            _say(f"the job could not be described: {exc}")
        finally:
            client.close()


def _read_viewer(service: subprocess.Popen[str], found: list[str], ready: threading.Event) -> None:
    """The URL from the service's output; the rest is read so that it never waits."""
    assert service.stdout is not None
    for line in service.stdout:
        if line.startswith("viewer: ") and not found:
            found.append(line[len("viewer: ") :].strip())
            ready.set()
    ready.set()


def _end(processes: list[subprocess.Popen[bytes]] | list[subprocess.Popen[str]]) -> None:
    for process in processes:
        if process.poll() is None:
            process.terminate()
    deadline = time.monotonic() + END_SECONDS
    for process in processes:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _free_port() -> int:
    for port in (USUAL_PORT, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    return USUAL_PORT


def _say_viewer(url: str) -> None:
    sys.stdout.write(f"viewer: {url}\n")
    sys.stdout.flush()


def _say(text: str) -> None:
    sys.stderr.write(f"demo: {text}\n")
    sys.stderr.flush()

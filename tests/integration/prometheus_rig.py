"""Real Prometheus and Alertmanager on loopback, for tests: started, asked, ended."""

from __future__ import annotations

import http.server
import json
import subprocess
import threading
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import yaml

from processes import free_port, wait_until

ROOT = Path(__file__).resolve().parents[2]
UNPACKED = ROOT / "build" / "prometheus"  # by `make prometheus`, which `make test` calls
PROGRAMS = UNPACKED / "bin"
DASHBOARDS = ROOT / "dashboards"
START_SECONDS = 60.0


def promtool(*words: str | Path, given: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    """Run promtool; its words and its status."""
    return subprocess.run([PROGRAMS / "promtool", *words], input=given, capture_output=True, timeout=60, check=False)


class Prometheus:
    """
    A server with a data folder of its own.

    Args:
        targets: job name -> {address: token or ""}.
        rules: files of rules.
        alertmanager: port of one.
    """

    def __init__(
        self,
        folder: Path,
        targets: dict[str, dict[str, str]],
        rules: list[Path],
        *,
        alertmanager: int | None = None,
    ) -> None:
        self.port = free_port()
        scrapes = [
            {
                "job_name": name,
                "static_configs": [{"targets": [address]}],
                **({"authorization": {"credentials": token}} if token else {}),
            }
            for name, held in targets.items()
            for address, token in held.items()
        ]
        config: dict[str, Any] = {
            "global": {"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "500ms"},
            "rule_files": [str(path) for path in rules],
            "scrape_configs": scrapes,
        }
        if alertmanager:
            config["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": [f"127.0.0.1:{alertmanager}"]}]}]}
        file = folder / "prometheus.yml"
        file.write_text(yaml.safe_dump(config))
        checked = promtool("check", "config", file)
        assert checked.returncode == 0, checked.stdout + checked.stderr
        self._process = _Process(
            folder / "prometheus.log",
            PROGRAMS / "prometheus",
            f"--config.file={file}",
            f"--storage.tsdb.path={folder / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
        )
        self._process.wait(f"http://127.0.0.1:{self.port}/-/ready")

    def ask(self, path: str, **parameters: str) -> Any:
        """`data` of an answer of its API; fails with what Prometheus says."""
        address = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(address, timeout=30) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{parameters}: {error.read().decode()}") from error

    def rows(self, expr: str) -> list[dict[str, Any]]:
        """What a query answers now: [{metric, value}]."""
        found: list[dict[str, Any]] = self.ask("query", query=expr)["result"]
        return found

    def close(self) -> None:
        self._process.close()


class Alertmanager:
    """One that hands everything to a receiver of the test at once."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.received: list[dict[str, Any]] = []
        self._receiver = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _receiver(self.received))
        threading.Thread(target=self._receiver.serve_forever, daemon=True).start()
        hook = {"url": f"http://127.0.0.1:{self._receiver.server_port}/", "send_resolved": True}
        route = {"receiver": "test", "group_by": ["..."], "group_wait": "0s", "group_interval": "1s"}
        file = folder / "alertmanager.yml"
        file.write_text(yaml.safe_dump({"route": route, "receivers": [{"name": "test", "webhook_configs": [hook]}]}))
        self._process = _Process(
            folder / "alertmanager.log",
            PROGRAMS / "prometheus-alertmanager",
            f"--config.file={file}",
            f"--storage.path={folder / 'alertmanager'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--cluster.listen-address=",
        )
        self._process.wait(f"http://127.0.0.1:{self.port}/-/ready")

    def told(self, alert: str, status: str) -> list[dict[str, Any]]:
        """Alerts of this name and status that the receiver got."""
        return [
            one
            for message in list(self.received)
            for one in message["alerts"]
            if one["labels"]["alertname"] == alert and one["status"] == status
        ]

    def close(self) -> None:
        self._process.close()
        self._receiver.shutdown()
        self._receiver.server_close()


class _Process:
    def __init__(self, log: Path, program: Path, *words: str) -> None:
        self._log = log
        with log.open("wb") as out:
            self._process = subprocess.Popen([program, *words], stdout=out, stderr=out, cwd=UNPACKED)

    def wait(self, address: str) -> None:
        def ready() -> bool:
            assert self._process.poll() is None, self._log.read_text()[-2000:]
            try:
                with urllib.request.urlopen(address, timeout=5) as answer:
                    return bool(answer.status == 200)
            except OSError:
                return False

        try:
            wait_until(ready, START_SECONDS)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


def _receiver(received: list[dict[str, Any]]) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            """Silent."""

    return Handler

"""Alerts, recording rules and dashboards before a real Prometheus that scrapes the real service and a collector."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from integration.prometheus_rig import DASHBOARDS, ROOT, Alertmanager, Prometheus, promtool
from processes import ServiceProcess, free_port, wait_until

JOB, DONE = "prometheus-low", "prometheus-done"
ALERTS = DASHBOARDS / "alerts" / "prometheus.yml"
RECORDING = DASHBOARDS / "recording" / "compatibility.yml"
BOARDS = sorted((DASHBOARDS / "grafana").glob("*.json"))
# What Grafana would put in, for a test that has scraped for seconds.
INTERPOLATED = {"$__range": "1m", "$__rate_interval": "10s", "$job_id": JOB, '=~"$task"': '=~".*"'}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """A service with a job of a GPU and an NPU that idle, made an hour ago, and one that was refused a chunk."""
    service = ServiceProcess(tmp_path_factory.mktemp("service") / "data").start()
    hour_ago = datetime.fromtimestamp(time.time() - 3600, UTC).isoformat()
    client = service.client()
    described = {"name": "bert", "owner": "ana", "accelerator": "nvidia", "status": "running", "created_at": hour_ago}
    assert client.ask("PUT", f"/jobs/{JOB}", json.dumps(described).encode()).status == 200
    _send_samples(service)
    path = f"modelarts-job-{JOB}-worker-0.log"
    assert client.chunk(b"epoch 1\n", offset=0, job=JOB, task="worker-0", path=path).status == 200
    assert client.chunk(b"far\n", offset=999, job=JOB, task="worker-0", path=path).status == 409
    client.close()
    yield service
    service.stop()


@pytest.fixture(scope="module")
def collector(service: ServiceProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Port of the metrics of a collector that follows an empty folder and samples from a file."""
    folder = tmp_path_factory.mktemp("collector")
    port = free_port()
    readings = folder / "readings.jsonl"
    readings.write_text('{"at": 0, "device": 0, "kind": "npu", "utilization_percent": 1}\n')
    command = [sys.executable, "-m", "collectors", "watch", str(folder), "--server", f"http://127.0.0.1:{service.port}"]
    command += ["--job", "prometheus-collector", "--task", "worker-0", "--state-dir", str(folder / "state")]
    command += ["--metrics-port", str(port), "--sample-from", str(readings), "--sample-seconds", "1"]
    token = folder / "token"
    token.write_text(service.token)
    process = subprocess.Popen([*command, "--token-file", str(token)], stderr=subprocess.DEVNULL)
    yield port
    process.kill()
    process.wait()


@pytest.fixture(scope="module")
def scraped(
    service: ServiceProcess, collector: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Prometheus, Alertmanager]]:
    """Prometheus with the rules as they lie, but for shorter waits, and an Alertmanager behind it."""
    folder = tmp_path_factory.mktemp("prometheus")
    rules = []
    for path in (ALERTS, RECORDING):
        held = yaml.safe_load(path.read_text())
        for group in held["groups"]:
            group["interval"] = "500ms"
            for rule in group["rules"]:
                if "for" in rule:
                    rule["for"] = "3s"
        rules.append(folder / f"{path.stem}-rules.yml")
        rules[-1].write_text(yaml.safe_dump(held))
    alertmanager = Alertmanager(folder)
    targets = {
        "logsvc": {f"127.0.0.1:{service.port}": service.token},
        "collectors": {f"127.0.0.1:{collector}": ""},
    }
    prometheus = Prometheus(folder, targets, rules, alertmanager=alertmanager.port)
    yield prometheus, alertmanager
    prometheus.close()
    alertmanager.close()


def test_files_are_what_their_tool_writes() -> None:
    """Boards and Grafana's alerts are made from one description; nobody edits one of them alone."""
    environment = {
        name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"
    }  # it has a module beside
    command = [sys.executable, ROOT / "tools" / "dashboards.py", "--check"]
    checked = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert (checked.returncode, checked.stdout) == (0, ""), checked.stderr


def test_promtool_finds_nothing_in_rules_and_metrics(service: ServiceProcess) -> None:
    for path in (ALERTS, RECORDING):
        checked = promtool("check", "rules", path)
        assert checked.returncode == 0, checked.stderr
    page = _metrics(service)
    assert f'logsvc_job_low_utilization{{job_id="{JOB}"}} 1.0' in page
    checked = promtool("check", "metrics", given=page.encode())
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


def test_each_alert_fires_when_it_should_and_only_then(tmp_path: Path) -> None:
    cases = ROOT / "tests" / "samples" / "alerts_test.yml"
    shutil.copy(ALERTS, tmp_path)
    shutil.copy(cases, tmp_path)
    tested = promtool("test", "rules", tmp_path / cases.name)
    assert tested.returncode == 0, tested.stderr.decode()

    expected = {
        (one["alertname"], bool(one["exp_alerts"]))
        for case in yaml.safe_load(cases.read_text())["tests"]
        for one in case["alert_rule_test"]
    }
    alerts = [rule["alert"] for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]
    assert expected == {(alert, fires) for alert in alerts for fires in (True, False)}


@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.stem)
def test_a_board_is_importable_as_it_lies(path: Path) -> None:
    board = json.loads(path.read_text())
    assert board["schemaVersion"] == 39 and "id" not in board
    assert re.fullmatch(r"[a-z]+", board["uid"])
    names = {one["name"] for one in board["templating"]["list"]}
    text = path.read_text()
    assert {"datasource"} <= names
    for name in set(re.findall(r"\$\{?([a-z]\w*)\b", text)):
        assert name in names, f"${name} is no variable of {path.name}"
    for panel in board["panels"]:
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"} and panel["targets"]
    cells = [
        (x, y)
        for panel in board["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells)) and max(x for x, _ in cells) < 24


def test_grafana_has_the_same_alerts() -> None:
    ours = {rule["alert"]: rule for group in _groups(ALERTS) for rule in group["rules"]}
    boards = {board["uid"]: {panel["id"] for panel in board["panels"]} for board in map(_json, BOARDS)}
    theirs = [rule for group in _groups(DASHBOARDS / "alerts" / "grafana.yml") for rule in group["rules"]]
    assert [rule["title"] for rule in theirs] == list(ours)
    for rule in theirs:
        same = ours[rule["title"]]
        words = rule["annotations"]
        assert (rule["noDataState"], rule["execErrState"], rule["for"]) == ("OK", "Error", same.get("for", "0s"))
        assert rule["data"][0]["model"]["expr"].split() == same["expr"].split()
        assert re.fullmatch(r"[a-z]+", rule["uid"]) and rule["labels"] == same["labels"]
        assert "$$" not in words["summary"] + words["description"]
        assert int(words["__panelId__"]) in boards[words["__dashboardUid__"]]


def test_every_query_is_answered(service: ServiceProcess, scraped: tuple[Prometheus, Alertmanager]) -> None:
    """Each panel, annotation, variable, Grafana rule and recording rule, against what the service really says."""
    prometheus, _ = scraped
    recorded = [rule["record"] for group in _groups(RECORDING) for rule in group["rules"]]
    asked = {f"recording {name}": name for name in recorded}
    for board in map(_json, BOARDS):
        for panel in board["panels"]:
            asked |= {f"{board['uid']} {panel['title']} {one['refId']}": one["expr"] for one in panel["targets"]}
        asked |= {f"{board['uid']} {one['name']}": one["expr"] for one in board["annotations"]["list"]}
        for one in board["templating"]["list"]:
            if one["type"] == "query":
                selector = re.fullmatch(r"label_values\((.*), (\w+)\)", one["query"]["query"])
                assert selector
                asked[f"{board['uid']} ${one['name']}"] = f"count by ({selector[2]}) ({selector[1]})"
    for group in _groups(DASHBOARDS / "alerts" / "grafana.yml"):
        asked |= {rule["title"]: rule["data"][0]["model"]["expr"] for rule in group["rules"]}
    silent = {name: _interpolated(expr) for name, expr in asked.items()}

    healthy = {
        # Nothing is wrong with this service, and nothing hangs.
        "LogsvcJobHung", "LogsvcCollectorBehind", "LogsvcIngestFailing", "LogsvcStoreNearlyFull", "logsvcjob Hung",
        "logsvcfleet Jobs that are low or hang B",
    }  # fmt: skip

    def all_answered() -> bool:
        _send_samples(service)
        for name, expr in list(silent.items()):
            if prometheus.rows(expr):
                del silent[name]
        return set(silent) <= healthy

    try:
        wait_until(all_answered, 60)
    except AssertionError:
        raise AssertionError({name: expr for name, expr in silent.items() if name not in healthy}) from None
    node = f"{JOB}/worker-0"
    used = prometheus.rows(f'npu_chip_info_hbm_used_memory{{instance="{node}",id="1",vdie_id="{node}/1"}}')
    assert prometheus.rows(f'DCGM_FI_DEV_GPU_UTIL{{instance="{node}",gpu="0",UUID="{node}/0"}}')
    assert [row["value"][1] for row in used] == ["2048"]


def test_an_alert_waits_fires_and_is_resolved(
    service: ServiceProcess, scraped: tuple[Prometheus, Alertmanager]
) -> None:
    prometheus, alertmanager = scraped
    alert = "LogsvcLowUtilization"
    client = service.client()
    made = datetime.fromtimestamp(time.time() - 3600, UTC).isoformat()
    described = {"name": "llama", "owner": "bo", "accelerator": "ascend", "archive_url": "s3://b/p", "created_at": made}
    assert client.ask("PUT", f"/jobs/{DONE}", json.dumps(described).encode()).status == 200
    _send_samples(service, DONE)

    def state() -> str:
        states = {one["state"] for one in prometheus.ask("alerts")["alerts"] if one["labels"].get("job_id") == DONE}
        return min(states, default="")

    wait_until(lambda: state() == "pending", 60)
    wait_until(lambda: state() == "firing", 60)
    wait_until(lambda: any(one["labels"]["job_id"] == DONE for one in alertmanager.told(alert, "firing")), 60)
    [told] = [one for one in alertmanager.told(alert, "firing") if one["labels"]["job_id"] == DONE][:1]
    assert told["annotations"]["summary"] == "Job llama of bo leaves its cards idle"
    assert "averaged 12.5%" in told["annotations"]["description"]

    assert client.ask("PUT", f"/jobs/{DONE}", b'{"status": "succeeded"}').status == 200
    wait_until(lambda: any(one["labels"]["job_id"] == DONE for one in alertmanager.told(alert, "resolved")), 60)
    client.close()


def _send_samples(service: ServiceProcess, job: str = JOB) -> None:
    now = datetime.now(UTC).isoformat()
    card = {"at": now, "memory_used_bytes": 2 << 30, "memory_total_bytes": 32 << 30, "power_watts": 91.5}
    samples = [
        {**card, "device": 0, "kind": "gpu", "utilization_percent": 5, "temperature_celsius": 41, "process_count": 1},
        {**card, "device": 1, "kind": "npu", "utilization_percent": 20, "temperature_celsius": 42, "process_count": 1},
    ]
    body = {
        "job": job,
        "task": "worker-0",
        "samples": samples,
        "process_io": [{"at": now, "pid": 7, "read_bytes": 1, "write_bytes": 1}],
        "host": [{"at": now, "cpu_percent": 40, "memory_used_bytes": 1 << 30, "memory_total_bytes": 8 << 30}],
        "mounts": [{"at": now, "path": "/cache", "used_bytes": 10, "total_bytes": 100, "read_only": False}],
    }
    client = service.client()
    answer = client.ask("POST", "/samples", json.dumps(body).encode())
    client.close()
    assert answer.status == 204, answer.body


def _metrics(service: ServiceProcess) -> str:
    request = urllib.request.Request(
        f"http://127.0.0.1:{service.port}/metrics", headers={"Authorization": f"Bearer {service.token}"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return str(answer.read().decode())


def _interpolated(expr: str) -> str:
    for name, value in INTERPOLATED.items():
        expr = expr.replace(name, value)
    assert "$" not in expr, expr
    return expr


def _groups(path: Path) -> list[dict[str, Any]]:
    groups: list[dict[str, Any]] = yaml.safe_load(path.read_text())["groups"]
    return groups


def _json(path: Path) -> dict[str, Any]:
    board: dict[str, Any] = json.loads(path.read_text())
    return board

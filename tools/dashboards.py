"""Writes dashboards/: three boards, and the alerts of `prometheus.yml` in Grafana's own form. `--check` compares only.

A board is a table of panels here: what it asks, in which unit, and where it stands. Everything that
Grafana wants besides is the same for all of them.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import yaml
from panels import annotation, board, chart, instant, link, panel, query, stat, table, textbox, values

ROOT = Path(__file__).resolve().parents[1]
BOARDS = ROOT / "dashboards" / "grafana"
ALERTS = ROOT / "dashboards" / "alerts"
DATASOURCE_UID = "logsvcprometheus"  # as in provisioning/datasources/logsvc.yml, and what `grafana push` makes
AS_JOB = "* on (instance, job_id) group_left (name, owner) logsvc_job_info"
# Jobs that have ended within the range count too: their description is the last that was seen.
OWNERS = (
    "on (instance, job_id) group_left (owner) "
    "max by (instance, job_id, owner) (max_over_time(logsvc_job_info[$__range]))"
)
IDLE = "increase(logsvc_job_idle_card_seconds_total[$__range])"
CARDS = 'logsvc_job_accelerator_%s{job_id="$job_id",task=~"$task"}'
# Alert -> the board and the panel that show it.
SHOWN_IN = {
    "LogsvcLowUtilization": ("logsvcfleet", "Jobs, the idlest first"),
    "LogsvcJobHung": ("logsvcfleet", "Jobs that are low or hang"),
    "LogsvcCollectorBehind": ("logsvcservice", "Collectors: not sent yet"),
    "LogsvcIngestFailing": ("logsvcservice", "Refused, by reason"),
    "LogsvcStoreNearlyFull": ("logsvcservice", "Disk of the store"),
}


def main(arguments: list[str]) -> int:
    """Exit status: 1 where a file is not what it should be, with `--check`."""
    boards = {"fleet": fleet(), "job": job(), "service": service()}
    files = {
        BOARDS / f"{name}.json": json.dumps(board, indent=2, ensure_ascii=False) + "\n"
        for name, board in boards.items()
    }
    files[ALERTS / "grafana.yml"] = grafana_alerts({board["uid"]: board for board in boards.values()})
    stale = [path for path, text in files.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    if "--check" in arguments:
        for path in stale:
            print(f"{path.relative_to(ROOT)} is not what tools/dashboards.py writes; run `make dashboards`")
        return bool(stale)
    for path in stale:
        path.write_text(files[path], encoding="utf-8")
        print(f"wrote {path.relative_to(ROOT)}")
    return 0


def fleet() -> dict[str, Any]:
    """Who wastes what."""
    columns = {"job_id": "Job ID", "name": "Name", "owner": "Owner"}
    return board(
        "logsvcfleet",
        "logsvc: fleet",
        [
            stat("Jobs that run", 4, 'sum(logsvc_jobs{status="running"})'),
            stat("Low utilization", 4, "count(logsvc_job_low_utilization == 1) or vector(0)", warn=1),
            stat("Hung", 4, "count(logsvc_job_hung == 1) or vector(0)", alarm=1),
            stat("Cards measured", 4, "count(logsvc_job_accelerator_utilization_ratio) or vector(0)"),
            stat("Mean utilization now", 4, "avg(logsvc_job_accelerator_utilization_ratio)", unit="percentunit"),
            stat(
                "Card-hours idle in this range",
                4,
                f"sum({IDLE}) / 3600",
                unit="h",
            ),
            panel(
                "bargauge",
                "Card-hours idle by owner",
                8,
                9,
                [
                    instant(
                        f"sort_desc(sum by (owner) ({IDLE} * {OWNERS}) / 3600)",
                        "{{owner}}",
                    )
                ],
                unit="h",
                options={
                    "orientation": "horizontal",
                    "displayMode": "gradient",
                    "reduceOptions": {"calcs": ["lastNotNull"]},
                },
            ),
            chart(
                "Utilization by owner",
                8,
                9,
                [(f"avg by (owner) (logsvc_job_accelerator_utilization_ratio {AS_JOB})", "{{owner}}")],
                unit="percentunit",
                top=1,
            ),
            chart(
                "Share of the cards' time that was idle, by owner",
                8,
                9,
                [
                    (
                        f"sum by (owner) (rate(logsvc_job_idle_card_seconds_total[$__rate_interval]) {AS_JOB})"
                        f" / sum by (owner) (rate(logsvc_job_card_seconds_total[$__rate_interval]) {AS_JOB})",
                        "{{owner}}",
                    )
                ],
                unit="percentunit",
                top=1,
            ),
            table(
                "Jobs, the idlest first",
                14,
                10,
                [(f"sort(logsvc_job_mean_utilization_ratio {AS_JOB})", "Mean utilization", "percentunit")],
                columns,
            ),
            table(
                "Jobs that are low or hang",
                10,
                10,
                [
                    (f"(logsvc_job_low_utilization == 1) {AS_JOB}", "Low", "short"),
                    (f"(logsvc_job_hung == 1) {AS_JOB}", "Hung", "short"),
                ],
                columns,
            ),
            table(
                "Findings",
                14,
                9,
                [(f"logsvc_job_finding {AS_JOB}", "Held", "short")],
                {"finding": "Finding", **columns},
            ),
            chart(
                "Jobs that are low or hang, over time",
                10,
                9,
                [
                    ("count(logsvc_job_low_utilization == 1) or vector(0)", "low utilization"),
                    ("count(logsvc_job_hung == 1) or vector(0)", "hung"),
                ],
            ),
        ],
        [textbox("viewer", "Viewer", "http://127.0.0.1:8600")],
    )


def job() -> dict[str, Any]:
    """One job: its cards over time, beside its log."""
    card = "{{task}} card {{device}}"
    of_job = '{job_id="$job_id"}'
    return board(
        "logsvcjob",
        "logsvc: job",
        [
            stat("Mean utilization of worker-0", 5, f"logsvc_job_mean_utilization_ratio{of_job}", unit="percentunit"),
            stat("Low utilization", 4, f"logsvc_job_low_utilization{of_job}", warn=1),
            stat("Hung", 4, f"logsvc_job_hung{of_job}", alarm=1),
            stat("Card-hours idle", 5, f"logsvc_job_idle_card_seconds_total{of_job} / 3600", unit="h"),
            stat("Last sample", 6, f"time() - logsvc_job_last_sample_timestamp_seconds{of_job}", unit="s"),
            chart("Utilization of the cards", 24, 10, [(CARDS % "utilization_ratio", card)], unit="percentunit", top=1),
            chart(
                "Log lines a second", 12, 7, [(f"rate(logsvc_job_log_lines_total{of_job}[$__rate_interval])", "lines")]
            ),
            panel(
                "state-timeline",
                "Findings and stage of the hang rule",
                12,
                7,
                [
                    query(f"logsvc_job_finding{of_job}", "{{finding}}"),
                    query(f"logsvc_job_hang_stage{of_job}", "hang stage"),
                ],
                options={"mergeValues": True, "showValue": "never"},
            ),
            chart(
                "Memory of the cards",
                8,
                8,
                [(f"{CARDS % 'memory_used_bytes'} / {CARDS % 'memory_total_bytes'}", card)],
                unit="percentunit",
                top=1,
            ),
            chart("Power", 8, 8, [(CARDS % "power_watts", card)], unit="watt"),
            chart("Temperature", 8, 8, [(CARDS % "temperature_celsius", card)], unit="celsius"),
            chart(
                "CPU of the tasks",
                8,
                8,
                [('logsvc_job_cpu_ratio{job_id="$job_id",task=~"$task"}', "{{task}}")],
                unit="percentunit",
            ),
            chart(
                "Memory of the tasks",
                8,
                8,
                [('logsvc_job_memory_used_bytes{job_id="$job_id",task=~"$task"}', "{{task}}")],
                unit="bytes",
            ),
            chart(
                "Mounts, how full",
                8,
                8,
                [
                    (
                        'logsvc_job_mount_used_bytes{job_id="$job_id",task=~"$task"} / logsvc_job_mount_total_bytes',
                        "{{task}} {{mount}}",
                    )
                ],
                unit="percentunit",
                top=1,
            ),
        ],
        [
            textbox("viewer", "Viewer", "http://127.0.0.1:8600"),
            values("job_id", "Job", "label_values(logsvc_job_info, job_id)"),
            values(
                "task",
                "Task",
                'label_values(logsvc_job_accelerator_utilization_ratio{job_id="$job_id"}, task)',
                many=True,
            ),
        ],
        annotations=[
            annotation("Findings", f"logsvc_job_finding{of_job}", "{{finding}}", "orange"),
            annotation("Hung", f"logsvc_job_hung{of_job} == 1", "hung", "red"),
        ],
        links=[
            link("The logs of these minutes", "${viewer}/#job=${job_id}&from=${__from}&to=${__to}", new_tab=True),
            link("Fleet", "/d/logsvcfleet"),
        ],
        point_link=("The log at this moment", "${viewer}/#job=${job_id}&from=${__value.time}&to=${__value.time}"),
    )


def service() -> dict[str, Any]:
    """The service and its collectors."""
    per_call = "sum by (le, call) (rate(logsvc_request_duration_seconds_bucket[$__rate_interval]))"
    return board(
        "logsvcservice",
        "logsvc: service",
        [
            chart(
                "Logs taken",
                8,
                8,
                [("sum by (instance) (rate(logsvc_ingest_bytes_total[$__rate_interval]))", "{{instance}}")],
                unit="Bps",
            ),
            chart(
                "Lines a second",
                8,
                8,
                [("sum by (instance) (rate(logsvc_ingest_lines_total[$__rate_interval]))", "{{instance}}")],
            ),
            chart(
                "Refused, by reason",
                8,
                8,
                [("sum by (code) (rate(logsvc_ingest_errors_total[$__rate_interval]))", "{{code}}")],
            ),
            chart("Time of a call, p50", 8, 8, [(f"histogram_quantile(0.5, {per_call})", "{{call}}")], unit="s"),
            chart("Time of a call, p99", 8, 8, [(f"histogram_quantile(0.99, {per_call})", "{{call}}")], unit="s"),
            chart(
                "Calls a second",
                8,
                8,
                [("sum by (call) (rate(logsvc_request_duration_seconds_count[$__rate_interval]))", "{{call}}")],
            ),
            chart(
                "Disk of the store",
                8,
                8,
                [
                    ("logsvc_store_bytes", "logs, {{instance}}"),
                    ("logsvc_store_free_bytes", "free, {{instance}}"),
                    ("logsvc_store_capacity_bytes", "disk, {{instance}}"),
                ],
                unit="bytes",
            ),
            chart("Followers", 8, 8, [("logsvc_followers", "{{instance}}")]),
            chart("Samples a second", 8, 8, [("rate(logsvc_samples_total[$__rate_interval])", "{{instance}}")]),
            chart("Collectors: not sent yet", 8, 8, [("logsvc_collector_bytes_behind", "{{instance}}")], unit="bytes"),
            chart(
                "Collectors: since the service took something",
                8,
                8,
                [("time() - logsvc_collector_last_success_timestamp_seconds", "{{instance}}")],
                unit="s",
            ),
            chart(
                "Collectors: samplers that work",
                8,
                8,
                [("logsvc_collector_sampler_up", "{{instance}} {{sampler}}")],
                top=1,
            ),
            stat("Jobs left out of the metrics", 8, "sum(logsvc_metrics_jobs_left_out)", warn=1),
            stat("Version", 8, "logsvc_build_info", legend="{{version}}", text="name"),
            stat("Jobs that run", 8, 'sum(logsvc_jobs{status="running"})'),
        ],
        [],
    )


def grafana_alerts(boards: dict[str, dict[str, Any]]) -> str:
    """The groups of `prometheus.yml` as Grafana-managed rules: the same queries, words and waits."""
    groups = []
    for group in yaml.safe_load((ALERTS / "prometheus.yml").read_text(encoding="utf-8"))["groups"]:
        rules = [_grafana_rule(rule, boards) for rule in group["rules"]]
        groups.append({"orgId": 1, "name": group["name"], "folder": "logsvc", "interval": "1m", "rules": rules})
    head = (
        "# The alerts of prometheus.yml as Grafana-managed rules, for provisioning/alerting. Written by\n"
        "# tools/dashboards.py; `logsvc grafana push` sends the same.\n"
    )
    return head + yaml.safe_dump({"apiVersion": 1, "groups": groups}, sort_keys=False, width=120, allow_unicode=True)


def _grafana_rule(rule: dict[str, Any], boards: dict[str, dict[str, Any]]) -> dict[str, Any]:
    uid, title = SHOWN_IN[rule["alert"]]
    shown = next(one["id"] for one in boards[uid]["panels"] if one["title"] == title)
    # Value templates are Prometheus's own: there $value is a number, in Grafana it is a sentence.
    words = {name: text.replace("$value", "$values.A.Value") for name, text in rule["annotations"].items()}
    return {
        "uid": rule["alert"].lower(),
        "title": rule["alert"],
        "condition": "B",
        "data": [
            {
                "refId": "A",
                "relativeTimeRange": {"from": 600, "to": 0},
                "datasourceUid": DATASOURCE_UID,
                "model": {"refId": "A", "expr": " ".join(rule["expr"].split()), "instant": True, "range": False},
            },
            {
                "refId": "B",
                "relativeTimeRange": {"from": 600, "to": 0},
                "datasourceUid": "__expr__",
                # Prometheus alerts on whatever a query answers, a nought too.
                "model": {
                    "refId": "B",
                    "type": "threshold",
                    "expression": "A",
                    "conditions": [{"evaluator": {"type": "gt", "params": [-1]}}],
                },
            },
        ],
        "dashboardUid": uid,
        "panelId": shown,
        "noDataState": "OK",
        "execErrState": "Error",
        "for": rule.get("for", "0s"),
        "annotations": {**words, "__dashboardUid__": uid, "__panelId__": str(shown)},
        "labels": rule["labels"],
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

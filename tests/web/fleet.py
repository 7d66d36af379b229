"""A job of 300 logs, how Python counts in them, and what the list of hits shows."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from typing import Any

from .conftest import Page, Service

TASKS = 100
JOB = "fleet"
Logs = dict[tuple[str, str], list[str]]  # by task and kind

ROWS = """
return [...document.querySelectorAll('.hits-row')].map((row) => ({
  kind: row.className.match(/is-(job|log|hit|rest)/)[1],
  n: Number(row.querySelector('.is-match .hits-number')?.textContent ?? 0),
  lines: [...row.querySelectorAll('.hits-line')].map((line) => Number(line.querySelector('.hits-number').textContent)),
  text: row.querySelector('.is-match .hits-text')?.textContent ?? row.textContent,
  marks: [...row.querySelectorAll('mark')].map((mark) => mark.textContent),
  total: row.querySelector('.hits-total')?.textContent ?? '',
  active: row.classList.contains('is-active'),
  current: row.classList.contains('is-current'),
}))
"""


def hits(page: Page) -> list[dict[str, Any]]:
    """Rows of the list that are elements, from above."""
    return list(page.run(ROWS))


def matching(page: Page) -> list[dict[str, Any]]:
    return [row for row in hits(page) if row["kind"] == "hit"]


def summary(page: Page) -> str:
    return page.text(".hits-summary strong")


def see_summary(page: Page, words: str) -> None:
    page.until(lambda: summary(page) == words, f"never said {words!r} but {summary(page)!r}")


def path_of(kind: str, task: str) -> str:
    rank = int(task.partition("-")[2])
    if kind == "ordinary":
        return f"modelarts-job-{JOB}-{task}.log"
    if kind == "proc":
        return f"modelarts-job-{JOB}-proc-rank-{rank}-device-0.txt"
    return f"modelarts-job-{JOB}/ascend/process_log/rank_{rank}/plog/plog-{100 + rank}_20260101000000000.log"


def a_log(kind: str, rank: int) -> list[str]:
    """Lines in which what is looked for stands in some logs, in some cases, and as part of other words."""
    lines = [f"{kind} {rank} step {n}" for n in range(1, 31)]
    if rank % 3 == 0:
        lines[4] += " Heron lands"
        lines[20] += " heron, heron"
    if rank % 10 == 0:
        lines[9] = "[ModelArts Service Log] heron of the platform"
        lines[12] += " herons_everywhere"
    if kind == "plog" and rank % 25 == 0:
        lines[15] = f"[ERROR] RUNTIME(100,python):2026-01-01-00:00:00 heron lost {rank}"
    return lines


def a_fleet(service: Service) -> Logs:
    """300 logs of one job: of each task its own, one of its process, and a plog. Sent again, they stay the same."""
    logs: Logs = {}
    frames = []
    for rank in range(TASKS):
        task = f"worker-{rank}"
        for kind in ("ordinary", "proc", "plog"):
            logs[task, kind] = a_log(kind, rank)
            data = ("\n".join(logs[task, kind]) + "\n").encode()
            head = {"job": JOB, "task": task, "path": path_of(kind, task), "generation": 0, "offset": 0}
            frame = json.dumps({**head, "length": len(data), "final": True}).encode()
            frames.append(struct.pack("<I", len(frame)) + frame + data)
    service.call("POST", "/batch", b"".join(frames))
    service.describe(JOB, name="a fleet of herons")
    return logs


def oracle(logs: Logs, matches: Callable[[str], object], *, proc: bool = False) -> tuple[int, int, int]:
    """Matching lines, logs with some, logs searched."""
    searched = {name: lines for name, lines in logs.items() if proc or name[1] != "proc"}
    totals = [sum(1 for line in lines if matches(line)) for lines in searched.values()]
    return sum(totals), sum(1 for total in totals if total), len(searched)


def in_job(found: tuple[int, int, int]) -> str:
    return f"{found[0]:,} matching lines in {found[1]} of {found[2]} logs of this job"

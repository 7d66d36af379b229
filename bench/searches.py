"""Windows and searches over HTTP; every answer is held against what is true of the corpus."""

from __future__ import annotations

import random
from typing import Any

from bench.plan import MIB, Corpus, LogFile, Scale
from bench.report import Report, median, number, percentile
from bench.service import Client, Service, WrongAnswer

LINES = 500
PAGE = 100
GOALS = {"rare": 6, "infix": 25, "regex": 16, "regex_hard": 500}
CALLED = {
    "rare": "search: rare word",
    "infix": "search: infix, ignore case",
    "regex": "search: regex with literals",
    "regex_hard": "search: regex without literals",
}


def stream_id(client: Client, file: LogFile) -> str:
    """The id under which the service holds it."""
    return str(client.get("/chunks", **file.name)["stream"])


def windows(report: Report, service: Service, corpus: Corpus, scale: Scale) -> None:
    """500 lines anywhere, and the last 500, of the big stream."""
    big = corpus.big
    rng = random.Random(7)
    with service.client() as client:
        path = f"/streams/{stream_id(client, big)}/lines"
        client.get(path, limit=1)
        times = []
        used = service.cpu_seconds()
        for _ in range(scale.windows):
            first = rng.randrange(1, big.lines - LINES)
            ms, got = client.timed(path, **{"from": first, "limit": LINES})
            _check_window(got, big, first)
            times.append(ms)
        report.at_most("500 lines by number, p50", median(times), 2, "ms", _note(times, service, used))
        times = []
        used = service.cpu_seconds()
        for _ in range(scale.windows):
            ms, got = client.timed(path, **{"from": -LINES, "limit": LINES})
            _check_window(got, big, big.lines - LINES + 1)
            times.append(ms)
        report.at_most("last 500 lines, p50", median(times), 1, "ms", _note(times, service, used))


def searches(report: Report, service: Service, corpus: Corpus, scale: Scale) -> None:
    """Each query of the corpus on the big stream, the absent one on all."""
    big = corpus.big
    service.peak_bytes = 0
    with service.client() as client:
        path = f"/streams/{stream_id(client, big)}/matches"
        for name, goal in GOALS.items():
            query = _query(corpus.queries[name])
            times = []
            used = service.cpu_seconds()
            for _ in range(scale.repeats):
                ms, got = client.timed(path, limit=PAGE, **query)
                _check_count(got, name, big.counts[name])
                found = [match["n"] for match in got["matches"]]
                if found != big.needles[name][:PAGE]:
                    raise WrongAnswer(f"{name}: lines {found[:5]}, not {big.needles[name][:5]}")
                times.append(ms)
            note = f"{big.counts[name]} found, {_cpu(service, used, len(times))}"
            report.at_most(CALLED[name], median(times), goal, "ms", note)
        _absent(report, client, corpus, scale)
        common = _query(corpus.queries["common"])
        times = []
        used = service.cpu_seconds()
        for _ in range(scale.repeats):
            ms, got = client.timed(path, limit=0, **common)
            _check_count(got, "common", big.counts["common"])
            times.append(ms)
        note = f"{big.counts['common']:,} lines, {_cpu(service, used, len(times))}"
        report.at_most("search: exact count of `loss`", median(times), 350, "ms", note)
        times = []
        for _ in range(scale.repeats):
            ms, got = client.timed(path, limit=PAGE, count="none", **common)
            if len(got["matches"]) != min(PAGE, big.counts["common"]):
                raise WrongAnswer(f"first page of {len(got['matches'])} matches")
            times.append(ms)
        report.at_most("search: first page of `loss`, count=none", median(times), 60, "ms")
    report.at_most("peak anonymous memory, searches", service.peak_bytes / MIB, 250, "MiB")


def _absent(report: Report, client: Client, corpus: Corpus, scale: Scale) -> None:
    times = []
    for _ in range(scale.repeats):
        ms, got = client.timed("/search", limit=PAGE, **_query(corpus.queries["absent"]))
        if got["matches"] or any(one["total"] for one in got["totals"]) or not got["exact"]:
            raise WrongAnswer("the absent word was found")
        if got["searched_streams"] < len(corpus.files):
            raise WrongAnswer(f"only {got['searched_streams']} streams were searched")
        times.append(ms)
    report.at_most("search: absent word, all streams", median(times), 7, "ms")


def _cpu(service: Service, before: float, times: int) -> str:
    """What one answer took of the processors: tells a busy machine from a slow search."""
    return f"{number(1000 * (service.cpu_seconds() - before) / times)} ms of CPU"


def _note(times: list[float], service: Service, before: float) -> str:
    return f"p99 {number(percentile(times, 99))}, {_cpu(service, before, len(times))}"


def _query(said: dict[str, Any]) -> dict[str, Any]:
    return {"q": said["pattern"], "regex": int(said["regex"]), "ignore_case": int(said["ignore_case"])}


def _check_count(got: dict[str, Any], name: str, expected: int) -> None:
    if got["total"] != expected or not got["exact"]:
        raise WrongAnswer(f"{name}: {got['total']} lines, exact {got['exact']}; {expected} is right")


def _check_window(got: dict[str, Any], file: LogFile, first: int) -> None:
    numbers = [line["n"] for line in got["lines"]]
    if got["total_lines"] != file.lines or numbers != list(range(first, first + LINES)):
        raise WrongAnswer(f"a window at {first} of {got['total_lines']} lines has {len(numbers)}")

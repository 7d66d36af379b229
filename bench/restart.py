"""Killed and started again, with everything stored."""

from __future__ import annotations

import http.client
import time

from bench.plan import Corpus
from bench.report import Report, median
from bench.service import START_SECONDS, Service, WrongAnswer


def restart(report: Report, service: Service, corpus: Corpus, times: int) -> None:
    """From the start of the process until readyz says yes, after kill -9."""
    took, used = zip(*(_once(service) for _ in range(times)), strict=True)
    sizes = {}
    with service.client() as client:
        for job in {file.name["job"] for file in corpus.files}:
            for stream in client.get(f"/jobs/{job}/streams")["streams"]:
                sizes[stream["job"], stream["task"], stream["path"]] = stream["size_bytes"]
    lost = 0
    for file in corpus.files:
        name = file.name
        lost += file.size - sizes.get((name["job"], name["task"], name["path"]), 0)
    if lost:
        raise WrongAnswer(f"{lost} acknowledged bytes are gone")
    stored = sum(path.stat().st_size for path in service.folder.rglob("*") if path.is_file())
    note = f"{median(used):.2f} s of CPU, {corpus.size >> 20} MiB of logs, nothing lost, {stored >> 20} MiB on disk"
    report.at_most("restart after kill -9 until readyz", median(took), 1, "s", note)


def _once(service: Service) -> tuple[float, float]:
    """Seconds, and seconds of CPU."""
    service.kill()
    start = time.perf_counter()
    service.launch()
    while time.perf_counter() - start < START_SECONDS:
        connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=10)
        try:
            connection.request("GET", "/readyz")
            if connection.getresponse().status == 200:
                took = time.perf_counter() - start
                used = service.cpu_seconds()
                service.wait_ready()
                return took, used
        except OSError:
            time.sleep(0.005)
        finally:
            connection.close()
    raise WrongAnswer("the service did not come back")

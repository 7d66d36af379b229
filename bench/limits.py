"""The machine's own limits in this run, to hold the figures against."""

from __future__ import annotations

import os
import time
from pathlib import Path

import zstandard

from bench.report import Report, median

MIB = 1 << 20
REPEATS = 3


def measure(report: Report, sample: bytes, folder: Path) -> float:
    """Adds the rows; MB/s of `zstd -3` in one thread."""
    zstd = median([_zstd(sample) for _ in range(REPEATS)])
    report.add("limit: zstd -3, one thread", f"{zstd:.0f} MB/s")
    report.add("limit: write and fdatasync, 1 MiB a time", f"{_synced(folder, 32, MIB):.0f} MB/s")
    syncs = [1000 * 4096 / 1e6 / _synced(folder, 20, 4096) for _ in range(REPEATS)]
    report.add("limit: write and fdatasync of 4 KiB", f"{median(syncs):.2f} ms")
    report.add("limit: memory copy", f"{median([_copied() for _ in range(REPEATS)]):.1f} GB/s")
    return zstd


def _zstd(sample: bytes) -> float:
    packer = zstandard.ZstdCompressor(level=3)
    start = time.perf_counter()
    for at in range(0, len(sample), MIB):
        packer.compress(sample[at : at + MIB])
    return len(sample) / 1e6 / (time.perf_counter() - start)


def _synced(folder: Path, times: int, size: int) -> float:
    path = folder / "limit"
    data = os.urandom(size)
    file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    try:
        start = time.perf_counter()
        for _ in range(times):
            os.write(file, data)
            os.fdatasync(file)
        return times * size / 1e6 / (time.perf_counter() - start)
    finally:
        os.close(file)
        path.unlink()


def _copied() -> float:
    source, target = memoryview(bytearray(b"x" * (64 * MIB))), memoryview(bytearray(b"y" * (64 * MIB)))
    start = time.perf_counter()
    for _ in range(4):
        target[:] = source
    return 4 * len(source) / 1e9 / (time.perf_counter() - start)

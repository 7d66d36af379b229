"""How much is measured at each scale, and the corpus that it is measured on."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from logsvc.model.stream import ordinary_path

MIB = 1 << 20
MAKE_SECONDS = 1800


@dataclass(frozen=True)
class Scale:
    """Repeats and lengths."""

    repeats: int  # of a search
    windows: int
    live_lines: int
    follow_seconds: int
    fleet_seconds: int
    jobs_bytes: int
    restarts: int
    collector_seconds: int
    collector_fleet_seconds: int
    behind_bytes: int
    viewer_lines: int
    viewer_painted: int
    viewer_follow_seconds: int
    viewer_cut_seconds: int
    sample_days: int


SCALES = {
    "tiny": Scale(5, 100, 25, 3, 4, 16 * MIB, 1, 5, 8, 64 * MIB, 100_000, 15, 10, 10, 1),
    "small": Scale(9, 300, 75, 6, 10, 64 * MIB, 3, 15, 30, 256 * MIB, 1_000_000, 40, 60, 20, 2),
    "full": Scale(15, 1000, 300, 15, 20, 512 * MIB, 3, 60, 300, 1024 * MIB, 10_000_000, 150, 600, 60, 7),
}


@dataclass(frozen=True)
class LogFile:
    """One stream of the corpus and what is true of it."""

    path: Path
    name: dict[str, str]  # job, task, path: as the API wants them
    size: int
    lines: int
    big: bool
    counts: dict[str, int]
    needles: dict[str, list[int]]  # line numbers from 1


@dataclass(frozen=True)
class Corpus:
    """All of them."""

    files: list[LogFile]
    queries: dict[str, dict[str, Any]]

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)

    @property
    def big(self) -> LogFile:
        return next(file for file in self.files if file.big)

    @property
    def others(self) -> list[LogFile]:
        return [file for file in self.files if not file.big]

    def sample(self, size: int = 16 * MIB) -> bytes:
        """Bytes of the big stream's beginning."""
        with self.big.path.open("rb") as file:
            return file.read(size)


def load(scale: str, seed: int) -> Corpus:
    """The corpus, made on first use and kept in the temporary folder."""
    folder = Path(tempfile.gettempdir()) / f"logsvc-bench-corpus-{os.getuid()}" / f"{scale}-{seed}"
    if not (folder / "truth.json").exists():
        print(f"making the corpus ({scale}, seed {seed}) in {folder}", file=sys.stderr, flush=True)
        folder.parent.mkdir(mode=0o700, exist_ok=True)
        making = Path(tempfile.mkdtemp(dir=folder.parent))
        command = [sys.executable, "-m", "bench.corpus", str(making), "--scale", scale, "--seed", str(seed)]
        subprocess.run(command, check=True, timeout=MAKE_SECONDS, stdout=subprocess.DEVNULL)
        shutil.rmtree(folder, ignore_errors=True)
        making.rename(folder)
    return read(folder)


def read(folder: Path) -> Corpus:
    """The corpus of a folder."""
    truth = json.loads((folder / "truth.json").read_text())
    return Corpus([_file(folder, one) for one in truth["streams"]], truth["queries"])


def _file(folder: Path, one: dict[str, Any]) -> LogFile:
    job, task = one["job"], one["node"]
    below = one["file"].partition("/")[2]
    path = ordinary_path(job, task) if one["kind"] == "worker" else f"modelarts-job-{job}/{below}"
    return LogFile(
        folder / one["file"],
        {"job": job, "task": task, "path": path},
        one["bytes"],
        one["lines"],
        one["big"],
        one["counts"],
        {name: [n + 1 for n in numbers] for name, numbers in one["needles"].items()},
    )

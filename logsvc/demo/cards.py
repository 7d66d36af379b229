"""What the demo's cards read: made up, for the training computes in NumPy; but at the moments of the real job.

Each worker writes the file that its collector's synthetic sampler plays. Worker-0 is busy, with a
dip at each checkpoint. Worker-1 is, too, until its data comes too slowly: then its cards wait.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

CARDS = 2  # of a worker
TOTAL_BYTES = 32 << 30
LOADED_BYTES = 23 << 30
BUSY_PERCENT, STARVED_PERCENT, DIP_PERCENT = 94.0, 11.0, 3.0
IDLE_WATTS, FULL_WATTS = 85.0, 290.0


class Cards:
    """The cards of one worker, as far as anybody can see."""

    def __init__(self, file: Path, rank: int) -> None:
        self._file = file
        self._chance = np.random.default_rng(rank)
        self._is_loaded = False

    def begin(self) -> None:
        """Nobody uses them yet."""
        self._write(0.0)

    def load(self) -> None:
        """The model lies on the cards now."""
        self._is_loaded = True
        self._write(0.0)

    def train(self, *, is_starved: bool = False) -> None:
        """One step."""
        self._write(STARVED_PERCENT if is_starved else BUSY_PERCENT)

    def wait(self) -> None:
        """Nothing to compute, as while a checkpoint is written."""
        self._write(DIP_PERCENT)

    def _write(self, percent: float) -> None:
        with self._file.open("a", encoding="utf-8") as out:
            for device in range(CARDS):
                use = max(0.0, percent + float(self._chance.normal(0, 1.5))) if percent else 0.0
                reading = {
                    "device": device,
                    "kind": "npu",
                    "utilization_percent": round(min(100.0, use)),
                    "memory_used_bytes": LOADED_BYTES if self._is_loaded else 0,
                    "memory_total_bytes": TOTAL_BYTES,
                    "power_watts": round(IDLE_WATTS + (FULL_WATTS - IDLE_WATTS) * use / 100, 1),
                    "temperature_celsius": round(38 + use / 5),
                    "process_count": int(self._is_loaded),
                }
                out.write(json.dumps(reading) + "\n")

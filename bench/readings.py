"""Readings of cards as they are: whole percents with noise, memory in steps, NVML's milliwatts, slow degrees."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

GIB = 1 << 30
STEP_SECONDS = 90.0  # between checkpoints that drop the load


@dataclass(frozen=True)
class Readings:
    """
    Cards of one node over time; all cards are read together.

    Attributes:
        at_ms: shape (times,), with some milliseconds of jitter.
        utilization, memory, power, temperature: shape (cards, times); NaN: no reading.
    """

    at_ms: NDArray[np.int64]
    utilization: NDArray[np.float64]
    memory: NDArray[np.float64]
    power: NDArray[np.float64]
    temperature: NDArray[np.float64]


def readings(chance: np.random.Generator, *, cards: int, times: int, interval_seconds: float, end_ms: int) -> Readings:
    """A node that trains: load with dips at checkpoints, now and then an idle stretch, rarely a reading that fails."""
    every_ms = round(interval_seconds * 1000)
    at_ms = end_ms - every_ms * np.arange(times, 0, -1) + np.rint(np.abs(chance.normal(12, 5, times))).astype(np.int64)
    shape = (cards, times)
    load = np.clip(chance.normal(92, 4, shape) + chance.normal(0, 2, (cards, 1)), 0, 100)
    seconds = np.arange(times) * interval_seconds
    saving = (seconds % (STEP_SECONDS * 40)) < STEP_SECONDS
    load[:, saving] = chance.integers(0, 8, (cards, int(saving.sum())))
    idle = (seconds % 86_400) > 80_000
    load[:, idle] = 0
    watts = 70 + load * 3.3 + chance.normal(0, 4, shape)
    jumps = np.cumsum(chance.random(shape) < 0.002, axis=1) % 5
    degrees = np.rint(34 + load / 3 + chance.normal(0, 0.7, shape))
    load[chance.random(shape) < 0.0005] = np.nan
    return Readings(
        at_ms,
        np.rint(load),
        (58 + jumps) * float(GIB) + 7 * 2**20,
        np.rint(watts * 1000) / 1000,
        degrees,
    )

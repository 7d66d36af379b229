"""What the rules see of a job, and their limits.

Limits are options of the service under the same names (`logsvc.settings`); `docs/monitoring.md` gives
each with its formula.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Self

from logsvc.core.hang import HangState
from logsvc.model.sample import Pooled
from logsvc.ports import RawSeries

if TYPE_CHECKING:
    from logsvc.settings import Settings


@dataclass(frozen=True)
class Limits:
    """Thresholds of the rules on low use."""

    low_utilization_percent: float = 50.0
    findings_window_minutes: float = 120.0
    recent_window_minutes: float = 15.0
    idle_percent: float = 5.0
    long_idle_minutes: float = 10.0
    never_used_minutes: float = 10.0
    uneven_points: float = 30.0
    orphan_memory_percent: float = 20.0
    orphan_memory_minutes: float = 10.0
    sawtooth_points: float = 30.0
    sawtooth_correlation: float = 0.5
    sawtooth_max_seconds: float = 300.0
    checkpoint_near_seconds: float = 10.0
    checkpoint_lost_percent: float = 5.0

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The limits among the service's options."""
        return cls(**{each.name: getattr(settings, each.name) for each in fields(cls)})


@dataclass(frozen=True)
class CheckpointLine:
    """A line that speaks of saving a checkpoint (`checkpoint_words.is_checkpoint_line`)."""

    stream: str
    n: int
    at_ms: int  # when it came
    task: str


@dataclass(frozen=True)
class JobView:
    """
    What the rules are told of a job at one look.

    Attributes:
        now_ms: time of the look; of a job that has ended, its end.
        accelerator: as the job was described; `none`: a CPU job, about which the rules are silent.
        pooled: of all cards since the job began.
        cards: raw samples of all cards over [window_start_ms, now_ms], as the store gives them; readings
            that are left out count as not there.
        processes: task to how many of its processes the collector saw last; a task left out: not known.
        checkpoints: lines of the window, any order.
        hang: of the last cycle of the job's `HangWatch`.
    """

    now_ms: int
    window_start_ms: int
    accelerator: str | None = None
    pooled: Sequence[Pooled] = ()
    cards: Sequence[RawSeries] = ()
    processes: Mapping[str, int] = field(default_factory=dict)
    checkpoints: Sequence[CheckpointLine] = ()
    hang: HangState | None = None

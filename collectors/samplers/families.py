"""Which samplers a collector has, by its settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Optional

from collectors.client import Client, Say
from collectors.samplers import Sampler, nvidia
from collectors.samplers.ascend import Ascend
from collectors.samplers.child import InChild
from collectors.samplers.engine import Engine
from collectors.samplers.exporter import Exporter
from collectors.samplers.host import Host
from collectors.samplers.mounts import MOUNTS_SECONDS, Mounts
from collectors.samplers.processes import Processes
from collectors.samplers.residents import Files, Residents
from collectors.samplers.synthetic import Synthetic
from collectors.settings import Settings

SAMPLE_SECONDS = 5.0
AUTO = "auto"


def engine_for(
    settings: Settings,
    environment: Mapping[str, str],
    say: Say,
    *,
    command: Optional[int],
    files: Files,
    may_send: Callable[[], bool],
) -> Optional[Engine]:
    """
    The engine, not started; None where nothing is to be sampled.

    Args:
        command: pid of the one that this process runs, if it does.
        files: log files that are shipped, see `Residents`.
        may_send: see `Engine`.
    """
    every = SAMPLE_SECONDS if settings.sample_seconds is None else settings.sample_seconds
    if every == 0:
        return None
    identity = settings.identity
    processes = Processes(command=command, job=identity.job, task=identity.task)
    return Engine(
        Client(settings),
        [(sampler, every) for sampler in card_samplers(settings.sample_from)],
        [(Host(processes), every), (Mounts(), max(every, MOUNTS_SECONDS))],
        Residents(identity.job, identity.task, processes, environment, files),
        say,
        always=settings.sample_seconds is not None,
        may_end=command is None,
        may_send=may_send,
    )


def card_samplers(source: str) -> list[Sampler]:
    """What reads cards: whatever the node has, unless one source is named."""
    if source == AUTO:
        return [InChild("nvidia", "collectors.samplers.nvidia:sampler", nvidia.is_here), Ascend()]
    if source.startswith(("http://", "https://")):
        return [Exporter(source)]
    return [Synthetic(Path(source))]

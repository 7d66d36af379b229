"""Samplers: each reads one family of things beside the training. Here: what one gives, and what is asked of it.

The engine gives each sampler a thread of its own and calls `open` once, then `sample` every few
seconds. What a sampler raises decides its state; only `Absent` is quiet.
"""

from __future__ import annotations

from typing import NamedTuple, Optional, Protocol, Union

CUT_SECONDS = 5.0  # a sampler that takes longer hangs: its readings are not waited for
OPEN_SECONDS = 30.0  # one that is being opened has longer: a driver at rest wakes eight cards in ten seconds


class DeviceReading(NamedTuple):
    """
    One card, or one instance of a partitioned card. None: no reading, which is never 0.

    Attributes:
        device: index in its node; `0:2` is instance 2 of card 0.
        kind: `npu` or `gpu`.
        process_count: processes that hold it, where that can be known.
        uuid: its other name, where it has one; visible-devices variables may use it.
        pids: those of the processes that hold it which this container can see.
        job, task: whose it is, where its source says so; empty: the engine decides.
    """

    device: str
    kind: str
    utilization_percent: Optional[float] = None
    memory_used_bytes: Optional[float] = None
    memory_total_bytes: Optional[float] = None
    power_watts: Optional[float] = None
    temperature_celsius: Optional[float] = None
    process_count: Optional[int] = None
    uuid: str = ""
    pids: tuple[int, ...] = ()
    job: str = ""
    task: str = ""


class ProcessReading(NamedTuple):
    """Bytes that a process has read and written since it began; whose it is, where its environment says so."""

    pid: int
    read_bytes: int
    write_bytes: int
    job: str = ""
    task: str = ""


class HostReading(NamedTuple):
    """The container, or the node where there is none; `cpu_percent` is of 100 for all cores that it may use."""

    cpu_percent: Optional[float] = None
    memory_used_bytes: Optional[int] = None
    memory_total_bytes: Optional[int] = None


class MountReading(NamedTuple):
    """How full a mounted file system is."""

    path: str
    used_bytes: int
    total_bytes: int
    read_only: bool


Reading = Union[DeviceReading, ProcessReading, HostReading, MountReading]


class Absent(Exception):
    """Nothing of the family is here: no driver, no tool, no card. The words say which was looked for."""


class Failed(Exception):
    """It is here and could not be read, in words for a person. It is closed and opened again for the next sample."""


class Hung(Failed):
    """It did not answer in time."""


class Sampler(Protocol):
    """
    Reads one family. One thread calls it.

    Attributes:
        name: `nvidia`, `npu-smi`, `exporter`, `synthetic`, `host` or `mounts`.
        remark: what the last sample could not read while the rest was read ("card 3: GPU is lost"); else empty.
    """

    name: str
    remark: str

    def open(self) -> None:
        """
        Find the family.

        Raises: Absent, Failed, Hung.
        """
        ...

    def sample(self) -> list[Reading]:
        """
        What it reads now; a card that cannot be read is left out.

        Raises: Failed, Hung; Absent where the family has gone.
        """
        ...

    def close(self) -> None:
        """Let go of it; may be called twice, and before `open`."""
        ...

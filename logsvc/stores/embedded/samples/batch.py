"""A batch: the samples of one task that came with one call, as a row of its tail.

u32 checksum of what follows
each: u16 readings a sample, u32 samples; a sample: u32 series, i64 time, f64 a reading (NaN: none)
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from logsvc.model.sample import READINGS, Values
from logsvc.stores.embedded.samples.layout import Records
from logsvc.stores.embedded.samples.numbers import Damaged
from logsvc.stores.readings import NO_READING

WIDTH = max(len(readings) for readings in READINGS.values())

_CHECKSUM = struct.Struct("<I")
_SECTION = struct.Struct("<HI")


def pack_batch(samples: Iterable[tuple[int, int, Values]]) -> bytes:
    """Series, time and values of each sample as bytes."""
    sections: dict[int, list[bytes]] = {}
    for series, at_ms, values in samples:
        read = [NO_READING if value is None else value for value in values]
        sections.setdefault(len(values), []).append(_record(len(values)).pack(series, at_ms, *read))
    body = b"".join(
        part for width, records in sections.items() for part in (_SECTION.pack(width, len(records)), *records)
    )
    return _CHECKSUM.pack(zlib.crc32(body)) + body


def unpack_batches(batches: Iterable[bytes]) -> Records:
    """The samples of all these batches; raises Damaged."""
    by_width: dict[int, list[bytes]] = {}
    for batch in batches:
        for width, records in _sections(batch):
            by_width.setdefault(width, []).append(records)
    tables = {width: np.frombuffer(b"".join(parts), _dtype(width)) for width, parts in by_width.items()}
    if not tables:
        return Records(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, WIDTH)))
    return Records(
        np.concatenate([table["series"] for table in tables.values()]).astype(np.int64),
        np.concatenate([table["at_ms"] for table in tables.values()]).astype(np.int64),
        np.concatenate([_widened(table["values"]) for table in tables.values()]),
    )


def _sections(batch: bytes) -> Iterator[tuple[int, bytes]]:
    try:
        (checksum,) = _CHECKSUM.unpack_from(batch)
        if zlib.crc32(memoryview(batch)[_CHECKSUM.size :]) != checksum:
            raise Damaged("wrong checksum")
        at = _CHECKSUM.size
        while at < len(batch):
            width, count = _SECTION.unpack_from(batch, at)
            at += _SECTION.size
            size = count * _record(width).size
            yield width, batch[at : at + size]
            at += size
    except struct.error as exc:
        raise Damaged(str(exc)) from exc


def _widened(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """With NaN for the readings that these samples have not."""
    if values.shape[1] == WIDTH:
        return values
    wide = np.full((len(values), WIDTH), np.nan)
    wide[:, : values.shape[1]] = values
    return wide


@lru_cache
def _record(width: int) -> struct.Struct:
    return struct.Struct(f"<Iq{width}d")


@lru_cache
def _dtype(width: int) -> np.dtype[np.void]:
    return np.dtype([("series", "<u4"), ("at_ms", "<i8"), ("values", "<f8", (width,))])

"""Columns of numbers as few bytes, lossless to the last bit.

Readings are decimal numbers with few places: whole percents, watts in thousandths. So a column is
kept as whole numbers of its smallest decimal unit, either as they are or as differences (whichever
zstd makes smaller), cut into planes of equal bytes: noise then stays in the low planes, and the high
ones cost nothing. A column that is not so is kept as its 64 bits. Missing readings are a bit mask.

A packed column is one zstd frame with a checksum. Times are packed alike, into the frame of their
layout. `Damaged` where bytes are not what was packed.
"""

from __future__ import annotations

import struct

import numpy as np
import zstandard
from numpy.typing import NDArray

from logsvc.stores.embedded.zstd import compress, decompress

MAX_UNFOLDED_BYTES = 256 * 1024 * 1024  # a damaged frame may say that it is any size
MAX_DECIMALS = 6
MAX_WHOLE = 1 << 53  # whole numbers that a float holds exactly

_HEAD = struct.Struct("<BBBxIIq")  # form, decimals, width, values, readings among them, base
_FLOATS, _PLAIN, _DIFFERENCES = 0, 1, 2


class Damaged(Exception):
    """Packed bytes that are not what was packed."""


def pack_column(values: NDArray[np.float64]) -> bytes:
    """Values of one reading; NaN: none."""
    gaps = np.isnan(values)
    mask = np.packbits(gaps).tobytes() if gaps.any() else b""
    held = values[~gaps] if mask else values
    whole = _as_whole(held)
    if whole is None:
        return compress(_packed(_FLOATS, 0, held.view(np.uint64), len(values), 0, mask))
    return _pack_whole(*whole, len(values), mask)


def unpack_column(data: bytes) -> NDArray[np.float64]:
    """Values as they were packed; raises Damaged."""
    form, decimals, raw, values, mask = _unpack(unfold(data))
    held = raw.view(np.float64) if form == _FLOATS else raw.view(np.int64) / float(10**decimals)
    if mask is None:
        return held
    filled = np.full(values, np.nan)
    filled[~mask] = held
    return filled


def pack_integers(values: NDArray[np.int64]) -> bytes:
    """Ascending whole numbers below 2^53 either side, to be compressed by whoever keeps them."""
    return _packed(_DIFFERENCES, 0, _folded(values), len(values), int(values[0]), b"")


def unpack_integers(data: bytes) -> NDArray[np.int64]:
    """Whole numbers as they were packed; raises Damaged."""
    return _unpack(data)[2].view(np.int64)


def unfold(data: bytes) -> bytes:
    """What was compressed; raises Damaged."""
    try:
        if not 0 < zstandard.frame_content_size(data) <= MAX_UNFOLDED_BYTES:
            raise Damaged("no frame")
        return decompress(data)
    except zstandard.ZstdError as exc:
        raise Damaged(str(exc)) from exc


def _as_whole(values: NDArray[np.float64]) -> tuple[NDArray[np.int64], int] | None:
    """Whole numbers of the largest decimal unit that says each value exactly, and its places; None: there is none."""
    for decimals in range(MAX_DECIMALS + 1):
        scaled = np.rint(values * 10**decimals)
        if len(scaled) and np.abs(scaled).max() >= MAX_WHOLE:
            return None
        whole = scaled.astype(np.int64)
        # A whole number over a power of ten is the float nearest to that decimal, so equal bits are equal decimals.
        if np.array_equal((whole / 10**decimals).view(np.uint64), values.view(np.uint64)):
            return whole, decimals
    return None


def _pack_whole(whole: NDArray[np.int64], decimals: int, values: int, mask: bytes) -> bytes:
    base = int(whole.min()) if len(whole) else 0
    found = [compress(_packed(_PLAIN, decimals, (whole - base).view(np.uint64), values, base, mask))]
    if len(whole) > 1:
        found.append(compress(_packed(_DIFFERENCES, decimals, _folded(whole), values, int(whole[0]), mask)))
    return min(found, key=len)


def _folded(whole: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Differences; small ones either side of zero are small."""
    steps = np.diff(whole, prepend=whole[0])
    return ((steps << 1) ^ (steps >> 63)).view(np.uint64)


def _packed(form: int, decimals: int, raw: NDArray[np.uint64], values: int, base: int, mask: bytes) -> bytes:
    width = 8 if form == _FLOATS else (int(raw.max()).bit_length() + 7) // 8 if len(raw) else 0
    return _HEAD.pack(form, decimals, width, values, len(raw), base) + mask + _planes(raw, width)


def _planes(raw: NDArray[np.uint64], width: int) -> bytes:
    """The lowest byte of each number, then the next, …"""
    return np.ascontiguousarray(raw.view(np.uint8).reshape(-1, 8)[:, :width].T).tobytes()


def _unpack(unfolded: bytes) -> tuple[int, int, NDArray[np.uint64], int, NDArray[np.bool_] | None]:
    """Form, decimals, the bits of each number held, how many values, and where there is none."""
    try:
        form, decimals, width, values, count, base = _HEAD.unpack_from(unfolded)
    except struct.error as exc:
        raise Damaged(str(exc)) from exc
    at = _HEAD.size
    mask = None
    if count != values:
        mask = np.unpackbits(np.frombuffer(unfolded, np.uint8, offset=at), count=values).view(np.bool_)
        at += (values + 7) // 8
    if len(unfolded) != at + count * width or form > _DIFFERENCES or width > 8 or decimals > MAX_DECIMALS:
        raise Damaged(f"{len(unfolded)} bytes for {count} numbers of {width}")
    bytes_of = np.zeros((count, 8), np.uint8)
    bytes_of[:, :width] = np.frombuffer(unfolded, np.uint8, count * width, at).reshape(width, count).T
    raw = bytes_of.view(np.uint64).reshape(count)
    if form == _PLAIN:
        raw = (raw.view(np.int64) + base).view(np.uint64)
    elif form == _DIFFERENCES:
        steps = (raw >> np.uint64(1)).view(np.int64) ^ -(raw & np.uint64(1)).view(np.int64)
        raw = (np.cumsum(steps) + base).view(np.uint64)
    return form, decimals, raw, values, mask

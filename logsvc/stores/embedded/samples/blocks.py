"""Blocks of one task's samples: packed from records, and unpacked column by column."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from logsvc.model.sample import READINGS
from logsvc.stores.embedded.samples.batch import WIDTH
from logsvc.stores.embedded.samples.layout import Layout, Records, arranged, pack_layout, unpack_layout
from logsvc.stores.embedded.samples.numbers import Damaged, pack_column, unpack_column
from logsvc.stores.embedded.samples.schema import LAYOUT, part_name


@dataclass(frozen=True)
class Table:
    """Samples of one task by layout and column, wherever they lie."""

    layout: Layout
    column: Callable[[str, str], NDArray[np.float64]]  # of a kind and a reading


def table_of_records(records: Records, kind_of: Callable[[int], str]) -> Table:
    """Samples that are not packed."""
    layout, places = arranged(records, kind_of)
    rows: dict[str, NDArray[np.intp]] = {}
    at = 0
    for kind in layout.kinds():
        rows[kind] = places[at : at + layout.size_of(kind)]
        at += layout.size_of(kind)
    return Table(layout, lambda kind, reading: records.values[rows[kind], READINGS[kind].index(reading)])


def table_of_parts(parts: dict[str, bytes]) -> Table:
    """A block of which the layout and the columns asked for were read; raises Damaged, its columns too."""
    layout = unpack_layout(parts[LAYOUT])

    def column(kind: str, reading: str) -> NDArray[np.float64]:
        size = layout.size_of(kind)
        part = parts.get(part_name(kind, reading))
        if part is None:
            return np.full(size, np.nan)  # a reading that came later than the block
        values = unpack_column(part)
        if len(values) != size:
            raise Damaged(f"{len(values)} values of {kind} {reading} for {size} samples")
        return values

    return Table(layout, column)


def pack_table(table: Table) -> dict[str, bytes]:
    """The parts of a block."""
    parts = {LAYOUT: pack_layout(table.layout)}
    for kind in table.layout.kinds():
        for reading in READINGS[kind]:
            parts[part_name(kind, reading)] = pack_column(table.column(kind, reading))
    return parts


def records_of(table: Table) -> Records:
    """The samples of a block, all its columns."""
    series, at_ms, values = [], [], []
    for kind in table.layout.kinds():
        rows = np.full((table.layout.size_of(kind), WIDTH), np.nan)
        for index, reading in enumerate(READINGS[kind]):
            rows[:, index] = table.column(kind, reading)
        values.append(rows)
        for run, times, _ in table.layout.matrices(kind, rows[:, 0]):
            series.append(np.repeat(np.array(run.series, dtype=np.int64), len(times)))
            at_ms.append(np.tile(times, len(run.series)))
    return Records(np.concatenate(series), np.concatenate(at_ms), np.concatenate(values))


def joined(parts: Sequence[Records]) -> Records:
    """All of them together."""
    return Records(
        np.concatenate([each.series for each in parts]),
        np.concatenate([each.at_ms for each in parts]),
        np.concatenate([each.values for each in parts]),
    )

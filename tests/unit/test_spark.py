"""The line in the list: means of parts of the last hour."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from logsvc.core.spark import PARTS, SLOTS, Hour

LAST = 170_000_000  # a slot of the year 2023


def plain(readings: Sequence[tuple[int, float]], made: int) -> list[float | None]:
    """The same with all readings at hand."""
    shown = [(slot, value) for slot, value in readings if LAST - SLOTS < slot <= LAST]
    slots = min(SLOTS, max(1, LAST + 1 - min([made, *(slot for slot, _ in shown)])))
    each = -(-slots // PARTS)
    first = LAST + 1 - each * -(-slots // each)
    parts = [[value for slot, value in shown if part <= slot < part + each] for part in range(first, LAST + 1, each)]
    return [round(sum(part) / len(part), 1) if part else None for part in parts]


@given(
    st.lists(st.tuples(st.integers(LAST - SLOTS + 1, LAST), st.integers(0, 100).map(float)), max_size=40),
    st.integers(LAST - 2 * SLOTS, LAST + 2),
)
@settings(max_examples=60)
def test_parts_are_those_of_all_readings_of_the_hour(readings: list[tuple[int, float]], made: int) -> None:
    hour = Hour()
    for slot, value in readings:
        hour.add(slot, value)
    assert hour.means(made, LAST) == plain(readings, made)


def test_each_slot_gives_way_after_an_hour_and_never_to_one_before() -> None:
    hour = Hour()
    for slot in range(LAST - 5 * SLOTS, LAST + 1):
        hour.add(slot, 20.0 if slot <= LAST - SLOTS else 80.0)
    hour.add(LAST - SLOTS, 20.0)
    assert hour.means(0, LAST) == [80.0] * PARTS


def test_a_clock_that_is_far_ahead_costs_one_slot() -> None:
    hour = Hour()
    for slot in range(LAST - SLOTS + 1, LAST + 1):
        hour.add(slot, 50.0, 2)
    hour.add(LAST + 7 * SLOTS, 100.0)
    assert hour.means(0, LAST) == [25.0] * PARTS

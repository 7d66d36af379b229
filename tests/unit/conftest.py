"""Descriptors of tests that follow files in this process."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from collectors.tailer.rotation import Tailer


@pytest.fixture(autouse=True)
def tailers_are_closed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Also those of collectors that a test lets die."""
    made: list[Tailer] = []
    make = Tailer.__init__

    def noted(tailer: Tailer, *given: Any, **named: Any) -> None:
        made.append(tailer)
        make(tailer, *given, **named)

    monkeypatch.setattr(Tailer, "__init__", noted)
    yield
    for tailer in made:
        tailer.close()

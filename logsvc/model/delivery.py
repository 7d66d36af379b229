"""An event on its way to a webhook, kept as a record of kind "webhook" until the receiver has taken it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

WEBHOOK_KIND = "webhook"


@dataclass(eq=False)
class Delivery:
    """
    One body on its way.

    Attributes:
        number: in order of telling.
        id: by which the receiver knows a repeat.
        told_at: Unix seconds.
        held_until: Unix seconds; an event that is over before then is not sent. 0: it is not held.
        attempts: that failed; `problem` is why the last one did.
    """

    number: int
    id: str
    job: str
    flag: str
    body: str
    told_at: float
    held_until: float = 0.0
    attempts: int = 0
    problem: str = ""

    @property
    def record_id(self) -> str:
        """Records are listed by id: in order of telling."""
        return f"{self.number:016d}"

    def value(self) -> dict[str, Any]:
        """What the record holds besides its id."""
        return {name: one for name, one in vars(self).items() if name != "number"}

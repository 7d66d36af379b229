"""Wrong tokens from one address: a few are a mistake, many are told to come back later.

Whoever has a good token is never held up by others behind the same address: this counts what failed only.
A token cannot be guessed; what is spared is the look-up and the log.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from logsvc.errors import TooManyRequests
from logsvc.ports import Clock

AT_ONCE = 60  # a node's collectors with a withdrawn token, or a person who pastes the wrong one
EACH_SECONDS = 1.0
ADDRESSES = 10_000  # remembered; beyond it the oldest is forgotten
NETWORK_BITS = 64  # of IPv6: whoever has one address has all of these


@dataclass
class _Room:
    left: float
    at: float


class Failures:
    """Room for failures by address: `AT_ONCE`, and one more every `EACH_SECONDS`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._rooms: dict[str, _Room] = {}

    def count(self, address: str) -> None:
        """
        A wrong token came from here.

        Raises: TooManyRequests: there were too many of late.
        """
        name, now = _network(address), self._clock.monotonic()
        room = self._rooms.pop(name, None) or _Room(AT_ONCE, now)
        room.left, room.at = min(AT_ONCE, room.left + (now - room.at) / EACH_SECONDS), now
        self._rooms[name] = room
        if len(self._rooms) > ADDRESSES:
            del self._rooms[next(iter(self._rooms))]
        if room.left < 1:
            wait = int((1 - room.left) * EACH_SECONDS) + 1
            raise TooManyRequests("Too many wrong tokens came from this address.", retry_after_seconds=wait)
        room.left -= 1


def _network(address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is None:
        return str(ipaddress.ip_network((parsed, NETWORK_BITS), strict=False))
    return str(parsed)

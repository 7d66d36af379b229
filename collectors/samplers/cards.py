"""Which cards belong to which job: by visible-devices variables, by the processes on them, else all to the only job.

A variable counts cards in one of two ways. The container's (NVIDIA_VISIBLE_DEVICES, ASCEND_VISIBLE_DEVICES) names
cards of the node; where it was applied before we were started, other cards are not even seen, and those seen may be
counted anew from 0. The runtime's (CUDA_VISIBLE_DEVICES, ASCEND_RT_VISIBLE_DEVICES) counts what the container has.

Sources: CUDA C++ programming guide, environment variables; NVIDIA container toolkit, GPU enumeration;
Ascend docker runtime and CANN, environment variables.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Optional

from collectors.samplers import DeviceReading

CONTAINER = {"gpu": "NVIDIA_VISIBLE_DEVICES", "npu": "ASCEND_VISIBLE_DEVICES"}
RUNTIME = {"gpu": "CUDA_VISIBLE_DEVICES", "npu": "ASCEND_RT_VISIBLE_DEVICES"}
_INDEX = re.compile(r"(?:Ascend[0-9A-Za-z]*-)?([0-9]{1,4})")
_RANGE = re.compile(r"([0-9]{1,4})-([0-9]{1,4})")
_INSTANCE = re.compile(r"[0-9]{1,4}:[0-9]{1,4}")
_UUID = re.compile(r"(?:GPU|MIG)-[0-9A-Za-z/-]+")


@dataclass(frozen=True)
class Home:
    """
    A job's task on this node.

    Attributes:
        environments: that it was started with, as far as they say which devices are visible.
        pids: of its processes.
        hang_minutes: what its container says of MA_HANG_DETECT_TIME.
    """

    job: str
    task: str
    environments: tuple[Mapping[str, str], ...] = ()
    pids: frozenset[int] = frozenset()
    hang_minutes: Optional[float] = None


@dataclass(frozen=True)
class Named:
    """Cards that a variable names, in the order that it names them: `3`, `0:2`, or the start of a UUID."""

    names: tuple[str, ...]


def named(text: str) -> Optional[Named]:
    """
    What a visible-devices variable says; None: nothing, all are visible.

    `void`, or a path, stands in a container that got its cards another way (CDI, mounts). Names behind the first that
    is none are not visible, as CUDA has it.
    """
    text = text.strip()
    if text.lower() in ("all", "void", "") or text.startswith("/"):
        return None
    names: list[str] = []
    for part in (piece.strip() for piece in text.split(",")):
        index, span = _INDEX.fullmatch(part), _RANGE.fullmatch(part)
        if index:
            names.append(str(int(index[1])))
        elif span and int(span[1]) <= int(span[2]):
            names += map(str, range(int(span[1]), int(span[2]) + 1))
        elif _INSTANCE.fullmatch(part) or _UUID.fullmatch(part):
            names.append(part)
        else:
            break  # -1, NoDevFiles, none
    return Named(tuple(dict.fromkeys(names)))


def visible(cards: Sequence[DeviceReading], environment: Mapping[str, str]) -> Optional[set[tuple[str, str]]]:
    """
    (kind, device) of the cards that an environment makes visible; None where it says nothing of any.

    Args:
        cards: all that were seen on this node, lost ones too.
    """
    found: set[tuple[str, str]] = set()
    said = False
    for kind in ("gpu", "npu"):
        of_kind = sorted((card for card in cards if card.kind == kind), key=_order)
        of_container = named(environment.get(CONTAINER[kind], ""))
        if of_container is not None or RUNTIME[kind] in environment:
            said = True
            of_kind = _of_container(of_kind, of_container)
            of_kind = _of_runtime(of_kind, environment.get(RUNTIME[kind]))
        elif any(_names(environment, card.kind) for card in cards if card.kind != kind):
            of_kind = []  # a job that names its NPUs does not use the GPUs beside them
        found |= {(kind, card.device) for card in of_kind}
    return found if said else None


def owners(card: DeviceReading, cards: Sequence[DeviceReading], homes: Sequence[Home]) -> list[Home]:
    """Homes that a card belongs to; none where nothing says whose it is."""
    if card.job:
        return [home for home in homes if home.job == card.job and card.task in ("", home.task)]
    by_variable, silent = [], []
    for home in homes:
        sets = [visible(cards, environment) for environment in home.environments]
        if not sets or None in sets:
            silent.append(home)
        elif any(chosen and (card.kind, card.device) in chosen for chosen in sets):
            by_variable.append(home)
    if by_variable:
        return by_variable
    by_process = [home for home in silent if home.pids.intersection(card.pids)]
    if by_process:
        return by_process
    return silent if len(homes) == 1 else []


def _of_container(cards: list[DeviceReading], chosen: Optional[Named]) -> list[DeviceReading]:
    if chosen is None:
        return cards
    seen = {card.device for card in cards}
    by_index = {name for name in chosen.names if not _UUID.fullmatch(name)}
    if not by_index <= seen:  # it was applied before us, and those that are left are counted from 0
        return cards
    return [card for card in cards if any(_is(card, name) for name in chosen.names)]


def _of_runtime(cards: list[DeviceReading], text: Optional[str]) -> list[DeviceReading]:
    if text is None:
        return cards
    chosen = named(text) or Named(())  # empty: none at all
    whole = [card.device for card in cards if ":" not in card.device] or [card.device for card in cards]
    found: set[str] = set()
    for name in chosen.names:
        if name.isdigit():
            if int(name) >= len(whole):
                break
            name = whole[int(name)]
        found |= {card.device for card in cards if _is(card, name)}
    return [card for card in cards if card.device in found]


def _is(card: DeviceReading, name: str) -> bool:
    """Whether a name means this card; that of a whole card means its instances, too."""
    if _UUID.fullmatch(name):
        return bool(card.uuid) and card.uuid.lower().startswith(name.lower())
    return card.device == name or card.device.startswith(name + ":")


def _names(environment: Mapping[str, str], kind: str) -> bool:
    """Whether it names cards of this kind: `all` and nothing stand in many an image that has none of them."""
    said = [named(environment.get(names[kind], "")) for names in (CONTAINER, RUNTIME)]
    return any(chosen is not None and chosen.names for chosen in said)


def _order(card: DeviceReading) -> tuple[int, ...]:
    return tuple(int(part) if part.isdigit() else 0 for part in card.device.split(":"))


def said_by(environment: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Of an environment, the variables that say which cards are visible."""
    names = {*CONTAINER.values(), *RUNTIME.values()}
    return {name: value for name, value in environment if name in names}

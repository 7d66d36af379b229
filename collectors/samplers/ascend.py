"""Ascend cards by `npu-smi`, run as a child.

The table of `npu-smi info` gives all readings of all cards in one run. Where its form is not known,
`-t usages` and `-t common` are asked card by card, and where these are not known either, `info watch`
is heard until each card has spoken once. What is known stays chosen until it fails.

A device is named by its index in the node: the column `Phy-ID` or `Device` of the table; where the
table has none, the logic id of `npu-smi info -m`; where that is not to be had either, the NPU id.
"""

from __future__ import annotations

import glob
import os
import shutil
import time
from collections.abc import Callable
from typing import Optional

from collectors.samplers import Absent, DeviceReading, Failed, Hung, Reading
from collectors.samplers.command import TOOL_SECONDS, Tool
from collectors.samplers.hearing import heard
from collectors.samplers.npu_smi import Figures, Place, facts, figures, logical_ids, watched
from collectors.samplers.npu_table import Chip, chips
from collectors.samplers.nvidia import are_ours
from collectors.samplers.text import NotUnderstood

PROGRAM = "npu-smi"
PLACES = ("/usr/local/sbin", "/usr/local/bin", "/usr/local/Ascend/driver/tools")  # where drivers put it
DRIVER = "/usr/local/Ascend/driver/lib64"
CARDS = "/dev/davinci[0-9]*"
# Said by the loader where LD_LIBRARY_PATH lacks the driver's folders, as in many training images.
_LIBRARY = "error while loading shared libraries"

Reader = Callable[[float], list[Reading]]


class Ascend:
    """Samples the cards of this node. See `Sampler`."""

    name = "npu-smi"

    def __init__(
        self, program: Optional[str] = None, *, cards: str = CARDS, seconds: float = TOOL_SECONDS, proc: str = "/proc"
    ) -> None:
        """
        Args:
            program: where npu-smi is; None: it is looked for.
            cards: pattern of the device files.
            seconds: for all that one sample asks.
            proc: where processes are seen.
        """
        self.remark = ""
        self._wanted, self._cards, self._proc = program, cards, proc
        self._tool, self._seconds = Tool(seconds), seconds
        self._program = ""
        self._variables: dict[str, str] = {}
        self._ids: Optional[dict[Place, int]] = None  # empty: the map is not to be had, and why
        self._why = ""
        self._reader: Optional[Reader] = None  # None: the form is not known yet

    def open(self) -> None:
        """Find npu-smi; see `Sampler`."""
        self._reader = None
        path = os.pathsep.join((os.environ.get("PATH", ""), *PLACES))
        self._program = self._wanted or shutil.which(PROGRAM, path=path) or ""
        if self._program:
            return
        device = next(glob.iglob(self._cards), None)
        if device is None:
            raise Absent(f"no {PROGRAM}, and no card: {self._cards}")
        raise Failed(f"there is {device}, but no {PROGRAM}: mount it from the node, or name an exporter's URL")

    def sample(self) -> list[Reading]:
        """All cards; see `Sampler`."""
        until = time.monotonic() + self._seconds
        if self._reader is not None:
            return self._reader(until)
        try:
            found = self._by_table(until)
            self._reader = self._by_table
            return found
        except NotUnderstood as exc:
            first = exc
        for reader in (self._by_values, self._by_watch):
            try:
                found = reader(until)
            except Failed:
                continue
            self._reader = reader
            self.remark = f"{first}; read in another way, without processes"
            return found
        raise first

    def close(self) -> None:
        """See `Sampler`."""
        self._tool.close()

    def _by_table(self, until: float) -> list[Reading]:
        found = chips(self._output(until, "info"))
        self.remark = ""
        if any(chip.device is None for chip in found):
            found = self._named(found, until)
        return [self._reading(chip) for chip in found]

    def _reading(self, chip: Chip) -> DeviceReading:
        is_known = are_ours(chip.pids, self._proc)
        return DeviceReading(
            str(chip.device),
            "npu",
            chip.utilization_percent,
            chip.memory_used_bytes,
            chip.memory_total_bytes,
            chip.power_watts,
            chip.temperature_celsius,
            chip.process_count if is_known else None,
            pids=chip.pids if is_known else (),
        )

    def _named(self, found: list[Chip], until: float) -> list[Chip]:
        """The chips of a table that does not say the index of each, those that have one."""
        if all(chip.device is None for chip in found):
            ids = self._logical_ids(until)
            if not ids:
                if len({chip.npu for chip in found}) < len(found):
                    raise Failed(f"{PROGRAM} info: a card has two chips, and nothing says the index of each")
                self.remark = f"cards are named by their NPU id, since the map was not to be had: {self._why}"
                return [chip._replace(device=chip.npu) for chip in found]
            found = [chip._replace(device=ids.get((chip.npu, chip.chip))) for chip in found]
        nameless = [f"NPU {chip.npu} chip {chip.chip}" for chip in found if chip.device is None]
        if nameless:
            self.remark = f"left out, since nothing says their index: {', '.join(nameless)}"
        return [chip for chip in found if chip.device is not None]

    def _by_values(self, until: float) -> list[Reading]:
        """Card by card; power and temperature only while there is time: each answer is a process."""
        found: dict[Place, Figures] = {}
        ids = self._ids or logical_ids(self._output(until, "info", "-m"))
        for what in ("usages", "common"):
            for npu in sorted({place[0] for place in ids}):
                if what == "common" and until - time.monotonic() < self._seconds / 4:
                    break
                tool = f"{PROGRAM} info -t {what} -i {npu}"
                for fact in facts(self._output(until, "info", "-t", what, "-i", str(npu)), tool):
                    place = _place(ids, npu, fact.chip)
                    if place is not None:
                        found[place] = _joined(found.get(place, Figures()), figures(fact, tool))
        if all(figure.utilization_percent is None for figure in found.values()):
            raise NotUnderstood(f"{PROGRAM} info -t usages: no Aicore Usage Rate")
        return _readings(ids, found)

    def _by_watch(self, until: float) -> list[Reading]:
        ids = self._ids or logical_ids(self._output(until, "info", "-m"))

        def is_enough(text: str) -> bool:
            try:
                return _watched(ids, text).keys() == ids.keys()
            except NotUnderstood:
                return False

        command = [self._program, "info", "watch"]
        seconds = (until - time.monotonic()) * 2 / 3
        text = heard(command, seconds=seconds, variables=self._variables, is_enough=is_enough)
        return _readings(ids, _watched(ids, text))

    def _logical_ids(self, until: float) -> dict[Place, int]:
        """The map of chips, asked for once: a device keeps its name while this collector lives."""
        if self._ids is None:
            try:
                self._ids = logical_ids(self._output(until, "info", "-m"))
            except Hung:
                raise
            except Failed as exc:
                self._ids, self._why = {}, str(exc)
        return self._ids

    def _output(self, until: float, *arguments: str) -> str:
        command = [self._program, *arguments]
        left = max(0.1, until - time.monotonic())
        try:
            return self._tool.output(command, seconds=left, variables=self._variables)
        except Failed as exc:
            if _LIBRARY not in str(exc) or self._variables:
                raise
            words = str(exc)
        folders = [folder for folder in (DRIVER, f"{DRIVER}/common", f"{DRIVER}/driver") if os.path.isdir(folder)]
        before = os.environ.get("LD_LIBRARY_PATH", "")
        variables = {"LD_LIBRARY_PATH": os.pathsep.join([*folders, *([before] if before else [])])}
        try:
            text = self._tool.output(command, seconds=max(0.1, until - time.monotonic()), variables=variables)
        except Failed as exc:
            raise Failed(f"{words}; is {DRIVER} mounted, and in LD_LIBRARY_PATH?") from exc
        self._variables = variables
        return text


def _place(ids: dict[Place, int], npu: int, chip: Optional[int]) -> Optional[Place]:
    """Which chip a text is of; one that names only the card is of its only chip. None: of no card (Mcu)."""
    if chip is not None:
        return (npu, chip) if (npu, chip) in ids else None
    places = [place for place in ids if place[0] == npu]
    if len(places) > 1:
        raise NotUnderstood(f"{PROGRAM}: the values of NPU {npu} do not say which of its chips they are of")
    return places[0] if places else None


def _watched(ids: dict[Place, int], text: str) -> dict[Place, Figures]:
    found = {}
    for (npu, chip), figure in watched(text).items():
        place = _place(ids, npu, chip)
        if place is not None:
            found[place] = figure
    return found


def _joined(first: Figures, second: Figures) -> Figures:
    return Figures(*(mine if mine is not None else theirs for mine, theirs in zip(first, second)))


def _readings(ids: dict[Place, int], found: dict[Place, Figures]) -> list[Reading]:
    return [DeviceReading(str(ids[place]), "npu", *figure) for place, figure in sorted(found.items())]

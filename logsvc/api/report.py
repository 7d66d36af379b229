"""The body of `POST /samples` -> a report: every number within its bounds, every refusal with its place.

Called for every card of a cluster every few seconds, so it reads by hand. JSON goes through orjson;
what that refuses may still be JSON with a bare NaN, which is no reading.
"""

from __future__ import annotations

import json
import math
import re
import reprlib
from collections.abc import Callable
from functools import lru_cache
from typing import Any, cast

import orjson

from logsvc.api.params import read_time
from logsvc.core.samples import Report, SamplerReport, SamplerState
from logsvc.errors import BadBody, BadInput, TooLarge
from logsvc.model.sample import DEVICE_KINDS, READINGS, Sample, SeriesName, Values
from logsvc.model.stream import check_job, check_task

MAX_SAMPLES = 10_000  # of all lists together
MAX_REPORT_BYTES = 16 << 20
MAX_SAMPLERS = 32
MAX_REASON = 500
MAX_MOUNT = 512
MAX_PID = 2**31 - 1
MAX_DEVICE = 10**9
MAX_BYTES = 2**63
MAX_HANG_MINUTES = 10_080.0  # a week
EARLIEST = 946_684_800.0  # the year 2000: a clock that was never set is no time of a sample
AHEAD_SECONDS = 86_400.0  # of the service's clock
_DEVICE = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_SAMPLER = re.compile(r"[a-z0-9_-]{1,32}")
STATES = ("ok", "failed", "hung", "absent")
BOUNDS = {
    "utilization_percent": (0.0, 100.0),
    "cpu_percent": (0.0, 100.0),
    "power_watts": (0.0, 1e6),
    "temperature_celsius": (-273.15, 10_000.0),
    "process_count": (0.0, 1e6),
    **dict.fromkeys(
        (
            "memory_used_bytes",
            "memory_total_bytes",
            "read_bytes",
            "write_bytes",
            "used_bytes",
            "total_bytes",
        ),
        (0.0, float(MAX_BYTES)),
    ),
}
LISTS = ("samples", "process_io", "host", "mounts")
_Named = Callable[[dict[str, Any]], SeriesName]


def read_report(body: bytes, now: float) -> Report:
    """
    A report, checked.

    Args:
        now: Unix seconds; samples may not be of a later day.

    Raises:
        BadBody: no JSON.
        BadPath: job or task are malformed.
        BadInput: anything else; `detail.parameter` says where, as in `samples[3].utilization_percent`.
        TooLarge: more than `MAX_REPORT_BYTES`.
    """
    if len(body) > MAX_REPORT_BYTES:
        raise TooLarge(f"A report has {MAX_REPORT_BYTES} bytes at most.", limit_bytes=MAX_REPORT_BYTES)
    given = _json(body)
    if not isinstance(given, dict):
        raise BadInput("The body must be an object with job, task and samples.", parameter=None)
    job, task = check_job(_text(given, "job")), check_task(_text(given, "task"))
    lists = {name: _list(given, name) for name in LISTS}
    if sum(map(len, lists.values())) > MAX_SAMPLES:
        raise BadInput(f"A report has {MAX_SAMPLES} samples at most, of all kinds; send several.", parameter="samples")
    samples: list[Sample] = []
    for name, read in zip(LISTS, (_device, _process, _host, _mount), strict=True):
        for number, one in enumerate(lists[name]):
            try:
                if not isinstance(one, dict):
                    raise BadInput("it must be an object", parameter=None)
                samples.append(read(task, one, now))
            except BadInput as error:
                raise _at(error, f"{name}[{number}]") from None
    return Report(job, task, tuple(samples), _samplers(given.get("samplers")), _hang_minutes(given))


def _device(task: str, one: dict[str, Any], now: float) -> Sample:
    kind = one.get("kind")
    if kind not in DEVICE_KINDS:
        raise BadInput(f"it must be {' or '.join(DEVICE_KINDS)}, not {_shown(kind)}", parameter="kind")
    device = one.get("device")
    name = str(device) if type(device) is int and 0 <= device <= MAX_DEVICE else device
    if not isinstance(name, str) or not _DEVICE.fullmatch(name):
        raise BadInput(f"it must be a number or a text like 0 or 0:2, not {_shown(device)}", parameter="device")
    return Sample(SeriesName(task, kind, name), _time(one, now), _values(kind, one))


def _process(task: str, one: dict[str, Any], now: float) -> Sample:
    pid = one.get("pid")
    if type(pid) is not int or not 0 < pid <= MAX_PID:
        raise BadInput(f"it must be a process id, not {_shown(pid)}", parameter="pid")
    return Sample(SeriesName(task, "process", str(pid)), _time(one, now), _values("process", one))


def _host(task: str, one: dict[str, Any], now: float) -> Sample:
    return Sample(SeriesName(task, "host", ""), _time(one, now), _values("host", one))


def _mount(task: str, one: dict[str, Any], now: float) -> Sample:
    path = one.get("path")
    if not isinstance(path, str) or not path.startswith("/") or len(path) > MAX_MOUNT or "\0" in path:
        raise BadInput(f"it must be an absolute path of {MAX_MOUNT} characters at most", parameter="path")
    read_only = one.get("read_only")
    if read_only is not None and type(read_only) is not bool:
        raise BadInput(f"it must be true or false, not {_shown(read_only)}", parameter="read_only")
    flag = None if read_only is None else float(read_only)
    return Sample(
        SeriesName(task, "mount", path), _time(one, now), (*_values("mount", {**one, "read_only": None})[:2], flag)
    )


def _values(kind: str, one: dict[str, Any]) -> Values:
    values: list[float | None] = []
    for name in READINGS[kind]:
        given = one.get(name)
        if given is None or given == -1:
            values.append(None)
            continue
        if type(given) is not float and type(given) is not int:
            raise BadInput(f"it must be a number, not {_shown(given)}", parameter=name)
        if given != given:
            values.append(None)
            continue
        low, high = BOUNDS[name]
        if not low <= given <= high:
            raise BadInput(f"it must be {low:g} to {high:g}, not {_shown(given)}", parameter=name)
        values.append(float(given))
    return tuple(values)


def _time(one: dict[str, Any], now: float) -> int:
    text = one.get("at")
    if not isinstance(text, str):
        raise BadInput("it must be a time with its zone, as in 2026-11-20T12:00:00Z", parameter="at")
    try:
        at = _read_time(text)
    except BadInput as error:
        raise BadInput(error.message.removeprefix("at ").removesuffix("."), parameter="at") from None
    if not EARLIEST <= at <= now + AHEAD_SECONDS:
        raise BadInput(
            f"it must be after the year 2000 and not in the future, not {_shown(text)}; is a clock wrong?",
            parameter="at",
        )
    return round(at * 1000)


@lru_cache(maxsize=4096)  # the cards of a node share their moment
def _read_time(text: str) -> float:
    return read_time("at", text)


def _samplers(given: Any) -> tuple[SamplerReport, ...] | None:
    if given is None:
        return None
    if not isinstance(given, list) or len(given) > MAX_SAMPLERS:
        raise BadInput(f"samplers must be a list of at most {MAX_SAMPLERS}.", parameter="samplers")
    found = []
    for number, one in enumerate(given):
        held = one if isinstance(one, dict) else {}
        name, state, reason = held.get("name"), held.get("state"), held.get("reason")
        where = f"samplers[{number}]"
        if not isinstance(name, str) or not _SAMPLER.fullmatch(name):
            raise BadInput(f"{where}.name must be like nvidia or npu-smi.", parameter=f"{where}.name")
        if state not in STATES:
            raise BadInput(f"{where}.state must be one of {', '.join(STATES)}.", parameter=f"{where}.state")
        if reason is not None and not isinstance(reason, str):
            raise BadInput(f"{where}.reason must be a text.", parameter=f"{where}.reason")
        found.append(SamplerReport(name, cast(SamplerState, state), (reason or "")[:MAX_REASON]))
    return tuple(found)


def _hang_minutes(given: dict[str, Any]) -> float | None:
    minutes = given.get("hang_detect_minutes")
    if minutes is None:
        return None
    if type(minutes) not in (int, float) or not 0 < minutes <= MAX_HANG_MINUTES:
        raise BadInput(
            f"hang_detect_minutes must be a number above 0, {MAX_HANG_MINUTES:g} at most.",
            parameter="hang_detect_minutes",
        )
    return float(minutes)


def _json(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except ValueError as exc:
        if b"NaN" not in body:
            raise BadBody(f"The body is not JSON: {exc}.") from exc
    try:
        given = json.loads(body.decode(), parse_constant=_constant)
        orjson.dumps(given)  # refuses what it would not have read: lone surrogates, integers past 64 bits
        return given
    except (ValueError, TypeError, RecursionError) as exc:
        raise BadBody(f"The body is not JSON: {exc}.") from exc


def _constant(name: str) -> float:
    if name != "NaN":
        raise ValueError(f"{name} is no reading")
    return math.nan


def _text(given: dict[str, Any], name: str) -> str:
    text = given.get(name)
    if not isinstance(text, str):
        raise BadInput(f"{name} must be a text.", parameter=name)
    return text


def _list(given: dict[str, Any], name: str) -> list[Any]:
    held = given.get(name)
    if held is None:
        return []
    if not isinstance(held, list):
        raise BadInput(f"{name} must be a list.", parameter=name)
    return held


def _at(error: BadInput, where: str) -> BadInput:
    parameter = error.detail.get("parameter")
    place = f"{where}.{parameter}" if parameter else where
    return BadInput(f"{place}: {error.message}.", parameter=place)


def _shown(value: Any) -> str:
    if isinstance(value, (list, dict)):  # of millions, a few
        return reprlib.repr(value).encode("ascii", "backslashreplace").decode()[:40]
    return ascii(value)[:40]

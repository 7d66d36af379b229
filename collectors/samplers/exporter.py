"""Cards as an npu-exporter or a dcgm-exporter on this node tells of them: its `/metrics` page, scraped.

A value that no card can have is no reading: exporters write −1, 4294967295 or 9223372036854775794
where they have none. A page that its exporter measured long ago is no reading either.

Whose a card is, the exporter knows from Kubernetes. A pod named as those of a training job
(`modelarts-job-<job>-<task>`, `ma-job-…`) gives job and task; a card of any other pod is left out,
unless that pod is this one.

Sources: npu-exporter, Prometheus metrics API; dcgm-exporter, default counters; DCGM, "blank" values.
"""

from __future__ import annotations

import http.client
import re
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Optional
from urllib.parse import urlsplit

from collectors.samplers import DeviceReading, Failed, Hung, Reading
from collectors.samplers.command import TOOL_SECONDS
from collectors.samplers.exposition import Metric, metrics
from collectors.samplers.text import MEBI, NotUnderstood

PAGE_BYTES = 16 << 20
STALE_SECONDS = 60.0
SHOWN_CARDS = 4  # in a remark

_POD = re.compile(r"(?:modelarts|ma)-job-([A-Za-z0-9._-]{1,128})-([a-z]+-[0-9]{1,9})")
_DEVICE = re.compile(r"[0-9]{1,9}")

# Name of a metric -> the value's name in `_Card.values`, and what it is multiplied by.
NPU = {
    "npu_chip_info_utilization": ("utilization", 1.0),
    "npu_chip_info_hbm_used_memory": ("hbm_used", MEBI),
    "npu_chip_info_hbm_total_memory": ("hbm_total", MEBI),
    "npu_chip_info_used_memory": ("ddr_used", MEBI),
    "npu_chip_info_total_memory": ("ddr_total", MEBI),
    "npu_chip_info_power": ("power", 1.0),
    "npu_chip_info_temperature": ("temperature", 1.0),
    "npu_chip_info_process_info_num": ("processes", 1.0),
}
NPU_PROCESS = "npu_chip_info_process_info"  # one for each, with its `process_id`; an empty one where there is none
GPU = {
    "DCGM_FI_DEV_GPU_UTIL": ("utilization", 1.0),
    "DCGM_FI_PROF_GR_ENGINE_ACTIVE": ("engine", 100.0),  # 0-1; all that there is for an instance
    "DCGM_FI_DEV_FB_USED": ("fb_used", MEBI),
    "DCGM_FI_DEV_FB_FREE": ("fb_free", MEBI),
    "DCGM_FI_DEV_FB_RESERVED": ("fb_reserved", MEBI),
    "DCGM_FI_DEV_FB_TOTAL": ("fb_total", MEBI),
    "DCGM_FI_DEV_POWER_USAGE": ("power", 1.0),
    "DCGM_FI_DEV_GPU_TEMP": ("temperature", 1.0),
}
_LIMITS = {  # what a card can have; bytes for the rest
    "utilization": (0.0, 100.0),
    "engine": (0.0, 100.0),
    "power": (0.0, 100_000.0),
    "temperature": (-99.0, 300.0),
    "processes": (0.0, 1e6),
}
_BYTES = (0.0, float(1 << 43))


@dataclass
class _Card:
    """What a page says of one card."""

    kind: str
    values: dict[str, float] = field(default_factory=dict)
    pids: Optional[set[str]] = None
    uuids: set[str] = field(default_factory=set)
    pods: set[str] = field(default_factory=set)


class Exporter:
    """Scrapes one page. See `Sampler`."""

    name = "exporter"

    def __init__(self, url: str, *, now: Callable[[], float] = time.time, seconds: float = TOOL_SECONDS) -> None:
        """
        Args:
            url: of the page; without a path, `/metrics`.
            now: Unix seconds.
            seconds: for one page.
        """
        self.remark = ""
        self._url = check_url(url)
        self._now, self._seconds = now, seconds

    def open(self) -> None:
        """Nothing to find: the page is asked for with each sample."""

    def sample(self) -> list[Reading]:
        """The cards of the page as it is now; see `Sampler`."""
        text = _page(self._url, self._seconds)
        found, self.remark = readings(metrics(text, self._url), self._url, self._now(), socket.gethostname())
        return list(found)

    def close(self) -> None:
        """Nothing is kept open."""


def check_url(url: str) -> str:
    """The page's URL, whole; ValueError with a sentence where it is none."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{url!r} is no URL of an exporter, as in http://127.0.0.1:8082/metrics")
    if parts.username is not None or parts.password is not None:
        raise ValueError("the exporter's URL holds a user or password, which would be shown; exporters ask for none")
    if parts.port == 0:  # one that is no number raises ValueError by itself
        raise ValueError(f"{url!r} has no port to ask")
    path = parts.path if parts.path not in ("", "/") else "/metrics"
    return f"{parts.scheme}://{parts.netloc}{path}" + (f"?{parts.query}" if parts.query else "")


def readings(page: list[Metric], what: str, now: float, pod: str) -> tuple[list[DeviceReading], str]:
    """
    The cards of a page, and what was left out of it.

    Args:
        what: whose page, for sentences.
        now: Unix seconds.
        pod: ours.

    Raises: NotUnderstood where the page tells of no card, or of two with one name.
    """
    fresh = [metric for metric in page if metric.at_ms is None or now - metric.at_ms / 1000 <= STALE_SECONDS]
    cards = _cards(fresh, what)
    if not cards:
        if _cards(page, what):
            age = now - max(metric.at_ms or 0 for metric in page) / 1000
            raise Failed(f"{what}: the exporter's newest values are {age:.0f} s old")
        known = f"{next(iter(NPU))} or {next(iter(GPU))}"
        raise NotUnderstood(f"{what}: {len(page)} metrics, none that we know, such as {known}")
    found, foreign = [], []
    for device, card in cards.items():
        named = [_POD.fullmatch(name) for name in card.pods]
        if card.pods and pod not in card.pods and not any(named):
            foreign.append(device)
            continue
        reading = _reading(device, card)
        if len(card.pods) == 1 and named[0]:
            reading = reading._replace(job=named[0][1], task=named[0][2])
        found.append(reading)
    return found, f"cards of other pods: {_some(foreign)}" if foreign else ""


def _cards(page: list[Metric], what: str) -> dict[str, _Card]:
    cards: dict[tuple[str, str], _Card] = {}
    for metric in page:
        kind = "npu" if metric.name in NPU or metric.name == NPU_PROCESS else "gpu" if metric.name in GPU else ""
        device = _device(metric.labels, kind)
        if not device:
            continue
        card = cards.setdefault((kind, device), _Card(kind))
        card.uuids |= _label(metric.labels, "vdie_id", "uuid", "UUID")
        card.pods |= _label(metric.labels, "pod_name", "podName", "pod", "exported_pod")
        if len(card.uuids) > 1:
            raise NotUnderstood(
                f"{what}: two cards are called {device}; name the exporter of this node, not of several"
            )
        if metric.name == NPU_PROCESS:
            card.pids = (card.pids or set()) | _label(metric.labels, "process_id")
            continue
        name, factor = (NPU if kind == "npu" else GPU)[metric.name]
        low, high = _LIMITS.get(name, _BYTES)
        if low <= metric.value * factor <= high and metric.value != -1:
            card.values[name] = metric.value * factor
    if len({device for _, device in cards}) < len(cards):
        raise NotUnderstood(f"{what}: NPUs and GPUs with the same numbers on one page")
    ordered = sorted(cards.items(), key=lambda item: [int(part) for part in item[0][1].split(":")])
    return {device: card for (_, device), card in ordered}


def _device(labels: Mapping[str, str], kind: str) -> str:
    """Index in the node; empty where the metric is of no whole card. Instances of a GPU are `0:2`."""
    if kind == "npu":
        if labels.get("v_dev_id") or labels.get("vNpuID"):
            return ""  # a part of a card, which has its own line
        device = labels.get("id", labels.get("npuID", ""))
    else:
        device = labels.get("gpu", "")
    if not kind or not _DEVICE.fullmatch(device):
        return ""
    instance = labels.get("GPU_I_ID", "")
    return f"{int(device)}:{int(instance)}" if _DEVICE.fullmatch(instance) else str(int(device))


def _label(labels: Mapping[str, str], *names: str) -> set[str]:
    return {labels[name] for name in names if labels.get(name)}


def _reading(device: str, card: _Card) -> DeviceReading:
    get = card.values.get
    if card.kind == "npu":
        memory = "hbm" if get("hbm_total") else "ddr"
        used, total = get(f"{memory}_used"), get(f"{memory}_total") or None
        utilization = get("utilization")
    else:
        used, total = get("fb_used"), get("fb_total")
        if total is None and used is not None and "fb_free" in card.values:
            total = used + card.values["fb_free"] + card.values.get("fb_reserved", 0.0)
        utilization = get("utilization", get("engine"))
        if ":" in device:
            utilization = get("engine")  # the other one is of the whole card
    count = get("processes", None if card.pids is None else len(card.pids))
    return DeviceReading(
        device,
        card.kind,
        utilization,
        None if total is None else used,
        total,
        None if ":" in device else get("power"),  # of the whole card, told for each of its instances
        get("temperature"),
        None if count is None else int(count),
        uuid=next(iter(card.uuids), ""),
    )


def _some(devices: list[str]) -> str:
    more = len(devices) - SHOWN_CARDS
    return ", ".join(devices[:SHOWN_CARDS]) + (f" and {more} more" if more > 0 else "")


def _page(url: str, seconds: float) -> str:
    """The page's text, all of it within the time; raises Failed, Hung."""
    parts = urlsplit(url)
    until = time.monotonic() + seconds
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=seconds)  # no proxy: it is on this node
    try:
        connection.request("GET", url.partition(parts.netloc)[2], headers={"Accept": "text/plain;version=0.0.4"})
        wire = connection.sock  # the answer keeps it, the connection may not
        answer = connection.getresponse()
        if answer.status != 200:
            raise Failed(f"{url}: HTTP {answer.status}")
        pieces, size = [], 0
        while True:
            left = until - time.monotonic()
            if left <= 0:
                raise Hung(f"{url}: no whole page in {seconds:g} s")
            wire.settimeout(left)
            piece = answer.read1(1 << 16)
            if not piece:
                break
            pieces.append(piece)
            size += len(piece)
            if size > PAGE_BYTES:
                raise Failed(f"{url}: a page of more than {PAGE_BYTES:,} bytes")
        if answer.length:
            raise Failed(f"{url}: the page ends {answer.length} bytes early")
    except socket.timeout as exc:
        raise Hung(f"{url}: no answer in {seconds:g} s") from exc
    except (OSError, http.client.HTTPException) as exc:
        words = getattr(exc, "strerror", None) or str(exc) or type(exc).__name__
        raise Failed(f"{url}: {words}") from exc
    finally:
        connection.close()
    return b"".join(pieces).decode("utf-8", "replace")

"""A small NVML: the functions of the C library that `pynvml` calls, over cards that a test makes.

The real `pynvml` stands before it, with its own structures and errors. A function gets what the C function gets:
numbers as ctypes objects, and places to write to.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pynvml

OK = pynvml.NVML_SUCCESS


@dataclass
class FakeCard:
    """
    One card, or one instance of it.

    Attributes:
        errors: function name -> what it returns in place of an answer.
        instances: by number; their GPU instance and what it uses.
    """

    use: int = 0
    memory_used: int = 0
    memory_total: int = 80 << 30
    milliwatts: int = 100_000
    degrees: int = 40
    pids: tuple[int, ...] = ()
    uuid: str = "GPU-0"
    gpu_instance: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    instances: dict[int, FakeCard] = field(default_factory=dict)
    has_gpm: bool = True


class FakeNvml:
    """
    The library.

    Attributes:
        samples: GPM samples that were allocated and not freed.
        missing: functions that this driver does not have.
    """

    def __init__(self, *cards: FakeCard) -> None:
        self.cards = list(cards)
        self.errors: dict[str, int] = {}
        self.missing: set[str] = set()
        self.samples: dict[int, float] = {}
        self.initialized = 0
        self._next_sample = 1

    def __getattr__(self, name: str) -> Any:
        function = None if name in self.missing else type(self).__dict__.get("_" + name)
        if function is None:
            raise AttributeError(name)

        def call(*given: Any) -> int:
            if name in self.errors:
                return self.errors[name]
            return int(function(self, *given) or OK)

        return call

    def _nvmlInitWithFlags(self, flags: int) -> None:
        self.initialized += 1

    def _nvmlShutdown(self) -> None:
        self.initialized -= 1

    def _nvmlDeviceGetCount_v2(self, count: Any) -> None:
        count._obj.value = len(self.cards)

    def _nvmlDeviceGetHandleByIndex_v2(self, index: Any, handle: Any) -> int:
        card = self.cards[index.value]
        _point(handle, index.value + 1)
        return card.errors.get("nvmlDeviceGetHandleByIndex", OK)

    def _nvmlDeviceGetUtilizationRates(self, handle: Any, use: Any) -> int:
        card = self._card(handle)
        use._obj.gpu = card.use
        return self._error(handle, "nvmlDeviceGetUtilizationRates")

    def _nvmlDeviceGetMemoryInfo_v2(self, handle: Any, memory: Any) -> int:
        assert memory._obj.version == pynvml.nvmlMemory_v2
        card = self._card(handle)
        memory._obj.total, memory._obj.used, memory._obj.reserved = card.memory_total, card.memory_used, 1 << 20
        return self._error(handle, "nvmlDeviceGetMemoryInfo")

    def _nvmlDeviceGetMemoryInfo(self, handle: Any, memory: Any) -> None:
        card = self._card(handle)
        memory._obj.total, memory._obj.used = card.memory_total, card.memory_used + (1 << 20)

    def _nvmlDeviceGetPowerUsage(self, handle: Any, milliwatts: Any) -> int:
        milliwatts._obj.value = self._card(handle).milliwatts
        return self._error(handle, "nvmlDeviceGetPowerUsage")

    def _nvmlDeviceGetTemperatureV(self, handle: Any, temperature: Any) -> int:
        assert temperature._obj.version == pynvml.nvmlTemperature_v1
        temperature._obj.temperature = self._card(handle).degrees
        return self._error(handle, "nvmlDeviceGetTemperature")

    def _nvmlDeviceGetTemperature(self, handle: Any, sensor: Any, degrees: Any) -> None:
        degrees._obj.value = self._card(handle).degrees

    def _nvmlDeviceGetUUID(self, handle: Any, buffer: Any, size: Any) -> None:
        buffer.value = self._card(handle).uuid.encode()

    def _nvmlDeviceGetComputeRunningProcesses_v3(self, handle: Any, count: Any, processes: Any) -> int:
        pids = self._card(handle).pids
        room, count._obj.value = count._obj.value, len(pids)
        if room < len(pids):
            return int(pynvml.NVML_ERROR_INSUFFICIENT_SIZE)
        for place, pid in enumerate(pids):
            processes[place].pid = pid
        return self._error(handle, "nvmlDeviceGetComputeRunningProcesses")

    def _nvmlDeviceGetMigMode(self, handle: Any, current: Any, pending: Any) -> int:
        card = self._card(handle)
        current._obj.value = pending._obj.value = int(bool(card.instances))
        return self._error(handle, "nvmlDeviceGetMigMode")

    def _nvmlDeviceGetMaxMigDeviceCount(self, handle: Any, count: Any) -> None:
        count._obj.value = 7

    def _nvmlDeviceGetMigDeviceHandleByIndex(self, handle: Any, index: Any, instance: Any) -> int:
        if index.value not in self._card(handle).instances:
            return int(pynvml.NVML_ERROR_NOT_FOUND)
        _point(instance, _value(handle) + 100 * (index.value + 1))
        return OK

    def _nvmlDeviceGetGpuInstanceId(self, handle: Any, number: Any) -> None:
        number._obj.value = self._card(handle).gpu_instance

    def _nvmlGpmQueryDeviceSupport(self, handle: Any, support: Any) -> None:
        support._obj.isSupportedDevice = int(self._card(handle).has_gpm)

    def _nvmlGpmSampleAlloc(self, sample: Any) -> None:
        self.samples[self._next_sample] = -1.0
        _point(sample, self._next_sample)
        self._next_sample += 1

    def _nvmlGpmSampleFree(self, sample: Any) -> None:
        del self.samples[_value(sample)]

    def _nvmlGpmMigSampleGet(self, handle: Any, gpu_instance: int, sample: Any) -> int:
        card = self._card(handle)
        instance = next(entry for entry in card.instances.values() if entry.gpu_instance == gpu_instance)
        self.samples[_value(sample)] = instance.use
        return instance.errors.get("nvmlGpmMigSampleGet", OK)

    def _nvmlGpmMetricsGet(self, question: Any) -> None:
        asked = question._obj
        assert (asked.version, asked.numMetrics) == (pynvml.NVML_GPM_METRICS_GET_VERSION, 1)
        assert asked.metrics[0].metricId == pynvml.NVML_GPM_METRIC_GRAPHICS_UTIL
        assert _value(asked.sample1) < _value(asked.sample2)
        asked.metrics[0].value = self.samples[_value(asked.sample2)]

    def _card(self, handle: Any) -> FakeCard:
        instance, card = divmod(_value(handle), 100)
        found = self.cards[card - 1]
        return found.instances[instance - 1] if instance else found

    def _error(self, handle: Any, name: str) -> int:
        return self._card(handle).errors.get(name, OK)


@contextmanager
def installed(library: FakeNvml) -> Iterator[Any]:
    """`pynvml` over this library."""
    before = pynvml.nvmlLib
    pynvml.nvmlLib = library
    pynvml._nvmlGetFunctionPointer_cache.clear()
    try:
        yield pynvml
    finally:
        pynvml.nvmlLib = before
        pynvml._nvmlGetFunctionPointer_cache.clear()


def _point(place: Any, number: int) -> None:
    """Write an opaque pointer."""
    ctypes.cast(place, ctypes.POINTER(ctypes.c_void_p))[0] = number


def _value(handle: Any) -> int:
    return ctypes.cast(handle, ctypes.c_void_p).value or 0

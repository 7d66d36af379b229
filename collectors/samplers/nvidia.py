"""NVIDIA cards by NVML, else by the text of `nvidia-smi`. Runs in a child: a driver may hang, or take its caller along.

NVML is asked through `pynvml` as nvidia-ml-py has it, a single file. An older package of the same name is a folder,
and no longer kept: it is passed over.

Sources: NVML API reference; nvidia-ml-py.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from typing import Any, Optional

from collectors.samplers import OPEN_SECONDS, Absent, DeviceReading, Failed, Reading
from collectors.samplers.command import Tool
from collectors.samplers.nvidia_smi import PROGRAM, cards_by_text

FIRST_NAMESPACE = "pid:[4026531836]"  # of the node itself: the kernel gives it this number
LOST = ("GpuIsLost", "ResetRequired", "GpuNotFound", "NotFound")  # this card; the others go on
BROKEN = ("Uninitialized", "DriverNotLoaded", "LibRmVersionMismatch")  # nothing comes of asking on
MILLI = 1e-3


def is_here() -> bool:
    """Whether there is anything of NVIDIA's to be asked."""
    return os.path.exists("/dev/nvidiactl") or shutil.which(PROGRAM) is not None


def sampler() -> Nvidia:
    """In the child."""
    return Nvidia(_nvml())


class Nvidia:
    """Sampler `nvidia`."""

    def __init__(self, nvml: Any, *, proc: str = "/proc") -> None:
        """Args: nvml: the module `pynvml`, or None."""
        self.name, self.remark = "nvidia", ""
        self._nvml, self._proc = nvml, proc
        self._cards: Optional[_Cards] = None
        self._tool = Tool(leads=False)  # a child is killed with it

    def open(self) -> None:
        """See `Sampler`."""
        if self._nvml is not None:
            cards = _Cards(self._nvml, self._proc)
            try:
                cards.open()
                self._cards = cards
                return
            except Absent:
                if shutil.which(PROGRAM) is None:
                    raise
        cards_by_text(self._tool, seconds=OPEN_SECONDS / 3, count_processes=False)

    def sample(self) -> list[Reading]:
        """See `Sampler`."""
        if self._cards is None:
            return list(cards_by_text(self._tool, count_processes=is_first_namespace(self._proc)))
        readings = self._cards.sample()
        self.remark = "; ".join(self._cards.lost)
        if not readings and self._cards.lost:
            raise Failed(self.remark)
        return list(readings)

    def close(self) -> None:
        """See `Sampler`."""
        self._tool.close()
        if self._cards is not None:
            self._cards.close()
            self._cards = None


class _Cards:
    """
    All cards by NVML.

    Attributes:
        lost: what was said of cards that could not be read in the last sample.
    """

    def __init__(self, nvml: Any, proc: str) -> None:
        self.lost: list[str] = []
        self._nvml, self._proc = nvml, proc
        self._gpm: dict[tuple[int, int], Any] = {}  # (card, GPU instance) -> its sample before

    def open(self) -> None:
        nvml = self._nvml
        try:
            nvml.nvmlInit()
            if not nvml.nvmlDeviceGetCount():
                raise Absent("the NVIDIA driver has no card")
        except nvml.NVMLError as exc:
            words = f"NVML: {exc}"
            if _is(nvml, exc, ("LibraryNotFound", "DriverNotLoaded")):
                raise Absent(words) from exc
            raise Failed(words) from exc

    def sample(self) -> list[DeviceReading]:
        nvml = self._nvml
        self.lost = []
        readings: list[DeviceReading] = []
        try:
            count = nvml.nvmlDeviceGetCount()
        except nvml.NVMLError as exc:
            raise Failed(f"NVML: {exc}") from exc
        for index in range(count):
            try:
                readings += self._card(index, nvml.nvmlDeviceGetHandleByIndex(index))
            except nvml.NVMLError as exc:
                if _is(nvml, exc, BROKEN):
                    raise Failed(f"NVML: {exc}") from exc
                self.lost.append(f"card {index}: {exc}")
        return readings

    def close(self) -> None:
        before, self._gpm = self._gpm, {}
        try:
            for sample in before.values():
                self._nvml.nvmlGpmSampleFree(sample)
            self._nvml.nvmlShutdown()
        except self._nvml.NVMLError:
            pass

    def _card(self, index: int, handle: Any) -> list[DeviceReading]:
        nvml = self._nvml
        use = self._value(lambda: nvml.nvmlDeviceGetUtilizationRates(handle).gpu)
        milliwatts = self._value(lambda: nvml.nvmlDeviceGetPowerUsage(handle))
        whole = self._reading(str(index), handle)._replace(
            utilization_percent=use,
            power_watts=None if milliwatts is None else milliwatts * MILLI,
            temperature_celsius=self._value(lambda: self._temperature(handle)),
        )
        mode = self._value(lambda: nvml.nvmlDeviceGetMigMode(handle))
        if not mode or mode[0] != nvml.NVML_DEVICE_MIG_ENABLE:
            return [whole]
        # The card's own figure means nothing while it is partitioned.
        return [whole._replace(utilization_percent=None), *self._instances(index, handle)]

    def _instances(self, index: int, handle: Any) -> list[DeviceReading]:
        nvml = self._nvml
        found = []
        use: dict[int, Optional[float]] = {}  # by GPU instance: several devices may share one
        for number in range(self._value(lambda: nvml.nvmlDeviceGetMaxMigDeviceCount(handle)) or 0):
            instance = self._instance(handle, number)
            if instance is None:
                continue
            gpu_instance = self._value(nvml.nvmlDeviceGetGpuInstanceId, instance)
            if gpu_instance is not None and gpu_instance not in use:
                use[gpu_instance] = self._value(self._gpm_use, index, handle, gpu_instance)
            reading = self._reading(f"{index}:{number}", instance)
            found.append(reading._replace(utilization_percent=use.get(gpu_instance)))
        return found

    def _instance(self, handle: Any, number: int) -> Any:
        """Handle of an instance; None: there is none of that number."""
        nvml = self._nvml
        try:
            return nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, number)
        except nvml.NVMLError as exc:
            if _is(nvml, exc, ("NotFound", "InvalidArgument")):
                return None
            raise

    def _reading(self, device: str, handle: Any) -> DeviceReading:
        """Memory, processes and name: of a card and of an instance."""
        nvml = self._nvml
        memory = self._value(lambda: self._memory(handle))
        pids = self._value(lambda: [entry.pid for entry in nvml.nvmlDeviceGetComputeRunningProcesses(handle)])
        seen = pids is not None and are_ours(pids, self._proc)
        uuid = self._value(lambda: nvml.nvmlDeviceGetUUID(handle))
        return DeviceReading(
            device,
            "gpu",
            memory_used_bytes=memory.used if memory else None,
            memory_total_bytes=memory.total if memory else None,
            process_count=len(set(pids)) if seen else None,
            uuid=_text(uuid),
            pids=tuple(sorted(set(pids))) if seen else (),
        )

    def _memory(self, handle: Any) -> Any:
        """The second form tells what the driver itself reserves apart, as nvidia-smi does."""
        nvml = self._nvml
        try:
            return nvml.nvmlDeviceGetMemoryInfo(handle, version=nvml.nvmlMemory_v2)
        except (nvml.NVMLError, AttributeError, TypeError) as exc:
            if isinstance(exc, nvml.NVMLError) and not _is(nvml, exc, ("FunctionNotFound", "NotSupported")):
                raise
            return nvml.nvmlDeviceGetMemoryInfo(handle)

    def _temperature(self, handle: Any) -> float:
        nvml = self._nvml
        ask = getattr(nvml, "nvmlDeviceGetTemperatureV", None)  # the older one goes with CUDA 14
        try:
            if ask is not None:
                return float(ask(handle, nvml.NVML_TEMPERATURE_GPU))
        except nvml.NVMLError as exc:
            if not _is(nvml, exc, ("FunctionNotFound", "NotSupported")):
                raise
        return float(nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU))

    def _gpm_use(self, index: int, handle: Any, gpu_instance: int) -> Optional[float]:
        """
        Percent of the time since the sample before in which an instance did something; None at first.

        Source: NVML API reference, GPM functions (Hopper and newer).
        """
        nvml = self._nvml
        if not nvml.nvmlGpmQueryDeviceSupport(handle).isSupportedDevice:
            return None
        fresh = nvml.nvmlGpmSampleAlloc()
        try:
            nvml.nvmlGpmMigSampleGet(handle, gpu_instance, fresh)
        except nvml.NVMLError:
            nvml.nvmlGpmSampleFree(fresh)
            raise
        before, self._gpm[index, gpu_instance] = self._gpm.get((index, gpu_instance)), fresh
        if before is None:
            return None
        try:
            question = nvml.c_nvmlGpmMetricsGet_t()
            question.version, question.numMetrics = nvml.NVML_GPM_METRICS_GET_VERSION, 1
            question.sample1, question.sample2 = before, fresh
            question.metrics[0].metricId = nvml.NVML_GPM_METRIC_GRAPHICS_UTIL
            answer = nvml.nvmlGpmMetricsGet(question).metrics[0]
        finally:
            nvml.nvmlGpmSampleFree(before)
        return round(min(100.0, answer.value), 2) if answer.nvmlReturn == nvml.NVML_SUCCESS else None

    def _value(self, ask: Callable[..., Any], *given: Any) -> Any:
        """What NVML says; None where it does not know that. Raises where it says that the card is lost."""
        nvml = self._nvml
        try:
            return ask(*given)
        except nvml.NVMLError as exc:
            if _is(nvml, exc, (*LOST, *BROKEN)):
                raise
            return None
        except (AttributeError, getattr(nvml, "NVMLLibraryMismatchError", AttributeError)):
            return None  # this pynvml, or this driver, is older than the question


def are_ours(pids: Sequence[int], proc: str) -> bool:
    """
    Whether these are all that hold a card, by their numbers here.

    In a container drivers name processes by the node's numbers, or none at all: then nothing is known, and none is
    not 0.
    """
    return is_first_namespace(proc) or (bool(pids) and all(os.path.exists(f"{proc}/{pid}") for pid in pids))


def is_first_namespace(proc: str = "/proc") -> bool:
    """Whether pids here are those of the node."""
    try:
        return os.readlink(f"{proc}/self/ns/pid") == FIRST_NAMESPACE
    except OSError:
        return False


def _nvml() -> Any:
    try:
        import pynvml
    except ImportError:
        return None
    return None if hasattr(pynvml, "__path__") else pynvml


def _is(nvml: Any, exc: BaseException, names: Sequence[str]) -> bool:
    kinds = tuple(kind for name in names if (kind := getattr(nvml, f"NVMLError_{name}", None)))
    return isinstance(exc, kinds)


def _text(name: Any) -> str:
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name or "")

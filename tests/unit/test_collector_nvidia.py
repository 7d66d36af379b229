"""NVIDIA cards: `pynvml` before a small NVML, captured text of `nvidia-smi`, and a real card where there is one."""

from __future__ import annotations

import os
import sys
import types
from pathlib import Path

import pynvml
import pytest

from collectors.samplers import Absent, DeviceReading, Failed, nvidia_smi
from collectors.samplers import nvidia as nvidia_module
from collectors.samplers.child import InChild
from collectors.samplers.command import TOOL_SECONDS
from collectors.samplers.nvidia import Nvidia, is_here
from collectors.samplers.nvidia_smi import TEXT_SECONDS, cards_by_text, parse_cards, parse_processes
from fake_nvml import FakeCard, FakeNvml, installed

SAMPLES = Path(__file__).resolve().parents[1] / "samples" / "accelerators" / "nvidia-smi"
MIB, GIB = 1 << 20, 1 << 30


@pytest.fixture
def node(tmp_path: Path) -> str:
    """A /proc of the node itself."""
    return proc_of(tmp_path, "pid:[4026531836]")


def proc_of(folder: Path, namespace: str, *pids: int) -> str:
    (folder / "self" / "ns").mkdir(parents=True)
    os.symlink(namespace, folder / "self" / "ns" / "pid")
    for pid in pids:
        (folder / str(pid)).mkdir()
    return str(folder)


def sampled(library: FakeNvml, proc: str, *, times: int = 1) -> tuple[list[DeviceReading], str]:
    """Readings of the last of some samples, and the remark."""
    with installed(library) as nvml:
        sampler = Nvidia(nvml, proc=proc)
        sampler.open()
        for _ in range(times):
            readings = sampler.sample()
        remark = sampler.remark
        sampler.close()
        sampler.close()
    assert not library.initialized
    return readings, remark  # type: ignore[return-value]


def test_two_cards(node: str) -> None:
    library = FakeNvml(
        FakeCard(93, 10 * GIB, 80 * GIB, 631_950, 59, (101, 102), "GPU-a"),
        FakeCard(0, 0, 80 * GIB, 70_000, 30, (), "GPU-b"),
    )
    readings, remark = sampled(library, node)
    assert readings == [
        DeviceReading("0", "gpu", 93, 10 * GIB, 80 * GIB, 631.95, 59.0, 2, "GPU-a", (101, 102)),
        DeviceReading("1", "gpu", 0, 0, 80 * GIB, 70.0, 30.0, 0, "GPU-b", ()),
    ]
    assert remark == ""


def test_processes_are_counted_only_where_their_pids_are_known(tmp_path: Path) -> None:
    """In a container NVML names the node's pids, or none: neither 0 nor a stranger's number is given."""
    proc = proc_of(tmp_path, "pid:[4026532211]", 7, 8)
    library = FakeNvml(FakeCard(pids=(7, 8)), FakeCard(pids=(7, 4711)), FakeCard(pids=()))
    readings, _ = sampled(library, proc)
    assert [(reading.process_count, reading.pids) for reading in readings] == [(2, (7, 8)), (None, ()), (None, ())]


def test_a_partitioned_card_has_no_utilization_and_its_instances_do(node: str) -> None:
    """From the second sample on: GPM compares two. Instances of one GPU instance have its figure."""
    card = FakeCard(use=77, memory_used=30 * GIB, uuid="GPU-a")
    card.instances = {
        0: FakeCard(60, 11 * GIB, 40 * GIB, pids=(5,), uuid="MIG-a", gpu_instance=2),
        1: FakeCard(25, 1 * GIB, 20 * GIB, uuid="MIG-b", gpu_instance=3),
        4: FakeCard(25, 2 * GIB, 20 * GIB, uuid="MIG-c", gpu_instance=3),
    }
    library = FakeNvml(card)
    first, _ = sampled(library, node)
    assert [reading.utilization_percent for reading in first] == [None, None, None, None]
    library.samples.clear()
    readings, _ = sampled(library, node, times=2)
    assert [(reading.device, reading.utilization_percent) for reading in readings] == [
        ("0", None),
        ("0:0", 60.0),
        ("0:1", 25.0),
        ("0:4", 25.0),
    ]
    assert [reading.memory_used_bytes for reading in readings] == [30 * GIB, 11 * GIB, 1 * GIB, 2 * GIB]
    assert readings[1].uuid == "MIG-a" and readings[1].process_count == 1
    assert readings[0].power_watts == 100.0 and readings[1].power_watts is None


def test_samples_of_gpm_are_given_back(node: str) -> None:
    card = FakeCard(instances={0: FakeCard(60, gpu_instance=2)})
    library = FakeNvml(card)
    with installed(library) as nvml:
        sampler = Nvidia(nvml, proc=node)
        sampler.open()
        for _ in range(10):
            sampler.sample()
        assert len(library.samples) == 1
        card.instances[0].errors["nvmlGpmMigSampleGet"] = pynvml.NVML_ERROR_NO_PERMISSION
        for _ in range(10):
            assert sampler.sample()[1].utilization_percent is None  # type: ignore[union-attr]
        assert len(library.samples) == 1
        sampler.close()
        assert not library.samples


def test_a_card_without_gpm_has_memory_per_instance_all_the_same(node: str) -> None:
    card = FakeCard(instances={0: FakeCard(60, 3 * GIB, gpu_instance=2)}, has_gpm=False)
    readings, _ = sampled(FakeNvml(card), node, times=3)
    assert (readings[1].utilization_percent, readings[1].memory_used_bytes) == (None, 3 * GIB)


@pytest.mark.parametrize(
    "where", ["nvmlDeviceGetHandleByIndex", "nvmlDeviceGetUtilizationRates", "nvmlDeviceGetPowerUsage"]
)
def test_a_lost_card_goes_stale_and_the_others_go_on(node: str, where: str) -> None:
    library = FakeNvml(FakeCard(90), FakeCard(80, errors={where: pynvml.NVML_ERROR_GPU_IS_LOST}), FakeCard(70))
    readings, remark = sampled(library, node)
    assert [(reading.device, reading.utilization_percent) for reading in readings] == [("0", 90), ("2", 70)]
    assert remark == "card 1: GPU is lost"


def test_all_cards_lost_is_a_failure(node: str) -> None:
    library = FakeNvml(FakeCard(errors={"nvmlDeviceGetHandleByIndex": pynvml.NVML_ERROR_GPU_IS_LOST}))
    with pytest.raises(Failed, match="card 0: GPU is lost"):
        sampled(library, node)


def test_what_a_card_does_not_know_is_no_reading(node: str) -> None:
    unknown = dict.fromkeys(
        (
            "nvmlDeviceGetUtilizationRates",
            "nvmlDeviceGetPowerUsage",
            "nvmlDeviceGetTemperature",
            "nvmlDeviceGetMigMode",
            "nvmlDeviceGetComputeRunningProcesses",
        ),
        pynvml.NVML_ERROR_NOT_SUPPORTED,
    )
    library = FakeNvml(FakeCard(50, 1 * GIB, errors=unknown, pids=(3,)))
    library.missing.add("nvmlDeviceGetTemperature")
    readings, remark = sampled(library, node)
    assert readings == [DeviceReading("0", "gpu", memory_used_bytes=GIB, memory_total_bytes=80 * GIB, uuid="GPU-0")]
    assert remark == ""


def test_an_older_driver_is_asked_the_older_way(node: str) -> None:
    library = FakeNvml(FakeCard(50, 1 * GIB, degrees=41, pids=(3,)))
    library.missing |= {
        "nvmlDeviceGetTemperatureV",
        "nvmlDeviceGetMemoryInfo_v2",
        "nvmlDeviceGetComputeRunningProcesses_v3",
        "nvmlDeviceGetMigMode",
    }
    readings, _ = sampled(library, node)
    assert (readings[0].temperature_celsius, readings[0].memory_used_bytes) == (41.0, GIB + MIB)
    assert readings[0].process_count is None


@pytest.mark.parametrize(
    ("error", "raised", "words"),
    [
        (pynvml.NVML_ERROR_DRIVER_NOT_LOADED, Absent, "NVML: Driver Not Loaded"),
        (pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, Absent, "NVML: NVML Shared Library Not Found"),
        (pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH, Failed, "NVML: RM has detected an NVML/RM version mismatch."),
    ],
)
def test_no_driver(
    node: str, error: int, raised: type[Exception], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    library = FakeNvml(FakeCard())
    library.errors["nvmlInitWithFlags"] = error
    with pytest.raises(raised) as caught, installed(library) as nvml:
        Nvidia(nvml, proc=node).open()
    assert str(caught.value) == words


def test_a_driver_that_goes_away_is_a_failure_of_all(node: str) -> None:
    library = FakeNvml(FakeCard(), FakeCard(errors={"nvmlDeviceGetPowerUsage": pynvml.NVML_ERROR_UNINITIALIZED}))
    with pytest.raises(Failed, match="NVML: Uninitialized"):
        sampled(library, node)


def test_the_old_package_of_the_same_name_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    old = types.ModuleType("pynvml")
    old.__path__ = ["/somewhere/pynvml"]  # a folder: nvidia-ml-py is a single file
    assert nvidia_module._nvml() is pynvml
    monkeypatch.setitem(sys.modules, "pynvml", old)
    assert nvidia_module._nvml() is None
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert nvidia_module._nvml() is None


@pytest.mark.parametrize(
    ("capture", "use", "used_mib", "watts", "degrees"),
    [("h100", 100.0, 19818, 631.95, 59.0), ("h100-mig", None, 11125, 433.78, 53.0)],
)
def test_captures_of_nvidia_smi(capture: str, use: float | None, used_mib: int, watts: float, degrees: float) -> None:
    """Every column is there in them: ours are found by name. A partitioned card says [N/A]."""
    uuid = "GPU-00000000-0000-0000-0000-000000000000"
    cards = parse_cards((SAMPLES / f"{capture}-590.48.01-load-query-gpu-csv.txt").read_text())
    assert cards == [DeviceReading("0", "gpu", use, used_mib * MIB, 81559 * MIB, watts, degrees, None, uuid)]
    pids = parse_processes((SAMPLES / f"{capture}-590.48.01-load-query-compute-apps-csv.txt").read_text())
    assert pids == {uuid: (11327, 11328, 11345) if capture == "h100" else (21180, 21181, 21198)}


HEAD = "index, uuid, utilization.gpu [%], memory.used [MiB], memory.total [MiB], power.draw [W], temperature.gpu\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "nvidia-smi answers without a column index: ''"),
        ("Failed to initialize NVML: Unknown Error\n", "nvidia-smi answers without a column index: 'Failed to"),
        (HEAD.replace("[MiB]", "[GiB]"), "nvidia-smi gives memory.used in an unknown unit, 'GiB'"),
        (HEAD.replace("utilization.gpu", "auslastung.gpu"), "nvidia-smi answers without a column utilization.gpu"),
        (HEAD + "0, GPU-a, 5 %\n", "nvidia-smi: a row of 3 cells below a header of 7"),
        (
            HEAD + "GPU 0, GPU-a, 5 %, 1 MiB, 2 MiB, 3 W, 4\n",
            "nvidia-smi says 'GPU 0' where a card's index is expected",
        ),
    ],
)
def test_text_of_an_unknown_form_is_told_and_not_guessed(text: str, words: str) -> None:
    with pytest.raises(Failed) as caught:
        parse_cards(text)
    assert str(caught.value).startswith(words)


def test_all_that_is_asked_of_the_tool_shares_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or whoever waits for the answers would kill the process that asks, and not the tool."""
    now, asked = [0.0], []
    monkeypatch.setattr(nvidia_smi.time, "monotonic", lambda: now[0])

    class Slow:
        def output(self, command: list[str], *, seconds: float) -> str:
            asked.append(seconds)
            now[0] += 3.0
            return HEAD if "compute" not in command[1] else "gpu_uuid, pid\n"

    assert cards_by_text(Slow(), count_processes=True) == []  # type: ignore[arg-type]
    assert asked == [TEXT_SECONDS, TEXT_SECONDS - 3.0] and TEXT_SECONDS < TOOL_SECONDS


def test_words_in_the_place_of_a_figure_are_no_reading() -> None:
    row = "0, GPU-a, [Unknown Error], ERR!, [N/A], [Not Supported], 61 F\n"
    assert parse_cards(HEAD + row) == [DeviceReading("0", "gpu", uuid="GPU-a")]


FAKE_SMI = """\
#!/bin/sh
case "$1" in
  --query-gpu=*) cat "$FAKE_FOLDER/cards" ;;
  --query-compute-apps=*) printf 'gpu_uuid, pid\\nGPU-a, 31\\nGPU-a, 32\\n' ;;
  *) exit 2 ;;
esac
"""


def test_the_text_is_read_where_there_is_no_pynvml(node: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(FAKE_SMI)
    program.chmod(0o755)
    (tmp_path / "cards").write_text(HEAD + "0, GPU-a, 5 %, 1 MiB, 2 MiB, 3.50 W, 4\n")
    monkeypatch.setenv("FAKE_FOLDER", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert is_here()
    sampler = Nvidia(None, proc=node)
    sampler.open()
    assert sampler.sample() == [DeviceReading("0", "gpu", 5.0, MIB, 2 * MIB, 3.5, 4.0, 2, "GPU-a", (31, 32))]
    sampler.close()


def test_a_real_card_says_what_it_does(capsys: pytest.CaptureFixture[str]) -> None:
    """As the collector asks it, in a child. Where there is none, one line says so, and the small NVML stands for it."""
    sampler = InChild("nvidia", "collectors.samplers.nvidia:sampler", is_here)
    try:
        sampler.open()
    except Absent as exc:
        with capsys.disabled():
            print(f"\nno NVIDIA card on this machine ({exc}): its calls run against a small NVML only")
        return
    readings = sampler.sample()
    sampler.close()
    assert readings
    for reading in readings:
        assert isinstance(reading, DeviceReading) and reading.kind == "gpu" and reading.uuid
        assert reading.utilization_percent is None or 0 <= reading.utilization_percent <= 100
        assert reading.memory_total_bytes and reading.memory_used_bytes is not None

"""Which cards belong to which job: variables, processes, the only job there is; and how readings become JSON."""

from __future__ import annotations

import pytest

from collectors.samplers import DeviceReading, HostReading, MountReading, ProcessReading
from collectors.samplers.cards import Home, named, owners, visible
from collectors.samplers.lane import Condition
from collectors.samplers.render import Taken, bodies

GPUS = [DeviceReading(str(index), "gpu", uuid=f"GPU-{index}abc") for index in range(4)]
MIG = [
    DeviceReading("0", "gpu", uuid="GPU-a"),
    DeviceReading("0:0", "gpu", uuid="MIG-a"),
    DeviceReading("0:1", "gpu", uuid="MIG-b"),
    DeviceReading("1", "gpu", uuid="GPU-b"),
]
NPUS = [DeviceReading(str(index), "npu") for index in range(16)]
ALL = {"0", "1", "2", "3"}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", None),
        ("all", None),
        ("0,1", ("0", "1")),
        (" 3 , 2 ", ("3", "2")),
        ("0-2,5", ("0", "1", "2", "5")),
        ("Ascend910-1,Ascend910-7", ("1", "7")),
        ("0,0", ("0",)),
        ("0:1", ("0:1",)),
        ("GPU-1f2e,MIG-aa-bb", ("GPU-1f2e", "MIG-aa-bb")),
        ("MIG-GPU-1f2e/3/0", ("MIG-GPU-1f2e/3/0",)),
        ("0,-1,2", ("0",)),
        ("none", ()),
        ("void", None),
        ("/var/run/nvidia-container-devices", None),
        ("-1", ()),
        ("NoDevFiles", ()),
        ("5-2", ()),
    ],
)
def test_what_a_variable_names(text: str, names: tuple[str, ...] | None) -> None:
    found = named(text)
    assert (found.names if found else None) == names


@pytest.mark.parametrize(
    ("cards", "environment", "devices"),
    [
        (GPUS, {}, None),
        (GPUS, {"CUDA_VISIBLE_DEVICES": "2,0"}, {"0", "2"}),
        (GPUS, {"CUDA_VISIBLE_DEVICES": ""}, set()),
        (GPUS, {"CUDA_VISIBLE_DEVICES": "0,9,1"}, {"0"}),
        (GPUS, {"CUDA_VISIBLE_DEVICES": "GPU-2"}, {"2"}),
        (GPUS, {"NVIDIA_VISIBLE_DEVICES": "all"}, None),
        (GPUS, {"NVIDIA_VISIBLE_DEVICES": "none"}, set()),
        # of CDI: the container has got its cards another way
        (GPUS, {"NVIDIA_VISIBLE_DEVICES": "void"}, None),
        (GPUS, {"NVIDIA_VISIBLE_DEVICES": "void", "CUDA_VISIBLE_DEVICES": "1"}, {"1"}),
        (GPUS, {"NVIDIA_VISIBLE_DEVICES": "1,2"}, {"1", "2"}),
        (GPUS, {"NVIDIA_VISIBLE_DEVICES": "1,2", "CUDA_VISIBLE_DEVICES": "1"}, {"2"}),
        # applied by the container's runtime before we were started: those seen are counted from 0
        (GPUS[:2], {"NVIDIA_VISIBLE_DEVICES": "4,5"}, {"0", "1"}),
        (GPUS[:2], {"NVIDIA_VISIBLE_DEVICES": "1,2"}, {"0", "1"}),
        (GPUS[:2], {"NVIDIA_VISIBLE_DEVICES": "4,5", "CUDA_VISIBLE_DEVICES": "1"}, {"1"}),
        (MIG, {"NVIDIA_VISIBLE_DEVICES": "0:1"}, {"0:1"}),
        (MIG, {"NVIDIA_VISIBLE_DEVICES": "MIG-a"}, {"0:0"}),
        (MIG, {"CUDA_VISIBLE_DEVICES": "0"}, {"0", "0:0", "0:1"}),
        (NPUS, {"ASCEND_VISIBLE_DEVICES": "0-2,5"}, {"0", "1", "2", "5"}),
        (NPUS, {"ASCEND_VISIBLE_DEVICES": "8-15", "ASCEND_RT_VISIBLE_DEVICES": "0,1"}, {"8", "9"}),
        (NPUS, {"ASCEND_RT_VISIBLE_DEVICES": "10"}, {"10"}),
        ([*GPUS, *NPUS], {"ASCEND_RT_VISIBLE_DEVICES": "3"}, {"3"}),
        ([*GPUS, *NPUS], {"NVIDIA_VISIBLE_DEVICES": "all", "ASCEND_VISIBLE_DEVICES": ""}, None),
        # many a script sets it wherever it runs
        (NPUS[:2], {"CUDA_VISIBLE_DEVICES": "0", "NVIDIA_VISIBLE_DEVICES": "all"}, {"0", "1"}),
    ],
)
def test_which_cards_are_visible(
    cards: list[DeviceReading], environment: dict[str, str], devices: set[str] | None
) -> None:
    found = visible(cards, environment)
    assert (None if found is None else {device for _, device in found}) == devices


PIDS = (("a", 5000), ("b", 77))


def test_whose_card_it_is() -> None:
    """A variable before a process, a process before nothing; what nobody claims is the only job's, or nobody's."""
    one = Home("a", "worker-0", ({"CUDA_VISIBLE_DEVICES": "0"}, {"CUDA_VISIBLE_DEVICES": "1"}))
    two = Home("b", "worker-0", ({}, {"CUDA_VISIBLE_DEVICES": ""}), frozenset({77}))
    three = Home("c", "worker-1")
    held = GPUS[2]._replace(pids=(5, 77))
    homes = [one, two, three]
    assert [owners(card, GPUS, homes) for card in (*GPUS[:2], held, GPUS[3])] == [[one], [one], [two], []]
    assert owners(GPUS[3], GPUS, [three]) == [three]
    assert owners(GPUS[3], GPUS, [one]) == []
    # `all` stands in every image of CUDA, and names none
    images = [Home(job, "worker-0", ({"NVIDIA_VISIBLE_DEVICES": "all"},), frozenset({pid})) for job, pid in PIDS]
    assert [owners(card, GPUS, images) for card in (held, GPUS[3])] == [[images[1]], []]
    told = GPUS[0]._replace(job="b", task="worker-0")
    assert owners(told, GPUS, homes) == [two] and owners(told, GPUS, [one]) == []


def test_readings_become_bodies() -> None:
    """One for each task; what is outside of its bounds is no reading, and what is not known is left out."""
    readings = [
        DeviceReading("0", "gpu", -1.0, float("nan"), 80.0, 2.0**70, -5.0, 2),
        DeviceReading("1", "gpu", 100.5),
        ProcessReading(5, 10, 20),
        ProcessReading(6, 1, 2),
        HostReading(None, 1, 2),
        MountReading("/cache", 1, 2, True),
        MountReading("/obs", 0, 2**64, False),  # over an object store
    ]
    one = Home("a", "worker-0", ({"CUDA_VISIBLE_DEVICES": "0"},), frozenset({5}), 12.0)
    two = Home("b", "worker-1", ({"CUDA_VISIBLE_DEVICES": "1"},), frozenset({6}))
    condition = Condition("nvidia", "ok", "x" * 600, 0.0, 0.0)
    at = "2026-11-24T06:00:00.250+00:00"
    around = {
        "host": [{"at": at, "memory_used_bytes": 1, "memory_total_bytes": 2}],
        "mounts": [
            {"at": at, "path": "/cache", "used_bytes": 1, "total_bytes": 2, "read_only": True},
            {"at": at, "path": "/obs", "used_bytes": 0, "read_only": False},
        ],
        "samplers": [{"name": "nvidia", "state": "ok", "reason": "x" * 500}],
    }
    card = {"at": at, "device": "0", "kind": "gpu", "memory_total_bytes": 80.0, "temperature_celsius": -5.0}
    assert bodies([Taken(1_795_500_000.25, readings)], GPUS, [one, two], [condition]) == [
        {
            "job": "a",
            "task": "worker-0",
            "hang_detect_minutes": 12.0,
            "samples": [{**card, "process_count": 2}],
            "process_io": [{"at": at, "pid": 5, "read_bytes": 10, "write_bytes": 20}],
            **around,
        },
        {
            "job": "b",
            "task": "worker-1",
            "samples": [{"at": at, "device": "1", "kind": "gpu"}],
            "process_io": [{"at": at, "pid": 6, "read_bytes": 1, "write_bytes": 2}],
            **around,
        },
    ]

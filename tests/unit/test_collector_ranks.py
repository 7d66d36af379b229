"""Which rank a process has: from the launcher's lines, rank tables and folders; conflicts shown, never guessed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from collectors.agent import Agent
from collectors.settings import Identity, Settings, rank_table_file
from collectors.tailer import ranks
from collectors.tailer.discovery import Discovery
from collectors.tailer.places import pid_in
from collectors.tailer.ranks import LaunchLog, Process, RankMap, RankTable, Server, launched, records, servers_in
from logsvc.model.stream import StreamName

JOB = "95f661bd-1527-41b8-971c-eca55e513254"
ASCEND = f"modelarts-job-{JOB}/ascend/process_log"
SAMPLES = Path(__file__).resolve().parents[1] / "samples"
NERF = (SAMPLES / "real/nerf.log").read_bytes()
TABLE_1 = json.loads((SAMPLES / "jobstart_hccl.template1.json").read_text())
TABLE_2 = json.loads((SAMPLES / "jobstart_hccl.template2.json").read_text())
MARK = "[ModelArts Service Log]2021-09-14 11:34:31,689 - INFO - "
KNOWN = Identity(JOB, "worker-1")


def of(pid: int, task: str = "worker-1") -> Process:
    return Process(JOB, task, pid)


def table(*servers: tuple[str, list[int]]) -> dict[str, Any]:
    """Template 1, of (pod, ranks)."""
    listed = [
        {
            "server_id": pod,
            "pod_name": pod,
            "device": [{"device_id": str(7 - rank % 8), "rank_id": str(rank)} for rank in of_pod],
        }
        for pod, of_pod in servers
    ]
    return {"status": "completed", "server_list": listed}


def version_2(*instances: tuple[str, list[int]]) -> dict[str, Any]:
    """Version 2.0, of (instance of the lowest net layer, devices); ranks count through them."""
    devices = [(instance, device) for instance, of_instance in instances for device in of_instance]
    listed = [
        {
            "rank_id": rank,
            "local_id": device,
            "device_id": device,
            "level_list": [
                {"net_layer": 1, "net_instance_id": "cluster", "net_type": "CLOS"},
                {"net_layer": 0, "net_instance_id": instance, "net_type": "TOPO_FILE_DESC"},
            ],
        }
        for rank, (instance, device) in enumerate(devices)
    ]
    return {"status": "completed", "version": "2.0", "rank_count": len(listed), "rank_list": listed}


def make(folder: Path, *files: str, content: str = "x\n") -> None:
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(content)


def ranks_by_name(discovery: Discovery) -> dict[str, int]:
    """Last part of the path -> rank, of those that were learned."""
    discovery.scan()
    return {place.path.rpartition("/")[2]: rank for place, rank in discovery.ranks.items()}


def test_a_real_launchers_lines() -> None:
    """One process; the sidecar's `…_job_pid = 74` and the line of its exit say nothing new."""
    assert set(launched(NERF)) == {(0, 0, 74)}
    assert [servers_in(record) for record in records(NERF)] == [
        [Server("ma-job-647e3291-6b6a-4dde-9f38-fc1833491e99-worker-0", (0,))],
        [Server("", (0,))],
        [Server("", (0,))],
    ]


@pytest.mark.parametrize("log", ["real/maml.log", f"modelarts-job-{JOB}-worker-0.log"])
def test_logs_without_such_lines_say_nothing(log: str) -> None:
    data = (SAMPLES / log).read_bytes()
    assert list(launched(data)) == []
    assert [servers_in(record) for record in records(data)] == []


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (MARK + "proc-rank-12-device-4 (pid: 4711)", [(12, 4, 4711)]),
        (MARK.upper() + "proc-rank-1-device-2 (pid: 3) has exited\r", [(1, 2, 3)]),
        ('msg="proc-rank-1-device-2 (pid: 3)" Platform=ModelArts-Service', []),  # what stands behind counts for nothing
        ('Platform=ModelArts-Service msg="proc-rank-1-device-2 (pid: 3)"', [(1, 2, 3)]),
        ("proc-rank-1-device-2 (pid: 3)", []),  # a program printed it
        (MARK + "bootstrap proc-rank-1-device-2", []),
        (MARK + "\nproc-rank-1-device-2 (pid: 3)", []),
    ],
)
def test_launchers_lines(line: str, found: list[tuple[int, int, int]]) -> None:
    assert list(launched(b"before\n" + line.encode() + b"\nafter\n")) == found


def test_records_end_where_their_json_does() -> None:
    body = json.dumps(TABLE_1, indent=4)
    text = f"{MARK}\n{body}\n{MARK}\r\n{json.dumps(TABLE_2)}\n{MARK}\n{body[:80]}\n{MARK[:40]}\n{body}\n{MARK}x\n{body}"
    assert list(records(text.encode())) == [TABLE_1, TABLE_2]


def test_the_table_of_a_large_job(tmp_path: Path) -> None:
    """512 nodes in one record; the process of the last device is found."""
    servers = [(f"ma-job-{JOB}-worker-{node}", [8 * node + card for card in range(8)]) for node in range(512)]
    log, known = tmp_path / "w.log", RankMap()
    log.write_text("user line\n" * 10_000 + f"{MARK}\n{json.dumps(table(*servers), indent=4)}\n")
    known.uses(of(1, "worker-511"), 7)
    LaunchLog(known, JOB, "worker-511").read(str(log), log.stat().st_size)
    assert known.rank(of(1, "worker-511")) == 4095


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (TABLE_1, [("", (0,))]),
        (TABLE_2, [("jobxxxxxxxx-job-trainjob-0", (0,))]),
        (table(("a", [0, 1]), ("b", [2, 3])), [("a", (0, 1)), ("b", (2, 3))]),
        ({"server_id": "10.0.0.1", "device": [{"device_id": "4", "rank_id": 5}]}, [("", (5,))]),
        # pods count by their numbers, wherever they stand
        (
            {
                "group_list": [
                    {
                        "instance_list": [
                            {"pod_name": "j-worker-10", "devices": [{}, {}]},
                            {"pod_name": "j-worker-2", "devices": [{}, {}, {}]},
                        ]
                    }
                ]
            },
            [("j-worker-2", (0, 1, 2)), ("j-worker-10", (3, 4))],
        ),
        # an older form of template 2: each device an instance
        (
            {
                "group_list": [
                    {
                        "instance_list": [
                            {"rank_id": str(r), "devices": [{}], "server_id": f"s{r // 2}"} for r in range(4)
                        ]
                    }
                ]
            },
            [("", (0, 1)), ("", (2, 3))],
        ),
        # version 2.0: the nodes are the instances of the lowest layer, numbers may be strings
        (version_2(("rack0", [0, 1]), ("rack1", [0, 1])), [("", (0, 1)), ("", (2, 3))]),
        ({**version_2(("rack0", [3, 0])), "version": 2.0}, []),  # which is logical device 0 is not sure
        (version_2(("rack0", [0, 1, 0, 1])), [("", (0, 1)), ("", (2, 3))]),  # two nodes of a rack
        ({"version": "2.0", "rank_list": [{"rank_id": "7", "local_id": "0", "device_id": "0"}]}, [("", (7,))]),
        ({**version_2(("rack0", [0])), "status": "initializing"}, []),
        ({**version_2(("rack0", [0])), "version": "3.0"}, []),
        ({**TABLE_1, "version": "2.1"}, []),
        ({"version": "2.0", "rank_list": [{"rank_id": 0, "device_id": 0, "level_list": [7]}]}, []),
        ({"status": "initializing", **{key: TABLE_1[key] for key in ("server_list", "version")}}, []),
        ({"group_list": [{"instance_list": []}, {"instance_list": []}]}, []),  # in which order is not said
        (table(("", [1, 0])), []),  # nor which of these is logical device 0
        (table(("", [10**9])), []),
        (table(("", [-1])), []),
        ({"server_list": [{"device": [{"rank_id": "x"}]}]}, []),
        ({"server_list": {"device": 1}}, []),
        ({"group_list": None}, []),
        ({"rank_list": [{"rank_id": 0}]}, []),
        ([TABLE_1], []),
        ("table", []),
        (None, []),
    ],
)
def test_rank_tables(given: object, found: list[tuple[str, tuple[int, ...]]]) -> None:
    assert [(server.pod, server.ranks) for server in servers_in(given)] == found


def test_a_table_speaks_of_the_pods_it_names_or_of_the_only_server() -> None:
    known = RankMap()
    named = table((f"ma-job-{JOB}-worker-0", [0, 1]), (f"ma-job-{JOB}-worker-1", [2, 3]), ("another-pod-0", [4]))
    known.tell_servers(JOB, None, servers_in(named), "named")
    known.tell_servers(JOB, "worker-2", servers_in(table(("", [8]))), "only")
    known.tell_servers(JOB, "worker-3", servers_in(table(("", [9]), ("", [10]))), "no saying which")
    cases = [("worker-0", 1), ("worker-1", 1), ("worker-2", 0), ("worker-3", 0)]
    for pid, (task, device) in enumerate(cases):
        known.uses(of(pid, task), device)
    assert [known.rank(of(pid, task)) for pid, (task, _) in enumerate(cases)] == [1, 3, 8, None]


def test_a_process_on_several_devices_has_no_rank_of_theirs() -> None:
    known = RankMap()
    known.tell_servers(JOB, "worker-1", servers_in(table(("", [4, 5]))), "table")
    known.uses(of(7), 0)
    assert known.rank(of(7)) == 4
    known.uses(of(7), 1)
    assert known.rank(of(7)) is None
    known.tell(of(7), 4, "launcher")
    assert (known.rank(of(7)), known.conflicts) == (4, [])


def test_a_conflict_is_shown_and_not_guessed() -> None:
    known = RankMap()
    known.tell(of(7), 4, "launcher")
    known.tell(of(7), 4, "folder")
    assert (known.rank(of(7)), known.conflicts) == (4, [])
    known.tell(of(7), 5, "folder")
    assert known.rank(of(7)) is None
    assert known.rank(of(7)) is None
    assert known.conflicts == [
        f"process 7 of job {JOB}, worker-1 has no rank, its sources differ: rank 4: launcher; rank 5: folder"
    ]
    assert known.rank(of(7, "worker-0")) is None  # a pid of another container
    assert len(known.conflicts) == 1


def test_a_worker_log_is_read_as_it_grows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In steps, a line or a record that was cut included; from the start where the log was truncated."""
    monkeypatch.setattr(ranks, "STEP_BYTES", 300)
    monkeypatch.setattr(ranks, "OVERLAP_BYTES", 700)
    log, known = tmp_path / "w.log", RankMap()
    launch = LaunchLog(known, JOB, "worker-1")
    known.uses(of(5), 1)
    text = (
        "user line\n" * 200
        + f"{MARK}\n{json.dumps(table(('', [6, 7])), indent=4)}\n{MARK}proc-rank-7-device-1 (pid: 5)\n"
    )
    log.write_text("")
    for end in range(0, len(text) + 7, 7):
        log.write_text(text[:end])
        launch.read(str(log), len(text[:end]))
    assert (known.rank(of(5)), known.conflicts) == (7, [])
    known.uses(of(6), 0)
    assert known.rank(of(6)) == 6
    version = known.version
    launch.read(str(log), len(text))
    assert known.version == version
    log.write_text(f"{MARK}proc-rank-3-device-3 (pid: 9)\n")
    launch.read(str(log), log.stat().st_size)
    assert known.rank(of(9)) == 3


def test_a_long_log_is_read_in_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A scan does not stop for a whole back-fill."""
    monkeypatch.setattr(ranks, "STEP_BYTES", 1000)
    monkeypatch.setattr(ranks, "OVERLAP_BYTES", 100)
    log, known = tmp_path / "w.log", RankMap()
    log.write_text("user line\n" * 1000 + f"{MARK}proc-rank-3-device-3 (pid: 9)\n")
    launch, looks = LaunchLog(known, JOB, "worker-1"), 0
    while known.rank(of(9)) is None:
        launch.read(str(log), log.stat().st_size)
        looks += 1
    assert 5 < looks < 20


def test_a_spooled_log_is_heard_as_it_is_sent(tmp_path: Path) -> None:
    """Cut anywhere, sent again, gone on elsewhere; before its process has a file, too."""
    body = json.dumps(table(("", [6, 7])), indent=4)
    text = f"user line\n{MARK}\n{body}\n{MARK}proc-rank-7-device-1 (pid: 5)\n".encode()
    discovery = Discovery([tmp_path], KNOWN)
    ordinary = StreamName(JOB, "worker-1", f"modelarts-job-{JOB}-worker-1.log")
    for at in range(0, len(text), 9):
        discovery.hear(ordinary, at, text[at : at + 9])
        assert not discovery.hear(ordinary, at, text[at : at + 9])
    assert discovery.hear(ordinary, 10**6, f"{MARK}proc-rank-6-device-0 (pid: 4)\n{MARK}proc-rank-1-device".encode())
    assert not discovery.hear(ordinary, 10**7, b"-1 (pid: 3)\n")  # not what came before
    discovery.hear(
        StreamName(JOB, "worker-1", f"modelarts-job-{JOB}/other/worker-1/a.log"), 0, text.replace(b"5", b"3")
    )
    make(tmp_path, "plog/plog-5_1.log", "plog/plog-4_1.log", "plog/plog-3_1.log", "device-0/device-8_1.log")
    assert ranks_by_name(discovery) == {"plog-5_1.log": 7, "plog-4_1.log": 6, "device-8_1.log": 6}


def test_a_rank_table_that_comes_later_and_changes(tmp_path: Path) -> None:
    file, known = tmp_path / "table.json", RankMap()
    watched = RankTable(file, JOB, "worker-1")
    known.uses(of(1), 0)
    for content in (None, "{", json.dumps({**TABLE_1, "status": "initializing"})):
        if content is not None:
            file.write_text(content)
        watched.tell(known)
        assert known.rank(of(1)) is None
        assert watched.rank(JOB, "worker-1", 0) is None
    file.write_text(json.dumps(TABLE_1, indent=1))
    watched.tell(known)
    assert known.rank(of(1)) == 0
    asked = [(JOB, "worker-1", 0), (JOB, "worker-1", 1), (JOB, "worker-0", 0), ("J-2", "worker-1", 0)]
    assert [watched.rank(*one) for one in asked] == [0, None, None, None]


def test_a_table_of_an_unknown_version_says_so_once(tmp_path: Path) -> None:
    file = tmp_path / "table.json"
    file.write_text(json.dumps({**version_2(("rack0", [0, 1])), "version": "9.0"}))
    make(tmp_path, "logs/device-0/device-8_1.log")
    said: list[str] = []
    settings = Settings("http://127.0.0.1:9", state_dir=tmp_path / "state", identity=KNOWN, rank_table=file)
    agent = Agent(settings, [tmp_path / "logs"], said.append, state=None)

    def step() -> list[str]:
        agent.tailer.scan_wanted = True
        agent.step()
        return [line for line in said if "rank table" in line]

    warning = f"rank table {file} has version '9.0', which is not known: it says no ranks"
    assert step() == step() == [warning]
    assert not agent.discovery.ranks
    file.write_text(json.dumps(version_2(("rack0", [0, 1]))))
    assert step() == [warning] and list(agent.discovery.ranks.values()) == [0]
    agent.close()


def test_the_copy_of_a_table_of_version_2_in_the_worker_log(tmp_path: Path) -> None:
    log, known = tmp_path / "w.log", RankMap()
    log.write_text(f"{MARK}\n{json.dumps(version_2(('rack0', [0, 1])), indent=4)}\n")
    LaunchLog(known, JOB, "worker-1").read(str(log), log.stat().st_size)
    known.uses(of(166), 1)
    assert known.rank(of(166)) == 1


def test_where_the_rank_table_lies() -> None:
    assert rank_table_file({"RANK_TABLE_FILE": "/x/table.json"}) == Path("/x/table.json")
    assert rank_table_file({}) == Path("/user/config/jobstart_hccl.json")


@pytest.mark.parametrize(
    ("path", "pid"),
    [
        (f"{ASCEND}/worker-0/plog/plog-166_20220718191843620.log", 166),
        (f"{ASCEND}/worker-0/run/device-3/device-0_2.log", 0),
        (f"{ASCEND}/worker-0/mindspore/rank_0/logs/mindspore.log.9763", 9763),
        (f"{ASCEND}/rank_0/mindspore/mindspore.worker-0.ma-user.log.INFO.20261123-204937.9763", 9763),
        (f"{ASCEND}/rank_0/mindspore/mindspore.log", None),
        (f"{ASCEND}/rank_0/mindspore/train.9763", None),
        (f"modelarts-job-{JOB}/other/worker-0/plog-166_2.log", None),
    ],
)
def test_pids_in_names(path: str, pid: int | None) -> None:
    assert pid_in(path) == pid


def test_files_get_the_rank_that_the_launcher_says(tmp_path: Path) -> None:
    """Whichever comes first; plog, device and MindSpore files of a process alike."""
    make(tmp_path, "plog/plog-74_1.log", "device-0/device-74_1.log", "mindspore.log.74", "plog/plog-75_1.log")
    discovery = Discovery([tmp_path], KNOWN)
    assert ranks_by_name(discovery) == {}
    log = f"modelarts-job-{JOB}-worker-1.log"
    make(tmp_path, log, content=f"user line\n{MARK}proc-rank-8-device-0 (pid: 74)\n")
    expected = {"plog-74_1.log": 8, "device-74_1.log": 8, "mindspore.log.74": 8}
    assert ranks_by_name(discovery) == expected
    make(tmp_path, "run/plog/plog-74_2.log", "run/plog/plog-76_2.log")
    expected["plog-74_2.log"] = 8
    assert ranks_by_name(discovery) == expected
    with (tmp_path / log).open("a") as file:
        file.write(f"{MARK}proc-rank-9-device-1 (pid: 75)\n")
    assert ranks_by_name(discovery) == {**expected, "plog-75_1.log": 9}
    assert discovery.conflicts == []


def test_a_pid_counts_within_its_task(tmp_path: Path) -> None:
    """Containers have the same pids; each worker log speaks of its own."""
    for task, rank in (("worker-0", 0), ("worker-1", 8)):
        make(tmp_path, f"modelarts-job-{JOB}/{task}/plog/plog-74_1.log", f"modelarts-job-J-2/{task}/plog/plog-74_1.log")
        make(tmp_path, f"modelarts-job-{JOB}-{task}.log", content=f"{MARK}proc-rank-{rank}-device-0 (pid: 74)\n")
    discovery = Discovery([tmp_path], Identity())
    discovery.scan()
    assert {(place.job, place.task): rank for place, rank in discovery.ranks.items()} == {
        (JOB, "worker-0"): 0,
        (JOB, "worker-1"): 8,
    }


def test_ranks_by_the_device_from_a_table(tmp_path: Path) -> None:
    """A process is known by its device's log, its plog by the process. Logical devices, in the table's order.

    A table that is there first names the folder of the device's log.
    """
    make(tmp_path, "logs/device-1/device-50_1.log", "logs/plog/plog-50_1.log", "logs/plog/plog-51_1.log")
    discovery = Discovery([tmp_path / "logs"], KNOWN, rank_table=tmp_path / "table.json")
    assert ranks_by_name(discovery) == {}
    make(tmp_path, "table.json", content=json.dumps(table((f"ma-job-{JOB}-worker-1", [8, 9]))))
    assert ranks_by_name(discovery) == {"device-50_1.log": 9, "plog-50_1.log": 9}

    make(tmp_path, "logs/run/device-0/device-51_1.log")
    paths = [found.place.path.partition("process_log/")[2] for found in discovery.scan()]
    assert paths == [
        "rank_8/run/device-0/device-51_1.log",
        "worker-1/device-1/device-50_1.log",
        "worker-1/plog/plog-50_1.log",
        "worker-1/plog/plog-51_1.log",
    ]
    assert ranks_by_name(discovery) == {"device-50_1.log": 9, "plog-50_1.log": 9, "plog-51_1.log": 8}


def test_the_copy_of_the_table_in_the_worker_log(tmp_path: Path) -> None:
    body = json.dumps(table((f"ma-job-{JOB}-worker-0", [0, 1]), (f"ma-job-{JOB}-worker-1", [2, 3])), indent=4)
    make(tmp_path, f"modelarts-job-{JOB}-worker-1.log", content=f"{MARK}\n{body}\n")
    make(tmp_path, "device-1/device-50_1.log")
    assert ranks_by_name(Discovery([tmp_path], KNOWN)) == {"device-50_1.log": 3}


def test_a_folder_names_the_rank_of_all_files_of_its_process(tmp_path: Path) -> None:
    """Only where the task is sure: pids of another container are other processes."""
    make(tmp_path, "rank_3/plog/plog-50_1.log", "device-0/device-50_1.log")
    assert ranks_by_name(Discovery([tmp_path], KNOWN)) == {"device-50_1.log": 3}
    assert ranks_by_name(Discovery([tmp_path], Identity(JOB))) == {}


def test_folders_of_two_containers_are_no_conflict(tmp_path: Path) -> None:
    """As in OBS: each container has its pid 166, and nothing says which task ran which rank."""
    make(tmp_path, f"{ASCEND}/rank_0/plog/plog-166_1.log", f"{ASCEND}/rank_8/plog/plog-166_1.log")
    discovery = Discovery([tmp_path], Identity())
    assert (ranks_by_name(discovery), discovery.conflicts) == ({}, [])


def test_sources_that_differ(tmp_path: Path) -> None:
    """The folder's word stays in the path; the others get no rank, and a person is told."""
    make(tmp_path, "rank_3/plog/plog-50_1.log", "plog/plog-50_2.log", "plog/plog-51_2.log")
    log = tmp_path / f"modelarts-job-{JOB}-worker-1.log"
    log.write_text(f"{MARK}proc-rank-4-device-0 (pid: 50)\n{MARK}proc-rank-5-device-1 (pid: 51)\n")
    discovery = Discovery([tmp_path], KNOWN)
    for _ in range(2):
        assert ranks_by_name(discovery) == {"plog-51_2.log": 5}
        (conflict,) = discovery.conflicts
        assert conflict == (
            f"process 50 of job {JOB}, worker-1 has no rank, its sources differ: "
            f"rank 3: place of {tmp_path}/rank_3/plog/plog-50_1.log; rank 4: {log}"
        )


def test_a_conflict_is_said_once(tmp_path: Path) -> None:
    make(tmp_path, "logs/rank_3/plog/plog-50_1.log")
    make(
        tmp_path,
        f"logs/modelarts-job-{JOB}-worker-1.log",
        content=f"{MARK}proc-rank-4-device-0 (pid: 50)\n{MARK}proc-rank-5-device-0 (pid: 51)\n",
    )
    said: list[str] = []
    settings = Settings("http://127.0.0.1:9", state_dir=tmp_path / "state", identity=KNOWN)
    agent = Agent(settings, [tmp_path / "logs"], said.append, state=None)
    for _ in range(3):
        agent.tailer.scan_wanted = True
        agent.step()
    agent.close()
    assert [line for line in said if "sources differ" in line] == agent.discovery.conflicts
    assert len(agent.discovery.conflicts) == 1


def test_logs_of_jobs_without_ascend_files_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking for ranks costs nothing where no file needs one."""
    make(tmp_path, f"modelarts-job-{JOB}-worker-1.log", content=f"{MARK}proc-rank-4-device-0 (pid: 50)\n")
    read: list[str] = []
    monkeypatch.setattr(LaunchLog, "read", lambda self, name, size_bytes: read.append(name))
    discovery = Discovery([tmp_path], KNOWN)
    discovery.scan()
    assert read == []
    make(tmp_path, "plog/plog-50_1.log")
    discovery.scan()
    assert read == [str(tmp_path / f"modelarts-job-{JOB}-worker-1.log")]

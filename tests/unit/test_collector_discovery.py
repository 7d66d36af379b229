"""Every layout of the contract, and which files are older generations of which."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from collectors.settings import Identity, identity_from, state_folder
from collectors.tailer.discovery import CURRENT, Discovery, place_of, rotated_from
from logsvc.errors import BadInput
from logsvc.model.stream import parse_path

JOB = "95f661bd-1527-41b8-971c-eca55e513254"
TREE = f"modelarts-job-{JOB}"
ASCEND = f"{TREE}/ascend/process_log"
KNOWN = Identity(JOB, "worker-3")
NOBODY = Identity()
PLOG = "plog-166_20220718191843620.log"
DEVICE = "device-166_20220718191853764.log"


def no_neighbours(tree: str, job: str, rank: int) -> str:
    return "worker-0"


@pytest.mark.parametrize(
    ("file", "identity", "task", "path"),
    [
        # as in OBS
        (f"{TREE}-worker-1.log", NOBODY, "worker-1", f"{TREE}-worker-1.log"),
        (f"{TREE}-ps-0.log", KNOWN, "ps-0", f"{TREE}-ps-0.log"),
        (f"{TREE}-proc-rank-5-device-2.txt", NOBODY, "worker-0", f"{TREE}-proc-rank-5-device-2.txt"),
        (f"{TREE}-proc-rank-5-device-2.txt", KNOWN, "worker-3", f"{TREE}-proc-rank-5-device-2.txt"),
        (f"{ASCEND}/rank_0/plog/{PLOG}", NOBODY, "worker-0", f"{ASCEND}/rank_0/plog/{PLOG}"),
        (f"{ASCEND}/rank_0/device-0/{DEVICE}", NOBODY, "worker-0", f"{ASCEND}/rank_0/device-0/{DEVICE}"),
        (f"{ASCEND}/rank_8/debug/plog/{PLOG}", NOBODY, "worker-0", f"{ASCEND}/rank_8/debug/plog/{PLOG}"),
        (f"{ASCEND}/worker-2/plog/{PLOG}", NOBODY, "worker-2", f"{ASCEND}/worker-2/plog/{PLOG}"),
        (
            f"{ASCEND}/rank_0/mindspore/rank_0/logs/mindspore.log.9763",
            NOBODY,
            "worker-0",
            f"{ASCEND}/rank_0/mindspore/rank_0/logs/mindspore.log.9763",
        ),
        (
            f"{ASCEND}/rank_0/plog/notes.txt",
            NOBODY,
            "worker-0",
            f"{TREE}/other/worker-0/ascend/process_log/rank_0/plog/notes.txt",
        ),
        (f"{TREE}/other/worker-4/a/b.txt", NOBODY, "worker-4", f"{TREE}/other/worker-4/a/b.txt"),
        (f"{TREE}/stray.txt", NOBODY, "worker-0", f"{TREE}/other/worker-0/stray.txt"),
        # the manual's snippet for MA_LOG_DIR
        (f"{TREE}/worker-1/plog/{PLOG}", NOBODY, "worker-1", f"{ASCEND}/worker-1/plog/{PLOG}"),
        (f"{TREE}/worker-1/run/device-3/{DEVICE}", NOBODY, "worker-1", f"{ASCEND}/worker-1/run/device-3/{DEVICE}"),
        (f"{TREE}/worker-1/rank_9/plog/{PLOG}", NOBODY, "worker-1", f"{ASCEND}/rank_9/plog/{PLOG}"),
        (f"{TREE}/worker-1/mindspore/x.log", NOBODY, "worker-1", f"{ASCEND}/worker-1/mindspore/x.log"),
        (f"{TREE}/worker-1/{TREE}-proc-rank-9-device-0.txt", NOBODY, "worker-1", f"{TREE}-proc-rank-9-device-0.txt"),
        (f"{TREE}/worker-1/train/out.log", NOBODY, "worker-1", f"{TREE}/other/worker-1/train/out.log"),
        # on a node
        (f"plog/{PLOG}", KNOWN, "worker-3", f"{ASCEND}/worker-3/plog/{PLOG}"),
        (f"device-7/{DEVICE}", KNOWN, "worker-3", f"{ASCEND}/worker-3/device-7/{DEVICE}"),
        (f"security/plog/{PLOG}", KNOWN, "worker-3", f"{ASCEND}/worker-3/security/plog/{PLOG}"),
        (f"debug/device-0/{DEVICE}", Identity(JOB, None, 4), "worker-0", f"{ASCEND}/rank_4/debug/device-0/{DEVICE}"),
        (
            "rank_2/logs/mindspore.log.9763",
            KNOWN,
            "worker-3",
            f"{ASCEND}/rank_2/mindspore/rank_2/logs/mindspore.log.9763",
        ),
        (
            "mindspore.worker-3.ma-user.log.INFO.20261123-204937.9763",
            KNOWN,
            "worker-3",
            f"{ASCEND}/worker-3/mindspore/mindspore.worker-3.ma-user.log.INFO.20261123-204937.9763",
        ),
        # anything else
        ("train/output.txt", KNOWN, "worker-3", f"{TREE}/other/worker-3/train/output.txt"),
    ],
)
def test_layouts(tmp_path: Path, file: str, identity: Identity, task: str, path: str) -> None:
    place = place_of(str(tmp_path / file), tmp_path, identity, task_of_rank=no_neighbours)
    assert (place.job, place.task, place.path) == (JOB, task, path)
    parse_path(place.job, place.task, place.path)


def test_a_folder_given_from_inside_says_what_lies_around_it(tmp_path: Path) -> None:
    for inside in (f"{ASCEND}/rank_0/plog", f"{ASCEND}/rank_0", TREE):
        place = place_of(str(tmp_path / f"{ASCEND}/rank_0/plog/{PLOG}"), tmp_path / inside, NOBODY)
        assert place.path == f"{ASCEND}/rank_0/plog/{PLOG}"
    place = place_of(str(tmp_path / f"plog/{PLOG}"), tmp_path / "plog", KNOWN)
    assert place.path == f"{ASCEND}/worker-3/plog/{PLOG}"


def test_glog_dir_is_mindspores(tmp_path: Path) -> None:
    place = place_of(str(tmp_path / "glog/rank_1/logs/x"), tmp_path, KNOWN, glog_dir=tmp_path / "glog")
    assert place.path == f"{ASCEND}/rank_1/mindspore/rank_1/logs/x"


def test_a_file_of_no_job_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="give --job"):
        place_of(str(tmp_path / "a.log"), tmp_path, NOBODY)


@pytest.mark.parametrize(
    "name", [b"\xff\xfe bytes.log", b"new\nline.log", b"long" * 60 + b"/" + b"name" * 60 + b".log", "训练.log".encode()]
)
def test_odd_names_get_a_path_that_the_service_takes(tmp_path: Path, name: bytes) -> None:
    file = os.fsdecode(
        os.fsencode(tmp_path) + b"/" + b"d" * 200 + b"/" + b"e" * 200 + b"/" + name * (2 if b"long" in name else 1)
    )
    place = place_of(file, tmp_path, KNOWN)
    parse_path(place.job, place.task, place.path)


def test_the_task_of_a_rank_comes_from_the_logs_beside(tmp_path: Path) -> None:
    plogs = [tmp_path / f"{ASCEND}/rank_{rank}/plog/{PLOG}" for rank in (0, 8, 9)]
    for plog in plogs:
        plog.parent.mkdir(parents=True)
        plog.write_text("x")
    (tmp_path / f"{TREE}-worker-0.log").write_text("proc-rank-0-device-0 (pid: 1)\n")
    (tmp_path / f"{TREE}-worker-1.log").write_text("proc-rank-8-device-0 (pid: 2)\n")
    tasks = {found.place.path: found.place.task for found in Discovery([tmp_path], NOBODY).scan()}
    assert [tasks[f"{ASCEND}/rank_{rank}/plog/{PLOG}"] for rank in (0, 8, 9)] == ["worker-0", "worker-1", "worker-0"]


def test_the_only_ordinary_log_names_the_task_of_all_ranks(tmp_path: Path) -> None:
    (tmp_path / f"{TREE}-worker-5.log").write_text("x")
    plog = tmp_path / f"{ASCEND}/rank_40/plog/{PLOG}"
    plog.parent.mkdir(parents=True)
    plog.write_text("x")
    assert {found.place.task for found in Discovery([tmp_path], NOBODY).scan()} == {"worker-5"}


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("a.log.1", "a.log"),
        ("a.log.12", "a.log"),
        ("a.log-20260101", "a.log"),
        ("a.log.2026-01-01", "a.log"),
        ("a.log.2026-01-01_10-30", "a.log"),
        ("a.log-20260101.2", "a.log"),
        ("a.log.old", "a.log"),
        ("a.log", "a.log"),
        ("mindspore.log.9763", "mindspore.log.9763"),
        (PLOG, PLOG),
        (DEVICE, DEVICE),
        ("mindspore.w.u.log.INFO.20261123-204937.9763", "mindspore.w.u.log.INFO.20261123-204937.9763"),
    ],
)
def test_names_of_rotated_files(name: str, base: str) -> None:
    assert rotated_from(name)[0] == base
    assert (rotated_from(name)[1] == CURRENT) == (name == base)


def test_rotated_files_are_ordered_oldest_first(tmp_path: Path) -> None:
    for name in ("a.log", "a.log.1", "a.log.2", "a.log.10", "b.log.1", "c.log-20260102", "c.log-20260101", "c.log"):
        (tmp_path / name).write_text(name)
    found = Discovery([tmp_path], KNOWN).scan()
    order = [(os.path.basename(file.name), file.place.path.rpartition("/")[2]) for file in found]
    assert order == [
        ("a.log.10", "a.log"),
        ("a.log.2", "a.log"),
        ("a.log.1", "a.log"),
        ("a.log", "a.log"),
        ("b.log.1", "b.log.1"),  # nothing says that it was rotated: there is no b.log
        ("c.log-20260101", "c.log"),
        ("c.log-20260102", "c.log"),
        ("c.log", "c.log"),
    ]


def test_what_is_no_log_is_left_out(tmp_path: Path) -> None:
    for name in (
        "model.ckpt",
        "weights.safetensors",
        "a.log.gz",
        ".hidden",
        ".git/config",
        "__pycache__/x.log",
        "a.log",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    os.mkfifo(tmp_path / "pipe")
    discovery = Discovery([tmp_path], KNOWN)
    assert [os.path.basename(found.name) for found in discovery.scan()] == ["a.log"]
    assert discovery.unplaced == {str(tmp_path / "pipe"): "neither a file nor a folder"}


def test_a_ring_of_links_ends(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/x.log").write_text("x")
    (tmp_path / "a/loop").symlink_to(tmp_path)
    (tmp_path / "dangling.log").symlink_to(tmp_path / "nowhere")
    (tmp_path / "self.log").symlink_to("self.log")
    assert [found.name for found in Discovery([tmp_path], KNOWN).scan()] == [str(tmp_path / "a/x.log")]


@pytest.mark.parametrize(
    ("environment", "identity"),
    [
        ({"MA_VJ_NAME": f"ma-job-{JOB}", "VC_TASK_INDEX": "2", "RANK_ID": "16"}, Identity(JOB, "worker-2", 16)),
        ({"MA_VJ_NAME": f"modelarts-job-{JOB}", "VC_TASK_INDEX": "x"}, Identity(JOB)),
        ({"MA_VJ_NAME": "a/b", "RANK_ID": "-1"}, Identity()),
        ({}, Identity()),
    ],
)
def test_identity_from_the_container(environment: dict[str, str], identity: Identity) -> None:
    assert identity_from(None, None, environment) == identity
    assert identity_from("mine", "ps-1", environment) == Identity("mine", "ps-1", identity.rank)


def test_state_folder_follows_xdg() -> None:
    assert state_folder(None, {"XDG_STATE_HOME": "/x"}) == Path("/x/logsvc-collector")
    assert state_folder(None, {"XDG_STATE_HOME": "relative"}) == Path("~/.local/state/logsvc-collector").expanduser()
    assert state_folder("/mine", {}) == Path("/mine")

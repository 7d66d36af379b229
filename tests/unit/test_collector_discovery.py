"""Every layout of the contract, and which files are older generations of which."""

from __future__ import annotations

import errno
import os
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest

from collectors.settings import Identity, identity_from, named_folders, platform_folders, state_folder
from collectors.tailer.discovery import CURRENT, Discovery, rotated_from
from collectors.tailer.places import place_of
from logsvc.errors import BadInput
from logsvc.model.stream import parse_path

JOB = "95f661bd-1527-41b8-971c-eca55e513254"
TREE = f"modelarts-job-{JOB}"
ASCEND = f"{TREE}/ascend/process_log"
POD = f"ma-job-{JOB}"
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
        (f"{TREE}/worker-1/plog/{PLOG}", Identity(JOB, "worker-1", 9), "worker-1", f"{ASCEND}/rank_9/plog/{PLOG}"),
        (f"{TREE}/worker-1/plog/{PLOG}", Identity(JOB, "worker-2", 9), "worker-1", f"{ASCEND}/worker-1/plog/{PLOG}"),
        (f"{TREE}/worker-1/plog/{PLOG}", Identity("J-2", "worker-1", 9), "worker-1", f"{ASCEND}/worker-1/plog/{PLOG}"),
        # kubelet's folders, and the links that it makes to what lies there
        (f"pods/ns_{POD}-worker-1_1f0e-77/train/0.log", NOBODY, "worker-1", f"{TREE}/other/worker-1/train/0.log"),
        (f"containers/{POD}-ps-0_ns_train-0a1b.log", KNOWN, "ps-0", f"{TREE}/other/ps-0/{POD}-ps-0_ns_train-0a1b.log"),
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


def test_glog_dir_within_a_jobs_folder(tmp_path: Path) -> None:
    """MindSpore's files are known by their folder, Ascend's own by their names there too."""
    glog = tmp_path / f"{TREE}/worker-1/glog"
    for file, path in (("rank_1/logs/x", "rank_1/mindspore/rank_1/logs/x"), (f"plog/{PLOG}", f"worker-1/plog/{PLOG}")):
        assert place_of(str(glog / file), tmp_path, NOBODY, glog_dir=glog).path == f"{ASCEND}/{path}"


def test_a_node_of_many_jobs(tmp_path: Path) -> None:
    """An agent beside several jobs: each file goes to the job that its folder names, whatever the agent's own is."""
    jobs = ["J-1", "J-2", "a.b_c"]
    for job in jobs:
        folder = tmp_path / f"modelarts-job-{job}"
        for file in (f"worker-0/plog/{PLOG}", f"worker-1/debug/plog/{PLOG}", "worker-1/train/out.txt"):
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_text(job)
        (tmp_path / f"modelarts-job-{job}-worker-0.log").write_text(job)
    found = Discovery([tmp_path], Identity("own", "worker-7", 5)).scan()
    assert [(file.place.task, file.place.path) for file in found] == [
        (task, path)
        for job in sorted(jobs)
        for task, path in (
            ("worker-0", f"modelarts-job-{job}-worker-0.log"),
            ("worker-0", f"modelarts-job-{job}/ascend/process_log/worker-0/plog/{PLOG}"),
            ("worker-1", f"modelarts-job-{job}/ascend/process_log/worker-1/debug/plog/{PLOG}"),
            ("worker-1", f"modelarts-job-{job}/other/worker-1/train/out.txt"),
        )
    ]
    assert {Path(file.name).read_text() == file.place.job for file in found} == {True}


@pytest.mark.parametrize("roots", [["pods"], ["containers"], ["pods", "containers"], ["containers", "pods"]])
def test_kubelets_chains_of_links_end_in_one_file(tmp_path: Path, roots: list[str]) -> None:
    """containers/x.log -> pods/…/0.log -> a runtime's own file elsewhere: once, under a name that is watched."""
    real = tmp_path / "runtime/0a1b/0a1b-json.log"
    pod = tmp_path / f"pods/ns_{POD}-worker-1_1f0e-77/train/0.log"
    link = tmp_path / f"containers/{POD}-worker-1_ns_train-0a1b.log"
    for file in (real, pod, link):
        file.parent.mkdir(parents=True)
    real.write_text("x")
    pod.symlink_to(real)
    link.symlink_to(pod)
    discovery = Discovery([tmp_path / root for root in roots], NOBODY)
    (found,) = discovery.scan()
    assert found.name == str(pod if roots[0] == "pods" else link)
    assert (found.place.job, found.place.task, found.inode) == (JOB, "worker-1", real.stat().st_ino)
    # The runtime rotates its own file: the same place, another inode.
    real.rename(real.with_suffix(".log.1"))
    real.write_text("y")
    (rotated,) = discovery.scan()
    assert (rotated.name, rotated.place) == (found.name, found.place)
    assert rotated.inode != found.inode


def test_a_link_that_points_elsewhere_later(tmp_path: Path) -> None:
    """Within the folders its targets count, each under its own name; outside them the link does."""
    logs, outside = tmp_path / "logs", tmp_path / "outside"
    for file in (logs / "a.log", logs / "b.log", outside / "c.log", outside / "d.log"):
        file.parent.mkdir(exist_ok=True)
        file.write_text(file.name)
    inner, outer = logs / "inner.log", logs / "outer.log"
    discovery = Discovery([logs], KNOWN)
    for own, foreign in (("a.log", "c.log"), ("b.log", "d.log")):
        for link, target in ((inner, logs / own), (outer, outside / foreign)):
            link.unlink(missing_ok=True)
            link.symlink_to(target)
        found = {os.path.basename(file.name): Path(file.name).read_text() for file in discovery.scan()}
        assert found == {"a.log": "a.log", "b.log": "b.log", "outer.log": foreign}


def test_what_appears_later_is_found(tmp_path: Path) -> None:
    """A root that is not there, and one that is a link to nowhere, until they are."""
    discovery = Discovery([tmp_path / "later", tmp_path / "link", tmp_path / "file.log"], KNOWN)
    (tmp_path / "link").symlink_to(tmp_path / "target")
    assert discovery.scan() == []
    for folder in ("later/deep/er", "target"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "a.log").write_text("x")
    (tmp_path / "file.log").write_text("x")
    assert sorted(os.path.relpath(found.name, tmp_path) for found in discovery.scan()) == [
        "file.log",
        "later/deep/er/a.log",
        "link/a.log",
    ]


def test_fifos_sockets_and_devices_are_skipped_with_a_reason(tmp_path: Path) -> None:
    """Wherever they lie or are linked to; what becomes a file is shipped."""
    logs = tmp_path / "logs"
    logs.mkdir()
    os.mkfifo(logs / "fifo.log")
    os.mkfifo(tmp_path / "root.log")
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(logs / "socket.log"))
    listening.close()
    (logs / "null.log").symlink_to("/dev/null")
    (logs / "a.log").write_text("x")
    discovery = Discovery([logs, tmp_path / "root.log"], KNOWN)
    assert [found.name for found in discovery.scan()] == [str(logs / "a.log")]
    odd = [logs / "fifo.log", logs / "null.log", logs / "socket.log", tmp_path / "root.log"]
    assert discovery.unplaced == {str(file): "neither a file nor a folder" for file in odd}
    for file in odd:
        file.unlink()
        file.write_text("y")
    assert {found.name for found in discovery.scan()} == {str(file) for file in (logs / "a.log", *odd)}
    assert discovery.unplaced == {}


def test_names_that_are_gone_are_forgotten(tmp_path: Path) -> None:
    """A node agent sees jobs come and go; a base name stays while rotated files of it are there."""
    discovery = Discovery([tmp_path], Identity(JOB))
    (tmp_path / "a.log").write_text("x")
    (tmp_path / f"modelarts-job-{JOB}-worker-0.log").write_text("x")
    discovery.scan()
    (tmp_path / "a.log").rename(tmp_path / "a.log.1")
    for number in range(3):
        job = tmp_path / f"modelarts-job-J-{number}/worker-0/plog"
        job.mkdir(parents=True)
        (job / PLOG).write_text("x")
        places = [file.place.path.rpartition("/")[2] for file in discovery.scan()]
        assert places.count("a.log") == 1
        shutil.rmtree(job)
    discovery.scan()
    assert sorted(map(os.path.basename, discovery._places)) == ["a.log", f"modelarts-job-{JOB}-worker-0.log"]
    assert (len(discovery._processes), discovery._launch_logs) == (2, {})


def test_a_folder_that_cannot_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "a.log").write_text("x")
    listed = os.scandir

    def scandir(folder: str) -> Any:
        if os.path.basename(folder) == "secret":
            raise PermissionError(errno.EACCES, "Permission denied")
        return listed(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    discovery = Discovery([tmp_path, tmp_path / "nowhere", tmp_path / "a.log/nothing"], KNOWN)
    assert [found.name for found in discovery.scan()] == [str(tmp_path / "a.log")]
    assert discovery.unplaced == {str(tmp_path / "secret"): "cannot be read: Permission denied"}


def test_what_is_no_log_needs_no_job(tmp_path: Path) -> None:
    (tmp_path / "model.ckpt").write_text("x")
    os.link(tmp_path / "model.ckpt", tmp_path / "best.ckpt")
    discovery = Discovery([tmp_path], NOBODY)
    assert (discovery.scan(), discovery.unplaced) == ([], {})


def test_a_file_of_no_job_is_told_as_long_as_it_is_there(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text("x")
    discovery = Discovery([tmp_path], NOBODY)
    for _ in range(2):
        assert discovery.scan() == []
        assert list(discovery.unplaced) == [str(tmp_path / "a.log")]
    (tmp_path / "a.log").unlink()
    discovery.scan()
    assert discovery.unplaced == {}


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
        ("a.log-20260101-1767225600", "a.log"),  # logrotate, dateformat -%Y%m%d-%s
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
        "data.gz",
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


def test_folders_that_the_platform_and_the_environment_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """`watch` without a folder looks at all of them, a command that runs has its own."""
    monkeypatch.setenv("HOME", "/home/me")
    platforms, cann = Path("/home/ma-user/modelarts/log"), Path("/home/me/ascend/log")
    assert platform_folders({}) == [platforms, cann]
    assert named_folders({}) == []
    environment = {
        "MA_LOG_DIR": str(platforms),
        "ASCEND_PROCESS_LOG_PATH": "~/ascend/log",
        "GLOG_log_dir": "glog",
        "MA_VJ_NAME": f"ma-job-{JOB}",
    }
    assert platform_folders(environment) == [platforms, cann, Path("glog").absolute()]
    assert named_folders(environment) == [platforms, cann, Path("glog").absolute()]
    # In a container of the platform the home folder is the job's own; elsewhere other jobs log there too.
    assert named_folders({"MA_VJ_NAME": "x"}) == [cann]


def test_state_folder_follows_xdg() -> None:
    assert state_folder(None, {"XDG_STATE_HOME": "/x"}) == Path("/x/logsvc-collector")
    assert state_folder(None, {"XDG_STATE_HOME": "relative"}) == Path("~/.local/state/logsvc-collector").expanduser()
    assert state_folder("/mine", {}) == Path("/mine")

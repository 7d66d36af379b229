"""The grammar of stream paths: every row and layout of the contract, and what is none of them."""

from __future__ import annotations

import pytest

from builders import JOB
from logsvc.errors import BadPath
from logsvc.model.stream import (
    PathParts,
    StreamName,
    archived_path,
    ascend_path,
    check_job,
    check_task,
    natural_key,
    ordinary_path,
    other_path,
    parse_path,
    proc_path,
)

FOLDER = f"modelarts-job-{JOB}"
ASCEND = f"{FOLDER}/ascend/process_log"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (f"{FOLDER}-worker-0.log", PathParts("ordinary")),
        (f"{FOLDER}-proc-rank-0-device-0.txt", PathParts("proc", 0, 0)),
        (f"{FOLDER}-proc-rank-127-device-7.txt", PathParts("proc", 127, 7)),
        (f"{ASCEND}/rank_0/plog/plog-166_20220718191843620.log", PathParts("plog", 0)),
        (f"{ASCEND}/worker-0/plog/plog-166_20220718191843620.log", PathParts("plog")),
        (f"{ASCEND}/rank_3/run/plog/plog-1_2_3.log", PathParts("plog", 3)),
        (f"{ASCEND}/rank_3/debug/plog/plog-1_2.log", PathParts("plog", 3)),
        (f"{ASCEND}/worker-0/security/device-5/device-1_2.log", PathParts("device", None, 5)),
        (f"{ASCEND}/rank_0/device-0/device-166_20220718191853764.log", PathParts("device", 0, 0)),
        (f"{ASCEND}/rank_0/mindspore/mindspore.log.9763", PathParts("mindspore", 0)),
        (f"{ASCEND}/rank_0/mindspore/rank_0/logs/mindspore.log.9763", PathParts("mindspore", 0)),
        (f"{ASCEND}/worker-0/mindspore/a b/信", PathParts("mindspore")),
        (f"{FOLDER}/other/worker-0/any/where.txt", PathParts("other")),
    ],
)
def test_path_of_each_kind(path: str, expected: PathParts) -> None:
    """Kind, rank and device are what the path says, None where it says nothing."""
    assert parse_path(JOB, "worker-0", path) == expected


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "..",
        "../x",
        f"/{FOLDER}-worker-0.log",
        f"{FOLDER}-worker-0.log/",
        f"{FOLDER}-worker-0.log\0",
        f"{FOLDER}-worker-1.log",  # another task
        f"{FOLDER}x-worker-0.log",  # another job
        "modelarts-job-x-worker-0.log",
        f"{FOLDER}-worker-0.txt",
        f"{FOLDER}-worker-0.log\n",
        f"{FOLDER}-proc-rank-x-device-0.txt",
        f"{FOLDER}-proc-rank-0-device-0.log",
        f"{FOLDER}-proc-rank-٣-device-0.txt",  # digits that are not ASCII
        f"{FOLDER}/x.log",
        f"{FOLDER}/other/worker-1/x",
        f"{FOLDER}/other/worker-0",
        f"{FOLDER}/other/worker-0/../x",
        f"{FOLDER}/other/worker-0/./x",
        f"{FOLDER}/other/worker-0//x",
        f"{FOLDER}/other/worker-0/x\0y",
        f"{FOLDER}/other/worker-0/" + "x" * 10_000,
        f"{FOLDER}/other/worker-0/" + "信" * 330,
        f"{FOLDER}/other/worker-0/\ud800",
        f"{ASCEND}/rank_0/plog/plog-x_1.log",
        f"{ASCEND}/rank_0/plog/sub/plog-1_1.log",
        f"{ASCEND}/rank_x/plog/plog-1_1.log",
        f"{ASCEND}/worker-1/plog/plog-1_1.log",
        f"{ASCEND}/rank_0/walk/plog/plog-1_1.log",
        f"{ASCEND}/rank_0/device-x/device-1_1.log",
        f"{ASCEND}/rank_0/mindspore",
        f"{ASCEND}/rank_0/mindspore/",
        "C:\\logs\\x.log",
        "var/log/syslog",
    ],
)
def test_foreign_path(path: str) -> None:
    """Refused in a sentence that stays short whatever was sent."""
    with pytest.raises(BadPath) as refused:
        parse_path(JOB, "worker-0", path)
    assert len(refused.value.message) < 500
    assert refused.value.message.isprintable()


@pytest.mark.parametrize("job", ["", ".", "..", "a/b", "a b", "a\0", "é", "x" * 129, "a\n", "x" * 10_000, "\ud800"])
def test_foreign_job(job: str) -> None:
    with pytest.raises(BadPath) as refused:
        check_job(job)
    assert len(refused.value.message) < 300


@pytest.mark.parametrize("job", ["a", "...", "A-z_0.9", "x" * 128, JOB])
def test_job(job: str) -> None:
    assert check_job(job) == job
    assert parse_path(job, "ps-0", ordinary_path(job, "ps-0")).kind == "ordinary"


@pytest.mark.parametrize(
    "task", ["", "worker", "worker-", "-0", "Worker-0", "worker-0 ", "worker-٣", "w0-1", "a-" + "1" * 70, "worker-0\n"]
)
def test_foreign_task(task: str) -> None:
    with pytest.raises(BadPath):
        check_task(task)


def test_paths_that_are_made_are_understood() -> None:
    """What a collector builds is what the service reads."""
    assert parse_path(JOB, "worker-12", ordinary_path(JOB, "worker-12")) == PathParts("ordinary")
    assert parse_path(JOB, "ps-1", proc_path(JOB, 4, 2)) == PathParts("proc", 4, 2)
    assert parse_path(JOB, "ps-1", ascend_path(JOB, 4, "plog/plog-1_2.log")) == PathParts("plog", 4)
    assert parse_path(JOB, "ps-1", ascend_path(JOB, "ps-1", "mindspore/x")) == PathParts("mindspore")
    assert parse_path(JOB, "ps-1", other_path(JOB, "ps-1", "a/b")) == PathParts("other")


def test_generations_in_archives() -> None:
    """From the first rotation on, the path tells the generation."""
    assert archived_path(StreamName("j", "worker-0", "p.log")) == "p.log"
    assert archived_path(StreamName("j", "worker-0", "p.log", 3)) == "p.log.gen-3"


def test_natural_order() -> None:
    """Numbers count as numbers; anything else a name may hold is no trouble."""
    names = ["worker-10", "worker-2", "worker-²", "worker-١", "1a", "a1", "", "worker-02"]
    assert sorted(["worker-10", "worker-2"], key=natural_key) == ["worker-2", "worker-10"]
    assert len(sorted(names, key=natural_key)) == len(names)

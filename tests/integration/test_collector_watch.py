"""`logsvc-collector watch` against a service in dictionaries: rotation, truncation, links, faults."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from integration.collector_oracle import TOKEN, Oracle
from integration.watch_rig import JOB, OTHER, Watches
from processes import wait_until


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def holds(oracle: Oracle, path: str, *generations: bytes) -> Callable[[], bool]:
    """Whether the path has exactly these generations."""
    return lambda: oracle.content(path) == dict(enumerate(generations))


def test_files_of_all_kinds_arrive_verbatim(oracle: Oracle, start: Watches, tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    contents = {
        "one.log": b"x",
        "no-newline.txt": b"first\nlast without",
        "all-bytes.log": bytes(range(256)) * 5 + b"\r\r\n\0",
        "deep/er/a.log": b"deep\n",
        "big.log": random.Random(1).randbytes(15_000_000),
    }
    for name, data in contents.items():
        (logs / name).parent.mkdir(parents=True, exist_ok=True)
        (logs / name).write_bytes(data)
    (logs / "empty.log").touch()
    start()
    for name, data in contents.items():
        oracle.wait(lambda name=name, data=data: sha(oracle.content(f"{OTHER}/{name}").get(0, b"")) == sha(data))
    assert oracle.resent_bytes == 0
    assert oracle.content(f"{OTHER}/empty.log") == {}
    assert any(request.endswith("/chunks") for request in oracle.requests)


def test_a_last_line_grows_and_gets_its_newline(oracle: Oracle, start: Watches, tmp_path: Path) -> None:
    log = tmp_path / "logs/a.log"
    log.write_bytes(b"epoch 1\nepo")
    start()
    oracle.wait(holds(oracle, f"{OTHER}/a.log", b"epoch 1\nepo"))
    with log.open("ab") as file:
        file.write(b"ch 2\n")
    oracle.wait(holds(oracle, f"{OTHER}/a.log", b"epoch 1\nepoch 2\n"))
    assert not oracle.sealed


def test_rename_rotation_reads_the_old_file_to_its_end(oracle: Oracle, start: Watches, tmp_path: Path) -> None:
    log = tmp_path / "logs/a.log"
    old = log.open("ab", buffering=0)
    old.write(b"one\n")
    start()
    oracle.wait(holds(oracle, f"{OTHER}/a.log", b"one\n"))
    old.write(b"two\n")
    log.rename(tmp_path / "logs/a.log.1")
    log.write_bytes(b"three\n")
    old.write(b"late\n")  # the writer has not opened the new file yet
    oracle.wait(holds(oracle, f"{OTHER}/a.log", b"one\ntwo\nlate\n", b"three\n"))
    (tmp_path / "logs/a.log.1").rename(tmp_path / "logs/a.log.2")
    log.rename(tmp_path / "logs/a.log.1")
    log.write_bytes(b"four\n")
    oracle.wait(holds(oracle, f"{OTHER}/a.log", b"one\ntwo\nlate\n", b"three\n", b"four\n"))
    name = (JOB, "worker-0", f"{OTHER}/a.log")
    oracle.wait(lambda: {(*name, 0), (*name, 1)} <= oracle.sealed)
    assert (*name, 2) not in oracle.sealed
    assert len(oracle.held) == 3  # nothing under another name


def test_rotated_files_never_seen_before_are_older_generations(oracle: Oracle, start: Watches, tmp_path: Path) -> None:
    for name, data in {"a.log.2": b"1\n", "a.log.1": b"2\n", "a.log": b"3\n"}.items():
        (tmp_path / "logs" / name).write_bytes(data)
    start()
    oracle.wait(holds(oracle, f"{OTHER}/a.log", b"1\n", b"2\n", b"3\n"))


def test_rotation_while_the_collector_is_away(oracle: Oracle, start: Watches, tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    (logs / "a.log").write_bytes(b"one\n")
    first = start()
    oracle.wait(holds(oracle, f"{OTHER}/a.log", b"one\n"))
    first.terminate()
    assert first.wait(20) == 0
    with (logs / "a.log").open("ab") as file:
        file.write(b"more\n")
    (logs / "a.log").rename(logs / "a.log.2")
    (logs / "a.log.1").write_bytes(b"two\n")
    (logs / "a.log").write_bytes(b"three\n")
    start()
    oracle.wait(holds(oracle, f"{OTHER}/a.log", b"one\nmore\n", b"two\n", b"three\n"))


@pytest.mark.parametrize("grows_past", [False, True])
def test_truncation_is_a_new_generation(oracle: Oracle, start: Watches, tmp_path: Path, grows_past: bool) -> None:
    log = tmp_path / "logs/a.log"
    log.write_bytes(b"head\n" + b"old line\n" * 10)
    start()
    oracle.wait(holds(oracle, f"{OTHER}/a.log", b"head\n" + b"old line\n" * 10))
    new = b"head\n" + b"new line, longer\n" * (100 if grows_past else 1)
    with log.open("r+b") as file:
        file.truncate(0)
        file.write(new)
    oracle.wait(holds(oracle, f"{OTHER}/a.log", b"head\n" + b"old line\n" * 10, new))


def test_copytruncate_loses_nothing_and_ships_nothing_twice(oracle: Oracle, start: Watches, tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    (logs / "a.log").write_bytes(b"one\n" * 500)
    process = start()
    oracle.wait(holds(oracle, f"{OTHER}/a.log", b"one\n" * 500))
    process.send_signal(signal.SIGSTOP)  # what is written now is not read before the truncation
    with (logs / "a.log").open("ab") as file:
        file.write(b"unread\n")
    (logs / "a.log.1").write_bytes((logs / "a.log").read_bytes())
    with (logs / "a.log").open("r+b") as file:
        file.truncate(0)
        file.write(b"two\n")
    process.send_signal(signal.SIGCONT)
    oracle.wait(holds(oracle, f"{OTHER}/a.log", b"one\n" * 500 + b"unread\n", b"two\n"))
    with (logs / "a.log").open("ab") as file:
        file.write(b"three\n")
    oracle.wait(holds(oracle, f"{OTHER}/a.log", b"one\n" * 500 + b"unread\n", b"two\nthree\n"))
    assert len(oracle.held) == 2


def test_a_replaced_file_is_a_new_generation(oracle: Oracle, start: Watches, tmp_path: Path) -> None:
    log = tmp_path / "logs/a.log"
    log.write_bytes(b"one\n")
    start()
    oracle.wait(holds(oracle, f"{OTHER}/a.log", b"one\n"))
    log.unlink()
    log.write_bytes(b"two, perhaps under the same inode\n")
    oracle.wait(holds(oracle, f"{OTHER}/a.log", b"one\n", b"two, perhaps under the same inode\n"))


def test_a_file_deleted_while_the_service_is_away_still_arrives(oracle: Oracle, start: Watches, tmp_path: Path) -> None:
    log = tmp_path / "logs/a.log"
    log.write_bytes(b"one\n")
    start()
    oracle.wait(holds(oracle, f"{OTHER}/a.log", b"one\n"))
    oracle.fault = lambda method, path: (503, {"Retry-After": "0"}, b"")
    with log.open("ab") as file:
        file.write(b"two\n")
    log.unlink()
    seen = len(oracle.requests)
    oracle.wait(lambda: len(oracle.requests) > seen + 1)
    oracle.fault = None
    oracle.wait(holds(oracle, f"{OTHER}/a.log", b"one\ntwo\n"))


def test_links_ship_a_file_once_under_its_real_name(oracle: Oracle, start: Watches, tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    folder = logs / f"modelarts-job-{JOB}/ascend/process_log/rank_0/mindspore"
    folder.mkdir(parents=True)
    real = "mindspore.worker-0.ma-user.log.INFO.20261123-204937.9763"
    (folder / real).write_bytes(b"Log file created\n")
    (folder / "mindspore.INFO").symlink_to(real)
    (logs / "again").symlink_to(folder)
    os.link(folder / real, logs / "zz-hard-link.log")
    (tmp_path / "outside.log").write_bytes(b"outside\n")
    (logs / "link.log").symlink_to(tmp_path / "outside.log")
    os.mkfifo(logs / "pipe.log")
    start()
    path = f"modelarts-job-{JOB}/ascend/process_log/rank_0/mindspore/{real}"
    oracle.wait(lambda: len(oracle.held) >= 2)
    oracle.wait(holds(oracle, f"{OTHER}/link.log", b"outside\n"))
    (logs / "later.log").write_bytes(b"later\n")
    oracle.wait(holds(oracle, f"{OTHER}/later.log", b"later\n"))
    assert oracle.content(path) == {0: b"Log file created\n"}
    assert len(oracle.held) == 3


def test_kill_9_midway_again_and_again(oracle: Oracle, start: Watches, tmp_path: Path) -> None:
    """The service's offsets decide; resent bytes are few, and none is held twice or missing."""
    logs = tmp_path / "logs"
    chance = random.Random(7)
    contents = {f"{index}.log": chance.randbytes(5_000_000 if index < 2 else 30_000) for index in range(20)}
    for name, data in contents.items():
        (logs / name).write_bytes(data[: len(data) // 2])
    struck = 0
    total = sum(map(len, contents.values()))
    oracle.limit_bytes = 400_000  # small bodies: many places to die at
    for attempt in range(8):
        process = start()
        held = lambda: sum(len(data) for data in oracle.held.values())  # noqa: E731
        goal = held() + chance.randint(1, 600_000)
        oracle.wait(lambda held=held, goal=goal: held() >= min(goal, total // 2))
        process.kill()
        process.wait()
        struck += held() < total // 2
        if attempt == 3:
            (tmp_path / "state/checkpoint.json").write_bytes(b'{"files": [{"torn')
    assert struck >= 4
    for name, data in contents.items():
        (logs / name).write_bytes(data)
    start()
    for name, data in contents.items():
        oracle.wait(lambda name=name, data=data: sha(oracle.content(f"{OTHER}/{name}").get(0, b"")) == sha(data), 60)
    assert len(oracle.held) == len(contents)


def test_answers_that_get_lost(oracle: Oracle, start: Watches, tmp_path: Path) -> None:
    oracle.lose_answers = 3
    data = random.Random(2).randbytes(9_000_000)
    (tmp_path / "logs/big.log").write_bytes(data)
    (tmp_path / "logs/small.log").write_bytes(b"small\n")
    start()
    oracle.wait(holds(oracle, f"{OTHER}/big.log", data), 60)
    oracle.wait(holds(oracle, f"{OTHER}/small.log", b"small\n"))
    assert oracle.lose_answers == 0
    assert oracle.resent_bytes > 0


@pytest.mark.parametrize(
    "answer",
    [
        (200, {}, b"<html>a captive portal</html>"),
        (200, {}, b"{}"),
        (200, {"Content-Type": "text/html"}, b""),
        (302, {"Location": "http://127.0.0.1:1/"}, b""),
        (502, {}, b"<html>bad gateway</html>"),
        (503, {"Retry-After": "0"}, b'{"error": {"code": "store_unavailable", "message": "wait", "detail": {}}}'),
        (429, {"Retry-After": "0"}, b"slow down"),
        (404, {}, b"not here"),
        (401, {}, b'{"error": {"code": "unauthorized", "message": "who?", "detail": {}}}'),
        (403, {}, b'{"error": {"code": "forbidden", "message": "no", "detail": {}}}'),
    ],
)
def test_what_is_no_acknowledgement(
    oracle: Oracle, start: Watches, tmp_path: Path, answer: tuple[int, dict[str, str], bytes]
) -> None:
    struck = 0

    def fault(method: str, path: str) -> tuple[int, dict[str, str], bytes] | None:
        nonlocal struck
        struck += 1
        return answer if struck in (1, 3) else None

    oracle.fault = fault
    (tmp_path / "logs/a.log").write_bytes(b"one\n")
    start()
    oracle.wait(holds(oracle, f"{OTHER}/a.log", b"one\n"))
    assert struck >= 4


def test_a_batch_too_large_is_split(oracle: Oracle, start: Watches, tmp_path: Path) -> None:
    oracle.limit_bytes = 200_000
    contents = {f"{index}.log": random.Random(index).randbytes(150_000) for index in range(6)}
    contents["big.log"] = random.Random(99).randbytes(3_000_000)
    for name, data in contents.items():
        (tmp_path / "logs" / name).write_bytes(data)
    start()
    for name, data in contents.items():
        oracle.wait(holds(oracle, f"{OTHER}/{name}", data))


def test_a_proxy_with_a_limit_of_its_own(oracle: Oracle, start: Watches, tmp_path: Path) -> None:
    struck = 0

    def fault(method: str, path: str) -> tuple[int, dict[str, str], bytes] | None:
        nonlocal struck
        struck += path.endswith("/chunks")
        return (413, {}, b"<html>too large</html>") if struck < 4 and path.endswith("/chunks") else None

    oracle.fault = fault
    data = random.Random(5).randbytes(5_000_000)
    (tmp_path / "logs/big.log").write_bytes(data)
    start()
    oracle.wait(holds(oracle, f"{OTHER}/big.log", data))
    assert struck >= 4


def test_a_stop_does_not_wait_for_a_service_that_hangs(oracle: Oracle, start: Watches, tmp_path: Path) -> None:
    release = threading.Event()
    hangs = threading.Event()

    def fault(method: str, path: str) -> None:
        hangs.set()
        release.wait(60)

    oracle.fault = fault
    (tmp_path / "logs/a.log").write_bytes(b"one\n")
    process = start()
    try:
        assert hangs.wait(20)
        process.terminate()
        assert process.wait(20) == 0
    finally:
        release.set()


def test_a_stop_with_drain_waits_for_a_service_that_is_away(oracle: Oracle, start: Watches, tmp_path: Path) -> None:
    """A pod's folder is gone with the pod."""
    refused: list[str] = []

    def fault(method: str, path: str) -> tuple[int, dict[str, str], bytes]:
        refused.append(path)
        return 503, {"Retry-After": "0"}, b""

    oracle.fault = fault
    (tmp_path / "logs/a.log").write_bytes(b"one\n")
    process = start("--drain", "60")
    wait_until(lambda: refused)
    process.terminate()
    before = len(refused)
    wait_until(lambda: len(refused) > before + 1)
    oracle.fault = None
    assert process.wait(60) == 0
    assert oracle.content(f"{OTHER}/a.log") == {0: b"one\n"}


def test_an_expired_job_is_left_alone_and_others_go_on(oracle: Oracle, start: Watches, tmp_path: Path) -> None:
    oracle.expired.add("gone")
    (tmp_path / "logs/modelarts-job-gone-worker-0.log").write_bytes(b"old\n")
    (tmp_path / "logs/modelarts-job-here-worker-0.log").write_bytes(b"new\n")
    process = start(job=None)
    oracle.wait(holds(oracle, "modelarts-job-here-worker-0.log", b"new\n"))
    with (tmp_path / "logs/modelarts-job-here-worker-0.log").open("ab") as file:
        file.write(b"more\n")
    oracle.wait(holds(oracle, "modelarts-job-here-worker-0.log", b"new\nmore\n"))
    process.terminate()
    assert process.wait(20) == 0
    assert process.stderr is not None
    assert b"job gone has expired" in process.stderr.read()


def test_other_bytes_at_the_service_make_another_generation(oracle: Oracle, start: Watches, tmp_path: Path) -> None:
    path = f"{OTHER}/a.log"
    oracle.held[(JOB, "worker-0", path, 0)] = bytearray(b"H" * 1024 + b"another ending\n")
    data = b"H" * 1024 + b"this file's own ending\n"
    (tmp_path / "logs/a.log").write_bytes(data)
    start()
    oracle.wait(lambda: oracle.content(path).get(1) == data)
    assert oracle.content(path)[0] == b"H" * 1024 + b"another ending\n"


def test_a_service_that_lost_bytes_gets_them_again(oracle: Oracle, start: Watches, tmp_path: Path) -> None:
    log = tmp_path / "logs/a.log"
    log.write_bytes(b"one\ntwo\n")
    start()
    oracle.wait(holds(oracle, f"{OTHER}/a.log", b"one\ntwo\n"))
    with oracle.changed:
        del oracle.held[(JOB, "worker-0", f"{OTHER}/a.log", 0)][4:]
    with log.open("ab") as file:
        file.write(b"three\n")
    oracle.wait(holds(oracle, f"{OTHER}/a.log", b"one\ntwo\nthree\n"))


def test_a_renewed_token_is_read_again(oracle: Oracle, start: Watches, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(TOKEN + "\n")
    log = tmp_path / "logs/a.log"
    log.write_bytes(b"one\n")
    start("--token-file", str(token))
    oracle.wait(holds(oracle, f"{OTHER}/a.log", b"one\n"))
    with oracle.changed:
        oracle.token = "renewed"
    token.write_text("renewed\n")
    with log.open("ab") as file:
        file.write(b"two\n")
    oracle.wait(holds(oracle, f"{OTHER}/a.log", b"one\ntwo\n"))


def test_one_state_folder_serves_one_collector(oracle: Oracle, start: Watches, tmp_path: Path) -> None:
    (tmp_path / "logs/a.log").write_bytes(b"one\n")
    start()
    oracle.wait(holds(oracle, f"{OTHER}/a.log", b"one\n"))
    second = start()
    assert second.wait(20) == 2
    assert second.stderr is not None
    said = second.stderr.read().decode()
    assert "in use by another collector" in said and said.count("\n") == 1


def test_new_lines_are_not_starved_by_back_fill(oracle: Oracle, start: Watches, tmp_path: Path) -> None:
    """While 200 MB wait, a new line of another file goes between two bodies of them."""
    with (tmp_path / "logs/huge.log").open("wb") as file:
        for index in range(200):
            file.write(random.Random(index).randbytes(1_000_000))
    (tmp_path / "logs/live.log").write_bytes(b"one\n")
    start()
    huge = (JOB, "worker-0", f"{OTHER}/huge.log", 0)
    oracle.wait(lambda: len(oracle.held.get(huge, b"")) > 5_000_000)
    with (tmp_path / "logs/live.log").open("ab") as file:
        file.write(b"two\n")
    oracle.wait(holds(oracle, f"{OTHER}/live.log", b"one\ntwo\n"))
    assert len(oracle.held[huge]) < 200_000_000


def test_the_checkpoint_is_whole_json(oracle: Oracle, start: Watches, tmp_path: Path) -> None:
    (tmp_path / "logs/a.log").write_bytes(b"one\n")
    process = start()
    oracle.wait(holds(oracle, f"{OTHER}/a.log", b"one\n"))
    process.terminate()
    assert process.wait(20) == 0
    kept = json.loads((tmp_path / "state/checkpoint.json").read_bytes())
    assert [(entry["generation"], entry["sent"]) for entry in kept["files"]] == [(0, 4)]

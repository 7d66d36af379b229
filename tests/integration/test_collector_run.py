"""`logsvc-collector run`: the command's output, its status, its signals; nothing is lost."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from integration.collector_oracle import TOKEN, Oracle
from integration.command_rig import JOB, LOG, NAME, Commands, python, shell, shipped


def test_output_in_order_as_one_sealed_log(oracle: Oracle, run: Commands, tmp_path: Path) -> None:
    script = "import os\nfor i in range(3000): os.write(1 + i % 2, b'line %d\\n' % i)"
    process = run(sys.executable, "-c", script)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    wanted = b"".join(b"line %d\n" % index for index in range(3000))
    assert shipped(oracle) == wanted
    assert out == wanted  # the terminal sees the same
    assert NAME in oracle.sealed
    assert oracle.jobs[JOB]["status"] == "succeeded" and oracle.jobs[JOB]["ended_at"]
    assert list((tmp_path / "state/runs").iterdir()) == []


def test_a_job_that_is_gone_at_once_loses_nothing(oracle: Oracle, run: Commands) -> None:
    process = run(sys.executable, "-c", "for i in range(1000): print('line', i)")
    process.communicate(timeout=30)
    assert shipped(oracle) == b"".join(b"line %d\n" % index for index in range(1000))


def test_bytes_are_kept_verbatim_without_service_lines(oracle: Oracle, run: Commands) -> None:
    data = bytes(range(256)) + b"\rbar\rbar 2\n\0no newline"
    process = run(sys.executable, "-c", f"import os; os.write(1, {data!r})", options=("--no-service-lines",))
    process.communicate(timeout=30)
    assert bytes(oracle.held[NAME]) == data


def test_one_byte(oracle: Oracle, run: Commands) -> None:
    run("printf", "x", options=("--no-service-lines",)).communicate(timeout=30)
    assert bytes(oracle.held[NAME]) == b"x"
    assert NAME in oracle.sealed


def test_no_output_at_all_is_a_sealed_log(oracle: Oracle, run: Commands) -> None:
    run("true", options=("--no-service-lines",)).communicate(timeout=30)
    assert NAME in oracle.sealed


@pytest.mark.parametrize(
    ("command", "status", "words"),
    [
        (("sh", "-c", "exit 3"), 3, b"exit code 3\n"),
        (("sh", "-c", "kill -KILL $$"), 137, b"exit code 137: killed"),
        (("sh", "-c", "kill -SEGV $$"), 139, b"exit code 139: segmentation fault"),
        (("sh", "-c", "kill -ABRT $$"), 134, b"exit code 134: aborted"),
        (("/no/such/command",), 127, b"exit code 127: the command was not found"),
        (("/etc/passwd",), 126, b"exit code 126: the command could not be executed"),
    ],
)
def test_exit_status_is_the_commands(
    oracle: Oracle, run: Commands, command: tuple[str, ...], status: int, words: bytes
) -> None:
    process = run(*command)
    process.communicate(timeout=30)
    assert process.returncode == status
    log = bytes(oracle.held[NAME])
    assert words in log
    assert all(
        line.startswith(b"[ModelArts Service Log]2") for line in log.splitlines() if b"logsvc-collector:" in line
    )
    assert oracle.jobs[JOB]["status"] == "failed"


@pytest.mark.parametrize("name", ["TERM", "INT", "HUP", "USR1", "USR2"])
def test_signals_reach_the_command(oracle: Oracle, run: Commands, name: str) -> None:
    script = f"trap 'echo got {name}; exit 7' {name}; echo ready; while :; do sleep 0.05; done"
    process = run("sh", "-c", script)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(getattr(signal, f"SIG{name}"))
    process.communicate(timeout=30)
    assert process.returncode == 7
    assert shipped(oracle) == b"ready\ngot %s\n" % name.encode()


def test_a_command_ended_by_a_signal(oracle: Oracle, run: Commands) -> None:
    process = run("sleep", "60")
    oracle.wait(lambda: NAME in oracle.held)
    process.terminate()
    process.communicate(timeout=30)
    assert process.returncode == 143
    assert b"exit code 143: terminated (SIGTERM)" in oracle.held[NAME]


def test_a_background_process_does_not_hold_the_end(oracle: Oracle, run: Commands) -> None:
    process = run("sh", "-c", "sleep 60 & echo started $!")
    out, _ = process.communicate(timeout=30)
    os.kill(int(out.split()[-1]), signal.SIGKILL)
    assert process.returncode == 0
    assert shipped(oracle) == out


def test_a_background_process_that_floods_does_not_hold_the_end(oracle: Oracle, run: Commands) -> None:
    """What the command itself wrote is there all the same."""
    process = run(*shell("(while :; do echo flood; done) & echo mine $!"))
    out, _ = process.communicate(timeout=30)
    os.kill(int(out.partition(b"mine ")[2].split()[0]), signal.SIGKILL)
    assert process.returncode == 0
    assert shipped(oracle) == out
    assert b"exit code 0" in oracle.held[NAME]


def test_a_command_that_closes_its_output_early_is_waited_for(oracle: Oracle, run: Commands) -> None:
    script = "import os, sys; print('closing'); os.close(1); os.close(2); sys.stdin.read(); os._exit(4)"
    process = run(*python(script))
    assert process.stdout is not None
    assert process.stdout.readline() == b"closing\n"
    oracle.wait(lambda: b"closing" in oracle.held.get(NAME, b""))
    assert process.poll() is None
    process.communicate(timeout=30)
    assert process.returncode == 4
    assert b"exit code 4" in oracle.held[NAME] and NAME in oracle.sealed


def test_our_stdout_may_be_set_not_to_block(oracle: Oracle, run: Commands) -> None:
    """As it is below some launchers: nothing is left out there either."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    process = run(*python("print('x' * 99 * 40_000)"), stdout=writing)
    os.close(writing)
    with open(reading, "rb") as out:
        assert out.read() == b"x" * 99 * 40_000 + b"\n"
    process.communicate(timeout=30)
    assert shipped(oracle) == b"x" * 99 * 40_000 + b"\n"


def test_service_away_and_back(oracle: Oracle, run: Commands) -> None:
    """The command does not wait for the service; what it wrote meanwhile arrives."""
    oracle.fault = lambda method, path: (503, {}, b"")
    process = run(sys.executable, "-uc", "print('one'); print('written'); import sys; sys.stdin.read()")
    assert process.stdout is not None
    assert process.stdout.readline() == b"one\n"
    oracle.wait(lambda: len(oracle.requests) > 1)
    oracle.fault = None
    process.communicate(timeout=40)
    assert process.returncode == 0
    assert shipped(oracle) == b"one\nwritten\n"
    assert oracle.jobs[JOB]["status"] == "succeeded"


def test_what_could_not_be_sent_stays_and_can_be_sent_later(oracle: Oracle, run: Commands, tmp_path: Path) -> None:
    oracle.fault = lambda method, path: (503, {}, b"")
    process = run("sh", "-c", "echo precious; exit 5", options=("--drain", "0.5"))
    _, said = process.communicate(timeout=30)
    assert process.returncode == 5
    assert not oracle.held
    hint = said.decode().strip().splitlines()[-1]
    assert "send it later with: logsvc-collector watch --once" in hint
    oracle.fault = None
    words = shlex.split(hint.partition("with: logsvc-collector ")[2])
    later = subprocess.run(
        [sys.executable, "-m", "collectors", *words, "--state-dir", str(tmp_path / "state")],
        env={**os.environ, "LOGSVC_TOKEN": TOKEN},
        capture_output=True,
        timeout=60,
    )
    assert later.returncode == 0, later.stderr
    assert shipped(oracle) == b"precious\n"


def test_folders_are_shipped_while_the_command_runs(oracle: Oracle, run: Commands, tmp_path: Path) -> None:
    folder = tmp_path / "ascend/log"
    log = folder / "debug/plog/plog-114_20220718191843620.log"
    script = f"mkdir -p {log.parent}; printf 'hccl' > {log}; sleep 0.2; printf ' end' >> {log}"
    run("sh", "-c", script, options=("--watch", str(folder))).communicate(timeout=30)
    path = f"modelarts-job-{JOB}/ascend/process_log/worker-0/debug/plog/plog-114_20220718191843620.log"
    assert oracle.content(path) == {0: b"hccl end"}


def test_a_log_file_of_the_same_name_does_not_end_the_commands_own(
    oracle: Oracle, run: Commands, tmp_path: Path
) -> None:
    """The platform's own copy, say: it goes to `other`."""
    folder = tmp_path / "platform"
    folder.mkdir()
    (folder / LOG).write_bytes(b"theirs\n")
    process = run(
        *python("import sys; print('mine'); sys.stdin.read(); print('end')"), options=("--watch", str(folder))
    )
    oracle.wait(lambda: any(b"theirs" in data for data in oracle.held.values()))
    process.communicate(timeout=30)
    assert shipped(oracle) == b"mine\nend\n"
    (path,) = (name[2] for name in oracle.held if name[2] != LOG)
    assert path.startswith(f"modelarts-job-{JOB}/other/worker-0/") and oracle.content(path) == {0: b"theirs\n"}


def test_one_failed_task_fails_the_job(oracle: Oracle, run: Commands) -> None:
    first = run(sys.executable, "-c", "import sys; print('up', flush=True); sys.stdin.read()")
    oracle.wait(lambda: NAME in oracle.held)
    second = run("sh", "-c", "exit 1", task="worker-1")
    second.communicate(timeout=30)
    assert oracle.jobs[JOB]["status"] == "failed"
    first.communicate(timeout=30)
    assert first.returncode == 0
    assert oracle.jobs[JOB]["status"] == "failed"


def test_the_job_succeeds_with_its_last_task(oracle: Oracle, run: Commands) -> None:
    first = run("cat")
    oracle.wait(lambda: NAME in oracle.held)
    run("true", task="worker-1").communicate(timeout=30)
    assert oracle.jobs[JOB]["status"] == "running"
    first.communicate(timeout=30)
    assert oracle.jobs[JOB]["status"] == "succeeded"


def test_a_job_of_others_keeps_its_status(oracle: Oracle, run: Commands) -> None:
    oracle.jobs[JOB] = {"id": JOB, "status": "running", "name": "theirs"}
    run("false").communicate(timeout=30)
    assert oracle.jobs[JOB] == {"id": JOB, "status": "running", "name": "theirs"}
    run("false", options=("--set-status",)).communicate(timeout=30)
    assert oracle.jobs[JOB]["status"] == "failed"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--job", "a/b"), "is not a job id"),
        (("--task", "W0"), "is not a task"),
        (("--server", "ftp://x"), "is not a URL"),
        (("--token-file", "/no/such/file"), "token file /no/such/file"),
    ],
)
def test_wrong_use_is_one_line_and_status_2(run: Commands, options: tuple[str, ...], sentence: str) -> None:
    process = run("true", options=options)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 2
    assert sentence in said.decode() and said.count(b"\n") == 1

"""What samplers start: children that answer, hang and crash; tools that print garbage; mounts that never answer."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from collectors.samplers import Absent, DeviceReading, Failed, Hung, MountReading
from collectors.samplers.child import Child, InChild
from collectors.samplers.command import OUTPUT_BYTES, Tool, end_helpers, helpers
from collectors.samplers.mounts import ASIDE_SECONDS, MOUNTS_SECONDS, Mounts

HERE = Path(__file__).parent
SOON = 0.3  # seconds until what hangs is given up here


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Children find `sampler_children`."""
    monkeypatch.setenv("PYTHONPATH", str(HERE))


@pytest.fixture
def child() -> Iterator[Child]:
    child = Child("sampler_children:worker")
    yield child
    child.kill()
    assert not helpers


def is_gone(pid: int) -> bool:
    return not os.path.exists(f"/proc/{pid}")


def test_a_child_answers_whatever_a_library_prints(child: Child) -> None:
    assert child.ask(["echo", 1, "two"]) == [1, "two"]
    pid = child.ask(["pid"])
    assert pid in helpers and child.ask(["pid"]) == pid
    child.kill()
    child.kill()
    assert is_gone(pid) and not helpers


def test_a_child_ends_with_its_parent() -> None:
    """Even if that is killed."""
    script = (
        "import os, sys; from collectors.samplers.child import Child; "
        "print(Child('sampler_children:worker').ask(['pid']), flush=True); os.kill(os.getpid(), 9)"
    )
    root = str(HERE.parents[1])
    environment = {**os.environ, "PYTHONPATH": f"{HERE}:{root}"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, stdout=subprocess.PIPE, check=False)
    assert done.returncode == -9
    wait_gone(int(done.stdout))


def test_a_child_that_hangs_is_killed_and_another_one_started(child: Child) -> None:
    pid = child.ask(["pid"])
    with pytest.raises(Hung, match=r"no answer in 0\.3 s"):
        child.ask(["hang"], SOON)
    assert is_gone(pid)
    assert child.ask(["pid"]) != pid


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ("crash", "the process that asks was ended by SIGSEGV"),
        ("end", r"the process that asks ended \(3\)"),
        ("nonsense", "KeyError: 'nonsense'"),
    ],
)
def test_a_child_that_crashes_takes_nobody_along(child: Child, question: str, words: str) -> None:
    with pytest.raises(Failed, match=words):
        child.ask([question])
    assert child.ask(["echo"]) == []


def test_a_child_raises_what_its_sampler_raises(child: Child) -> None:
    with pytest.raises(Absent, match="no driver"):
        child.ask(["absent", "no driver"])
    with pytest.raises(Failed, match="broken"):
        child.ask(["failed", "broken"])


def test_no_child_is_started_beside_one_that_cannot_be_killed(child: Child, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its system call never returns: nothing piles up behind it, and when it is gone all goes on."""
    pid = child.ask(["pid"])
    monkeypatch.setattr("collectors.samplers.child.kill_group", lambda process: None)
    monkeypatch.setattr("collectors.samplers.child.KILLED_SECONDS", 0.01)
    for _ in range(3):
        with pytest.raises(Hung):
            child.ask(["hang"], 0.01)
    assert child.stuck is not None and child.stuck.pid == pid and helpers.keys() == {pid}
    with pytest.raises(Hung, match=rf"cannot be killed \(pid {pid}\)"):
        child.ask(["pid"])
    os.kill(pid, 9)
    child.stuck.wait()
    monkeypatch.undo()
    monkeypatch.setenv("PYTHONPATH", str(HERE))
    assert child.ask(["pid"]) != pid


def test_a_sampler_in_a_child() -> None:
    sampler = InChild("nvidia", "sampler_children:Cards", lambda: True)
    for _ in range(2):
        sampler.open()
        (reading,) = sampler.sample()
        assert isinstance(reading, DeviceReading) and reading[:3] == ("0", "gpu", 12.5)
        assert reading.process_count == 1 and reading.pids[0] in helpers  # a fresh process each time it is opened
        assert sampler.remark == "card 1: GPU is lost"
        sampler.close()
    with pytest.raises(Absent):
        InChild("nvidia", "sampler_children:Cards", lambda: False).open()


def test_a_child_that_ended_at_rest_is_opened_before_it_is_asked() -> None:
    """A fresh one has not found out yet by what the cards are read."""
    sampler = InChild("nvidia", "sampler_children:Cards", lambda: True)
    sampler.open()
    (pid,) = helpers
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    with pytest.raises(Failed, match="the process that asks had ended"):
        sampler.sample()
    sampler.close()
    sampler.open()
    assert len(sampler.sample()) == 1
    sampler.close()


def test_a_tool_of_a_child_is_killed_with_it(child: Child, tmp_path: Path) -> None:
    with pytest.raises(Hung):
        child.ask(["tool", f"echo $$ > {tmp_path}/new && mv {tmp_path}/new {tmp_path}/pid; exec sleep 3600"], 2 * SOON)
    wait_gone(int((tmp_path / "pid").read_text()))


@pytest.fixture
def tool(tmp_path: Path) -> Callable[[str], list[str]]:
    """Makes a command of a shell script."""

    def make(script: str) -> list[str]:
        program = tmp_path / "smi"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        return [str(program)]

    return make


def test_a_tool_speaks_plainly(tool: Callable[[str], list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    monkeypatch.setenv("LANGUAGE", "de")
    assert Tool().output(tool('echo "$LC_ALL $LANG $LANGUAGE"; printf "\\377"')) == "C C C\n\ufffd"
    assert not helpers


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo 'no driver' >&2; echo half; exit 9", "smi: exit status 9: no driver"),
        ("echo 'only here'; exit 1", "smi: exit status 1: only here"),
        ("kill -11 $$", "smi: was ended by signal 11"),
        (f"head -c {OUTPUT_BYTES + 1} /dev/zero", "smi prints more than"),
    ],
)
def test_a_tool_that_fails_says_how(tool: Callable[[str], list[str]], script: str, words: str) -> None:
    with pytest.raises(Failed) as caught:
        Tool().output(tool(script))
    assert str(caught.value).startswith(words) and not isinstance(caught.value, Hung)


def test_a_tool_that_prints_without_end_is_killed_before_it_has_filled_the_disk(
    tool: Callable[[str], list[str]], tmp_path: Path
) -> None:
    script = tool(f"echo $$ > {tmp_path}/pid; while :; do head -c 1000000 /dev/zero; sleep 0.02; done")
    began = time.monotonic()
    with pytest.raises(Failed, match="smi prints more than"):
        Tool(600.0).output(script)
    assert time.monotonic() - began < 300 and not helpers
    wait_gone(int((tmp_path / "pid").read_text()))


def test_who_ends_leaves_no_tool_behind(tool: Callable[[str], list[str]], tmp_path: Path) -> None:
    script = tool(f"sleep 3600 & echo $! > {tmp_path}/new && mv {tmp_path}/new {tmp_path}/pid; wait")
    said: list[str] = []

    def ask() -> None:
        try:
            Tool(600.0).output(script)
        except Failed as exc:
            said.append(str(exc))

    asking = threading.Thread(target=ask)
    asking.start()
    while not (tmp_path / "pid").exists():
        asking.join(0.01)
    end_helpers()
    asking.join()
    assert said == ["smi: was ended by signal 9"] and not helpers
    wait_gone(int((tmp_path / "pid").read_text()))


def test_a_tool_that_is_not_there_is_absent(tmp_path: Path) -> None:
    for command in (str(tmp_path / "none"), str(tmp_path)):
        with pytest.raises(Absent):
            Tool().output([command])


def test_a_tool_that_hangs_is_killed_with_all_it_started(tool: Callable[[str], list[str]], tmp_path: Path) -> None:
    script = tool(f"trap '' TERM; sleep 3600 & echo $! > {tmp_path}/pid; wait")
    asked = Tool(SOON)
    with pytest.raises(Hung, match=r"smi gave no answer in 0\.3 s"):
        asked.output(script)
    wait_gone(int((tmp_path / "pid").read_text()))
    assert not helpers and asked.output(tool("echo back")) == "back\n"


def test_no_tool_is_started_beside_one_that_cannot_be_killed(
    tool: Callable[[str], list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collectors.samplers.command.kill_group", lambda process: None)
    monkeypatch.setattr("collectors.samplers.command.KILLED_SECONDS", 0.01)
    asked = Tool(SOON)
    with pytest.raises(Hung):
        asked.output(tool(f"echo x >> {tmp_path}/started; exec sleep 3600"))
    (pid,) = helpers
    with pytest.raises(Hung, match=rf"hangs in the driver and cannot be killed \(pid {pid}\)"):
        asked.output(tool(f"echo x >> {tmp_path}/started"))
    assert (tmp_path / "started").read_text() == "x\n"
    os.kill(pid, 9)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert asked.output(tool("echo back")) == "back\n" and not helpers


def test_mounts_are_found_and_filled(tmp_path: Path) -> None:
    table = tmp_path / "mounts"
    share = tmp_path / "sfs turbo"
    share.mkdir()
    escaped = str(share).replace(" ", "\\040")
    rows = (f"server:/x {escaped} nfs4", "proc /proc proc", "/dev/vda / ext4", f"server:/x {escaped} nfs")
    table.write_text("".join(f"{row} rw 0 0\n" for row in rows))
    mounts = Mounts(table=str(table), places=("/dev/shm", str(tmp_path / "cache")))
    mounts.open()
    readings = mounts.sample()
    mounts.close()
    stats = os.statvfs(share)
    assert [reading.path for reading in readings if isinstance(reading, MountReading)] == ["/dev/shm", str(share)]
    (found,) = [reading for reading in readings if isinstance(reading, MountReading) and reading.path == str(share)]
    df = subprocess.run(["df", "-B1", "--output=used,avail", share], stdout=subprocess.PIPE, text=True, check=True)
    used, available = map(int, df.stdout.splitlines()[1].split())
    assert abs(found.used_bytes - used) < 1 << 30 and abs(found.total_bytes - used - available) < 1 << 30
    assert found.read_only == bool(stats.f_flag & os.ST_RDONLY) and mounts.remark == ""


def test_a_mount_that_never_answers_is_set_aside(tmp_path: Path) -> None:
    """The others go on; it is asked again after a while."""
    for name in ("a", "gone", "z"):
        (tmp_path / name).mkdir()
    places = tuple(str(tmp_path / name) for name in ("a", "gone", "z"))
    now = [1000.0]
    mounts = Mounts(
        table=os.devnull,
        places=places,
        target="sampler_children:hanging_filler",
        seconds=0.5,
        clock=lambda: now[0],
    )

    def sampled() -> list[str]:
        return [os.path.basename(reading.path) for reading in mounts.sample() if isinstance(reading, MountReading)]

    try:
        mounts.open()
        assert len(helpers) == 1
        assert sampled() == ["a", "z"] and mounts.remark == f"no answer from {places[1]}"
        pids = set(helpers)
        assert sampled() == ["a", "z"] and helpers.keys() == pids  # not asked
        now[0] += ASIDE_SECONDS + 1
        assert sampled() == ["a", "z"] and helpers.keys() != pids  # asked, and hung again
    finally:
        mounts.close()
    assert not helpers


def test_mounts_that_never_answer_take_no_time_from_the_others(tmp_path: Path) -> None:
    """Not even two that stand before them, each asked again when the other one is set aside."""
    places = tuple(str(tmp_path / name) for name in ("1-gone", "2-gone", "there"))
    for place in places:
        os.mkdir(place)
    past = [0.0]
    mounts = Mounts(
        table=os.devnull,
        places=places,
        target="sampler_children:hanging_filler",
        seconds=SOON,
        clock=lambda: time.monotonic() + past[0],
    )
    found, remarks = [], []
    try:
        mounts.open()
        for _ in range(6):
            found.append([reading.path for reading in mounts.sample() if isinstance(reading, MountReading)])
            remarks.append(mounts.remark)
            past[0] += MOUNTS_SECONDS
    finally:
        mounts.close()
    assert found[2:] == [[places[2]]] * 4  # two looks, until both are known to hang
    assert all(place in remark for remark in remarks[2:] for place in places[:2])


ON_A_REAL_MOUNT = """
import os, subprocess, sys
from collectors.samplers.mounts import Mounts
share, scratch = sys.argv[1:]
subprocess.run(["mount", "-t", "tmpfs", "-o", "ro,size=1m", "scratch", scratch], check=True)
server = os.open("/dev/fuse", os.O_RDWR)  # nobody ever answers here
options = f"fd={server},rootmode=40000,user_id=0,group_id=0"
subprocess.run(["mount", "-i", "-t", "fuse.sfsturbo", "-o", options, "share", share], pass_fds=[server], check=True)
mounts = Mounts(places=(scratch,), seconds=1.0)
readings = [reading for reading in mounts.sample() if reading.path == scratch]
print(readings[0].total_bytes, readings[0].read_only, mounts.remark, sep="|")
mounts.close()
"""


def test_a_file_system_whose_server_is_gone_does_not_hang_the_sampler(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A real one, in a name space of its own, where this machine lets us mount; the test above stands for it else."""
    share, scratch = tmp_path / "share", tmp_path / "scratch"
    share.mkdir()
    scratch.mkdir()
    can = subprocess.run(["unshare", "-m", "test", "-w", "/dev/fuse"], stderr=subprocess.DEVNULL, check=False)
    if can.returncode:
        with capsys.disabled():
            print("\nno mounts for this user: a hanging file system is played by a process only")
        return
    command = ["unshare", "-m", sys.executable, "-c", ON_A_REAL_MOUNT, str(share), str(scratch)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=60, check=True)
    assert done.stdout == f"{1 << 20}|True|no answer from {share}\n"


def wait_gone(pid: int) -> None:
    """A killed process of another parent goes when that is told."""
    while not is_gone(pid) and Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX":
        pass

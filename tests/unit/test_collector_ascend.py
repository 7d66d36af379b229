"""The Ascend sampler against programs that stand in for npu-smi: those that answer, and those that do not."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from collectors.samplers import Absent, DeviceReading, Failed, Hung, ascend
from collectors.samplers.ascend import Ascend

SAMPLES = Path(__file__).resolve().parents[1] / "samples" / "accelerators" / "npu-smi"
MIB = 1 << 20
SECONDS = 5.0  # for a program that ends by itself

Fake = Callable[..., Path]


@pytest.fixture
def fake(tmp_path: Path) -> Fake:
    """A program that answers each list of arguments with a file, or runs a piece of shell."""

    def fake(*, before: str = "", **answers: str) -> Path:
        cases = ""
        for at, (arguments, text) in enumerate(answers.items()):
            (tmp_path / f"answer-{at}").write_text(text)
            cases += f'"{arguments.replace("_", " ")}") cat "{tmp_path}/answer-{at}" ;;\n'
        program = tmp_path / "npu-smi"
        program.write_text(f'#!/bin/sh\n{before}\ncase "$*" in\n{cases}*) echo "unknown: $*"; exit 1 ;;\nesac\n')
        program.chmod(0o755)
        return program

    return fake


def capture(name: str) -> str:
    return (SAMPLES / f"{name}.txt").read_text()


def sampled(program: Path, seconds: float = SECONDS, proc: str = "/proc") -> list[DeviceReading]:
    sampler = Ascend(str(program), seconds=seconds, proc=proc)
    sampler.open()
    return [reading for reading in sampler.sample() if isinstance(reading, DeviceReading)]


def processes(folder: Path, namespace: str, *pids: int) -> str:
    """A /proc with these processes, of a node (4026531836) or of a container."""
    for pid in pids:
        (folder / f"{pid}").mkdir(parents=True)
    (folder / "self/ns").mkdir(parents=True)
    (folder / "self/ns/pid").symlink_to(f"pid:[{namespace}]")
    return str(folder)


def test_the_table_gives_everything_in_one_run(fake: Fake, tmp_path: Path) -> None:
    program = fake(info=capture("info-A3-dual-chip-phy-id-24.1.rc3.3"))
    readings = sampled(program, proc=processes(tmp_path / "proc", "4026531836"))
    assert [reading.device for reading in readings] == [str(n) for n in range(16)]
    assert readings[0] == DeviceReading("0", "npu", 0, 3402 * MIB, 65536 * MIB, 182.0, 36, 0)
    assert readings[9].process_count == 1 and readings[9].pids == (957770,) and readings[9].power_watts is None


def test_in_a_container_only_processes_that_are_seen_count(fake: Fake, tmp_path: Path) -> None:
    """npu-smi says there that none runs, whatever runs: memory without a process would be found on every card."""
    program = fake(info=capture("info-A3-dual-chip-phy-id-24.1.rc3.3"))
    readings = sampled(program, proc=processes(tmp_path / "proc", "4026532601", 957770))
    assert [reading.process_count for reading in readings] == [None] * 9 + [1] + [None] * 6
    assert [reading.pids for reading in readings] == [()] * 9 + [(957770,)] + [()] * 6


def test_a_table_without_an_index_asks_the_map_once(fake: Fake, tmp_path: Path) -> None:
    numbers = capture("info-m-910A-23.0.5").replace(
        "\t0                              0                              0",
        "\t0                              0                              7",
    )
    numbers = "\n".join(line for line in numbers.split("\n") if not line.startswith("\t7"))
    sampler = Ascend(
        str(
            fake(
                before=f'echo "$*" >> "{tmp_path}/asked"',
                info=capture("info-910A-21.0.4"),
                info__m="",
                **{"info_-m": numbers},
            )
        )
    )
    sampler.open()
    for _ in range(2):
        assert [reading.device for reading in sampler.sample()] == ["7", "1"]
    assert (tmp_path / "asked").read_text().splitlines() == ["info", "info -m", "info"]


def test_without_a_map_the_card_is_its_npu_and_two_chips_are_refused(fake: Fake) -> None:
    sampler = Ascend(str(fake(info=capture("info-910A-21.0.4"))))
    sampler.open()
    assert [reading.device for reading in sampler.sample()] == ["0", "1"]
    assert "named by their NPU id" in sampler.remark and "exit status 1" in sampler.remark
    nameless = capture("info-A3-dual-chip-phy-id-24.1.rc3.3").replace("Phy-ID", "Slot  ")
    with pytest.raises(Failed, match="a card has two chips"):
        sampled(fake(info=nameless))


def test_a_card_that_the_map_does_not_have_is_left_out_and_told(fake: Fake) -> None:
    sampler = Ascend(
        str(
            fake(
                info=capture("info-910A-21.0.4"),
                **{"info_-m": capture("info-m-310P3-with-mcu").replace("4   ", "1   ")},
            )
        )
    )
    sampler.open()
    assert [reading.device for reading in sampler.sample()] == ["0"]
    assert sampler.remark == "left out, since nothing says their index: NPU 0 chip 0"


def test_a_chip_without_an_index_among_others_is_left_out_and_told(fake: Fake) -> None:
    text = capture("info-310P3-25.5.1-no-hbm-column").replace("| 0       1    ", "| 0       -    ")
    sampler = Ascend(str(fake(info=text)))
    sampler.open()
    assert [reading.device for reading in sampler.sample()] == ["0"]
    assert sampler.remark == "left out, since nothing says their index: NPU 5 chip 0"


USAGES = capture("info-t-usages-i0-910A-23.0.5").replace(
    "Aicore Usage Rate(%)           : 0", "Aicore Usage Rate(%) : 93"
)


def test_an_unknown_table_is_read_card_by_card(fake: Fake) -> None:
    answers = {"info_-m": capture("info-m-310P3-with-mcu"), "info_-t_usages_-i_4": USAGES}
    answers["info_-t_common_-i_4"] = capture("info-t-common-i0-model-not-named")
    sampler = Ascend(str(fake(info="another form\n", **answers)))
    sampler.open()
    for _ in range(2):
        assert sampler.sample() == [DeviceReading("0", "npu", 93, 0, 31129 * MIB, 71.7, 41)]
        assert sampler.remark == "npu-smi info: no table, but 'another form'; read in another way, without processes"
    fake(info=capture("info-310P3-25.5.1-no-hbm-column"))
    sampler.close()
    sampler.open()
    assert [reading.device for reading in sampler.sample()] == ["0", "1"] and sampler.remark == ""


def test_where_only_watch_is_known_it_is_heard_and_ended(fake: Fake, tmp_path: Path) -> None:
    head, *_, row = capture("info-watch-910B3-25.0.rc1.1").replace("2           0  ", "4           0  ").splitlines()
    (tmp_path / "rows").write_text(f"{head}\n{row}\n")
    watch = f'if [ "$2" = watch ]; then echo $$ > "{tmp_path}/pid"; cat "{tmp_path}/rows"; exec sleep 100; fi'
    answers = {"info_-m": capture("info-m-310P3-with-mcu"), "info_-t_usages_-i_4": "unsupported\n"}
    program = fake(before=watch, info="another form\n", **answers)
    assert sampled(program) == [DeviceReading("0", "npu", 0, power_watts=90.2, temperature_celsius=34)]
    assert not lives(int((tmp_path / "pid").read_text()))


def test_a_watch_that_never_ends_is_ended_in_time(fake: Fake) -> None:
    answers = {"info_-m": capture("info-m-310P3-with-mcu"), "info_-t_usages_-i_4": "unsupported\n"}
    endless = 'if [ "$2" = watch ]; then while :; do echo endless; done; fi'
    with pytest.raises(Failed, match="no table, but 'another form'"):
        sampled(fake(before=endless, info="another form\n", **answers), seconds=0.8)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "npu-smi info printed nothing"),
        ("\x00\x01\x7fELF garbage\n", "no table, but"),
        ("命令执行失败，请检查驱动\n", "no table, but '命令执行失败，请检查驱动'"),
        (capture("info-910B4-24.1.rc3-busy-processes")[:1500], "is no row of the table"),
        (capture("info-910B4-24.1.rc3-busy-processes").replace("HBM-Usage(MB)", "HBM-Usage(GB)"), "known is MB"),
    ],
)
def test_what_is_not_understood_is_one_sentence(fake: Fake, text: str, words: str) -> None:
    with pytest.raises(Failed) as said:
        sampled(fake(info=text))
    assert words in str(said.value) and "\n" not in str(said.value)


def test_an_exit_status_is_told_with_its_words(fake: Fake) -> None:
    program = fake(before='echo "dcmi module initialize failed. ret is -8005" >&2; exit 1')
    with pytest.raises(Failed, match=r"npu-smi: exit status 1: dcmi module initialize failed. ret is -8005"):
        sampled(program)


def test_half_a_table_and_an_exit_status_are_a_failure(fake: Fake) -> None:
    half = capture("info-910A-21.0.4")
    program = fake(before=f"cat <<'END'\n{half}END\nexit 3")
    with pytest.raises(Failed, match="exit status 3"):
        sampled(program)


def test_one_that_hangs_is_killed_with_all_it_started(fake: Fake, tmp_path: Path) -> None:
    program = fake(before=f'sleep 100 & echo $! > "{tmp_path}/pid"; wait')
    with pytest.raises(Hung, match="npu-smi gave no answer"):
        sampled(program, seconds=0.5)
    assert not lives(int((tmp_path / "pid").read_text()))


def test_a_slow_one_is_waited_for(fake: Fake) -> None:
    assert len(sampled(fake(before="sleep 0.2", info=capture("info-310P3-25.5.1-no-hbm-column")))) == 2


LOADER = """
case "$LD_LIBRARY_PATH" in
*"{0}/common"*) ;;
*) echo "npu-smi: error while loading shared libraries: libdcmi.so" >&2; exit 127 ;;
esac
"""


def test_the_drivers_libraries_are_found_where_the_environment_hides_them(
    fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = tmp_path / "lib64"
    (driver / "common").mkdir(parents=True)
    monkeypatch.setattr(ascend, "DRIVER", str(driver))
    monkeypatch.setenv("LD_LIBRARY_PATH", "/opt/conda/lib")
    program = fake(before=LOADER.format(driver), info=capture("info-310P3-25.5.1-no-hbm-column"))
    assert len(sampled(program)) == 2
    (driver / "common").rmdir()
    with pytest.raises(Failed, match=r"libdcmi.so; is .*lib64 mounted, and in LD_LIBRARY_PATH\?"):
        sampled(program)


def test_no_program_is_absent_and_a_card_without_one_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(ascend, "PLACES", ())
    with pytest.raises(Absent, match="no npu-smi"):
        Ascend(cards=str(tmp_path / "davinci[0-9]*")).open()
    (tmp_path / "davinci3").touch()
    with pytest.raises(Failed, match=r"there is .*davinci3, but no npu-smi"):
        Ascend(cards=str(tmp_path / "davinci[0-9]*")).open()


def lives(pid: int) -> bool:
    """Whether it still does anything; one that is killed goes soon."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX":
                return False
        except OSError:
            return False
        os.sched_yield()
    return True

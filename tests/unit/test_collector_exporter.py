"""An exporter's page: what it says of each card, what is no reading, and whose card it is."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.samplers import DeviceReading, Failed, Hung
from collectors.samplers.exporter import Exporter, check_url, readings
from collectors.samplers.exposition import Metric, metrics
from collectors.samplers.text import NotUnderstood
from collectors.settings import sample_source_from
from logsvc.errors import BadInput

SAMPLES = Path(__file__).resolve().parents[1] / "samples" / "accelerators" / "exporters"
MIB = 1 << 20
NOW = 1723621890.0
JOB = "95f661bd-1527-41b8-971c-eca55e513254"


def capture(name: str) -> str:
    return (SAMPLES / f"{name}.prom").read_bytes().decode()


def without_elision(name: str) -> str:
    """The capture without the `...` by which its page leaves things out."""
    return "".join(line for line in capture(name).splitlines(keepends=True) if line.strip() != "...")


def read(text: str, *, now: float = NOW, pod: str = "collector-pod") -> list[DeviceReading]:
    return readings(metrics(text, "page"), "page", now, pod)[0]


def test_labels_escapes_numbers_and_times_of_a_page() -> None:
    page = (
        "# HELP a what\\n it is\n\n"
        "a 1\n"
        'a{b="x\\"y\\\\z\\nw", c="{,}" , } -2.5e3 1723621883587\n'
        "\ta_b:c{} NaN 1723621883\r\n"
        'a{b="二"} +Inf\n'
    )
    found = metrics(page, "page")
    assert [metric[:3] for metric in found[:2]] == [("a", {}, 1.0), ("a", {"b": 'x"y\\z\nw', "c": "{,}"}, -2500.0)]
    assert [metric.at_ms for metric in found] == [None, 1723621883587, 1723621883000, None]
    assert found[2].value != found[2].value and found[3].value == float("inf")


@pytest.mark.parametrize(
    "line",
    [
        *("...", "a", "a{", 'a{b="c"', "a{b=c} 1", 'a{b="c" d="e"} 1', 'a{b="1",b="2"} 1', 'a{b="c\\"} 1', "{} 1"),
        *("a 0x1", "a 1_0", "a 1 2 3", "a 1 1.5", "a 1e9999", "a\u0661 1", "9a 1", "<html>"),
    ],
)
def test_a_line_that_is_no_sample_is_told(line: str) -> None:
    with pytest.raises(NotUnderstood, match=r"page: line 2, '.*', is no sample of a metric"):
        metrics(f"a 1\n{line}\n", "page")


def test_a_page_that_ends_inside_a_line_is_told() -> None:
    with pytest.raises(NotUnderstood, match="ends in the middle of a line"):
        metrics("a 12", "page")


@pytest.mark.parametrize("name", sorted(path.stem for path in SAMPLES.glob("*.prom")))
def test_every_capture_is_read_but_for_its_elisions(name: str) -> None:
    if "..." in capture(name).split("\n"):
        with pytest.raises(NotUnderstood, match=r"'\.\.\.', is no sample"):
            metrics(capture(name), "page")
    page = metrics(without_elision(name), "page")
    lines = [line for line in without_elision(name).splitlines() if line and not line.startswith("#")]
    assert [metric.name for metric in page] == [re.split("[{ ]", line)[0] for line in lines]


def test_a_whole_page_of_npu_exporter() -> None:
    text = without_elision("npu-exporter-full-page-timestamps")
    page = read(text, now=1606402010.0)
    assert [(card.device, card.kind, card.utilization_percent) for card in page] == [
        (str(n), "npu", 0) for n in range(8)
    ]
    assert {card.memory_total_bytes for card in page} == {None}  # 0 MB of each: there is none
    with pytest.raises(Failed, match=r"newest values are 117219890 s old"):
        read(text)


def test_a_page_without_a_reading_that_we_know_is_told() -> None:
    for name in ("dcgm-exporter-readme-plain", "npu-exporter-910A-doc-excerpt"):
        with pytest.raises(NotUnderstood, match="metrics, none that we know"):
            read(without_elision(name))


NPU = 'id="{0}",model_name="910B",vdie_id="V{0}",pcie_bus_info="",namespace="ns",pod_name="{1}",container_name="c"'
OLD_NPU = 'npuID="{0}",modelName="Ascend910B",uuid="V{0}",namespace="ns",podName="{1}",containerName="c"'


@pytest.mark.parametrize("labels", [NPU, OLD_NPU])
def test_a_busy_npu_by_both_sets_of_labels(labels: str) -> None:
    card = "{" + labels.format(3, f"modelarts-job-{JOB}-worker-1")
    text = f"""\
npu_chip_info_utilization{card}}} 93 1723621883587
npu_chip_info_used_memory{card}}} 100 1723621883587
npu_chip_info_total_memory{card}}} 15000 1723621883587
npu_chip_info_hbm_used_memory{card}}} 30000 1723621883587
npu_chip_info_hbm_total_memory{card}}} 65536 1723621883587
npu_chip_info_power{card}}} 301.5 1723621883587
npu_chip_info_temperature{card}}} 61 1723621883587
npu_chip_info_process_info{card},process_id="41"}} 20000 1723621883587
npu_chip_info_process_info{card},process_id="42"}} 9000 1723621883587
"""
    assert read(text) == [
        DeviceReading("3", "npu", 93, 30000 * MIB, 65536 * MIB, 301.5, 61, 2, "V3", (), JOB, "worker-1")
    ]


def test_no_process_is_none_and_no_word_of_processes_is_no_reading() -> None:
    card = "{" + NPU.format(0, "")
    used = f"npu_chip_info_utilization{card}}} 0\n"
    assert [reading.process_count for reading in read(used)] == [None]
    assert [
        reading.process_count for reading in read(used + f'npu_chip_info_process_info{card},process_id=""}} 0\n')
    ] == [0]
    assert [reading.process_count for reading in read(used + f"npu_chip_info_process_info_num{card}}} 3\n")] == [3]


NOTHING = (
    "-1",
    "NaN",
    "9223372036854775792",
    "9223372036854775794",
    "9223372036854775795",
    "2147483632",
    "1.40737488355328e+14",
)


@pytest.mark.parametrize("value", [*NOTHING, "4294967295", "-275", "+Inf"])
def test_a_value_that_no_card_can_have_is_no_reading(value: str) -> None:
    names = ("UTIL", "TEMP")
    card = '{gpu="0", UUID="GPU-1"} '
    text = "".join(f"DCGM_FI_DEV_GPU_{name}{card}{value}\n" for name in names)
    text += f"DCGM_FI_DEV_POWER_USAGE{card}{value}\nDCGM_FI_DEV_FB_USED{card}{value}\nDCGM_FI_DEV_FB_FREE{card}5\n"
    assert read(text) == [DeviceReading("0", "gpu", uuid="GPU-1")]


def test_gpus_and_their_instances() -> None:
    text = """\
DCGM_FI_DEV_GPU_UTIL{gpu="10", UUID="GPU-b",container="",namespace="",pod=""} 97
DCGM_FI_DEV_FB_USED{gpu="10", UUID="GPU-b"} 79000
DCGM_FI_DEV_FB_FREE{gpu="10", UUID="GPU-b"} 1000
DCGM_FI_DEV_FB_RESERVED{gpu="10", UUID="GPU-b"} 500
DCGM_FI_DEV_POWER_USAGE{gpu="10", UUID="GPU-b"} 640.5
DCGM_FI_DEV_GPU_TEMP{gpu="10", UUID="GPU-b"} 70
DCGM_FI_PROF_GR_ENGINE_ACTIVE{gpu="10", UUID="GPU-b"} 0.5
DCGM_FI_DEV_GPU_UTIL{gpu="2", UUID="GPU-a",GPU_I_PROFILE="1g.10gb",GPU_I_ID="7"} 12
DCGM_FI_PROF_GR_ENGINE_ACTIVE{gpu="2", UUID="GPU-a",GPU_I_PROFILE="1g.10gb",GPU_I_ID="7"} 0.25
DCGM_FI_DEV_POWER_USAGE{gpu="2", UUID="GPU-a",GPU_I_PROFILE="1g.10gb",GPU_I_ID="7"} 640.5
"""
    assert read(text) == [
        DeviceReading("2:7", "gpu", 25, uuid="GPU-a"),
        DeviceReading("10", "gpu", 97, 79000 * MIB, 80500 * MIB, 640.5, 70, uuid="GPU-b"),
    ]


def test_cards_of_other_pods_are_left_out_and_told() -> None:
    def card(device: int, pod: str) -> str:
        return f'DCGM_FI_DEV_GPU_UTIL{{gpu="{device}",UUID="G{device}",pod="{pod}"}} 50\n'

    text = card(0, "") + card(1, "me-0") + card(2, "someone") + card(3, f"ma-job-{JOB}-worker-12")
    found, remark = readings(metrics(text, "page"), "page", NOW, "me-0")
    assert [(reading.device, reading.job, reading.task) for reading in found] == [
        ("0", "", ""),
        ("1", "", ""),
        ("3", JOB, "worker-12"),
    ]
    assert remark == "cards of other pods: 2"


def test_two_nodes_on_one_page_are_refused() -> None:
    text = 'DCGM_FI_DEV_GPU_UTIL{gpu="0",UUID="G1"} 5\nDCGM_FI_DEV_GPU_UTIL{gpu="0",UUID="G2"} 6\n'
    with pytest.raises(NotUnderstood, match="two cards are called 0"):
        read(text)


def test_old_values_among_new_ones_are_no_readings() -> None:
    text = f"""\
DCGM_FI_DEV_GPU_UTIL{{gpu="0"}} 5 {int((NOW - 61) * 1000)}
DCGM_FI_DEV_GPU_TEMP{{gpu="0"}} 40 {int((NOW - 59) * 1000)}
"""
    assert read(text) == [DeviceReading("0", "gpu", temperature_celsius=40)]


@pytest.mark.parametrize(
    ("url", "whole"),
    [
        ("http://127.0.0.1:8082", "http://127.0.0.1:8082/metrics"),
        ("https://node:9400/", "https://node:9400/metrics"),
        ("http://[::1]:9400/a?b=c", "http://[::1]:9400/a?b=c"),
        ("127.0.0.1:8082", None),
        ("ftp://node/metrics", None),
        ("http://:8082/metrics", None),
        ("http://node:x/metrics", None),
        ("http://me:secret@node/metrics", None),
    ],
)
def test_a_url_is_whole_or_refused_without_its_password(url: str, whole: str | None) -> None:
    if whole is not None:
        assert check_url(url) == whole
        return
    with pytest.raises(ValueError) as said:
        check_url(url)
    assert "secret" not in str(said.value)


class Server:
    """Answers each connection with some bytes, and says what was asked."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.answer: list[bytes] = []
        self.asked = b""
        self._kept: list[socket.socket] = []
        self._is_open = True
        self.keep = False
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self._kept.append(connection)
            while b"\r\n\r\n" not in self.asked:
                self.asked += connection.recv(65536)
            for piece in self.answer:
                connection.sendall(piece)
            if not self.keep:
                connection.close()

    def close(self) -> None:
        if not self._is_open:
            return
        self._is_open = False
        self._socket.shutdown(socket.SHUT_RDWR)  # also for the thread that waits in accept
        self._socket.close()
        for connection in self._kept:
            connection.close()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


PAGE = b'DCGM_FI_DEV_GPU_UTIL{gpu="0"} 97\n'


def test_a_page_is_scraped(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    server.answer = [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"%x\r\n%s\r\n0\r\n\r\n" % (len(PAGE), PAGE),
    ]
    sampler = Exporter(server.url)
    sampler.open()
    assert sampler.sample() == [DeviceReading("0", "gpu", 97)]
    assert server.asked.startswith(b"GET /metrics HTTP/1.1\r\n")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ([b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"], "HTTP 404"),
        ([b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n"], "HTTP 302"),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n" + PAGE], "ends 966 bytes early"),
        ([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n" + PAGE], "IncompleteRead"),
        ([b"HTTP/1.1 200 OK\r\n\r\n<html>\n"], "'<html>', is no sample"),
        ([b"HTTP/1.1 200 OK\r\n\r\n" + PAGE[:-2]], "ends in the middle"),
        ([b"SSH-2.0-OpenSSH_9.2\r\n"], "SSH"),
        ([b""], "closed connection"),
    ],
)
def test_what_is_no_page_is_one_sentence(server: Server, answer: list[bytes], words: str) -> None:
    server.answer = answer
    with pytest.raises(Failed) as said:
        Exporter(server.url).sample()
    assert words in str(said.value) and server.url in str(said.value)
    assert not isinstance(said.value, Hung)


def test_nobody_listens_and_nobody_answers(server: Server) -> None:
    server.keep = True
    for head in (b"", b"HTTP/1.1 200 OK\r\n\r\n" + PAGE):
        server.answer = [head]
        with pytest.raises(Hung, match=r"in 0\.2 s"):
            Exporter(server.url, seconds=0.2).sample()
    server.close()
    with pytest.raises(Failed, match="refused"):
        Exporter(server.url, seconds=0.2).sample()


@settings(max_examples=100, deadline=None)
@given(st.one_of(st.text(max_size=200), st.text('a{}="\\,#\n 1.eN-+', max_size=100)))
def test_no_text_raises_anything_else(text: str) -> None:
    try:
        page = metrics(text + "\n", "page")
        readings(page, "page", NOW, "me")
    except Failed:
        pass


NAMES = st.sampled_from(["npu_chip_info_utilization", "DCGM_FI_DEV_GPU_UTIL", "DCGM_FI_DEV_FB_USED", "other"])
LABELS = st.dictionaries(st.sampled_from(["id", "gpu", "pod", "UUID"]), st.sampled_from(["0", "1", "x", 'a"\\\n', ""]))


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(NAMES, LABELS, st.floats(-10, 2000))))
def test_what_is_written_is_what_is_read(lines: list[tuple[str, dict[str, str], float]]) -> None:
    def escaped(value: str) -> str:
        return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

    text = ""
    for name, labels, value in lines:
        text += name + "{" + ",".join(f'{key}="{escaped(label)}"' for key, label in labels.items()) + f"}} {value!r}\n"
    page = metrics(text, "page")
    assert page == [Metric(name, labels, value, None) for name, labels, value in lines]
    try:
        found = readings(page, "page", NOW, "me")[0]
    except Failed:
        return
    values = {value for _, _, value in lines}
    assert {reading.utilization_percent for reading in found} <= values | {None}
    assert all(reading.utilization_percent is None or 0 <= reading.utilization_percent <= 100 for reading in found)


def test_the_source_of_readings_is_checked_before_anything_runs() -> None:
    assert sample_source_from(None, {}) == "auto"
    assert sample_source_from("readings.jsonl", {"LOGSVC_COLLECTOR_SAMPLE_FROM": "x"}) == "readings.jsonl"
    assert sample_source_from(None, {"LOGSVC_COLLECTOR_SAMPLE_FROM": "http://node:9400"}) == "http://node:9400/metrics"
    with pytest.raises(BadInput, match="is no URL of an exporter"):
        sample_source_from("file:///tmp/x", {})

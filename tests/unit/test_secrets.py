"""Secrets in lines of log: every kind is found wholly, and what only looks like one is not found."""

from __future__ import annotations

import base64
import string
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import SAMPLES
from logsvc.core.secret_kinds import KINDS
from logsvc.core.secrets import key_marks, secrets_in, worth_a_look

SMALL = string.ascii_lowercase + string.digits
ALNUM = string.ascii_letters + string.digits
HUAWEI_ID = "HST3ABCDEFGHIJKLMNO9"
HUAWEI_KEY = "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7cF0eG3hJ6kL9n"


def drawn(alphabet: str, least: int, most: int | None = None) -> st.SearchStrategy[str]:
    return st.text(alphabet, min_size=least, max_size=most or least)


def keyed(least: int, alphabet: str = ALNUM) -> st.SearchStrategy[str]:
    """Random, with a capital, a small letter and a digit."""
    return drawn(alphabet, least - 3).map(lambda rest: "aZ7" + rest)


# Kind, what stands around the secret, the secret.
CASES = [
    ("github_token", "clone with {} now", drawn(ALNUM, 36).map("ghp_{}".format)),
    ("github_token", "token={}", drawn(ALNUM, 59).map(lambda t: f"github_pat_{t[:22]}_{t[22:]}aaaa")),
    ("gitlab_token", "use '{}'", keyed(20).map("glpat-{}".format)),
    ("hugging_face_token", "HF_TOKEN={} python", drawn(ALNUM, 34).map("hf_{}".format)),
    ("slack_token", "slack {},", keyed(24).map("xoxb-{}".format)),
    ("openai_key", "key {}", keyed(40).map("sk-proj-{}".format)),
    ("aws_key", "id {}.", drawn("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16).map("AKIA{}".format)),
    ("aws_key", "aws_secret_access_key = {}", keyed(40)),
    ("huawei_key", "HUAWEICLOUD_SDK_SK={}", keyed(40)),
    ("huawei_key", '{{"AccessKeyId": "{}"}}', keyed(20).map(str.upper)),
    ("huawei_key", "ak/sk " + HUAWEI_ID + " {}", keyed(40)),
    ("huawei_key", "sk/ak " + HUAWEI_KEY + ", {}", keyed(20).map(str.upper)),
    ("jwt", "got {} back", keyed(20).map(lambda t: f"eyJ{t}.eyJ{t}.{t}")),
    ("bearer", "> Authorization: Bearer {}", keyed(12)),
    ("bearer", "x-auth-token: {}", keyed(30)),
    ("url_password", "pulling from https://someone:{}@host.example/x", keyed(8)),
    ("password", "connect(password='{}', db=1)", keyed(6, ALNUM + "!#%+ ")),
    ("password", '{{"api_key": "{}"}}', keyed(10)),
    ("password", '{{\\"db_password\\": \\"{}\\"}}', keyed(10)),
    ("password", "train.py --hub-token {} --epochs 3", keyed(12)),
    ("password", "MYSQL_PWD={}", keyed(6)),
    ("password", "passwd: {}", keyed(6)),
    ("email", "sent to {}.", drawn(SMALL, 1, 12).map("{}@mail.example.com".format)),
    (
        "signed_url",
        "GET https://b.obs.cn-north-4.myhuaweicloud.com/k?{} 200",
        keyed(28).map(lambda t: f"AccessKeyId={HUAWEI_ID}&Expires=1795176000&Signature={t}%3D"),
    ),
    (
        "private_key",
        'key: "{}\\n"',
        keyed(64).map(lambda t: f"-----BEGIN PRIVATE KEY-----\\n{t}\\n-----END PRIVATE KEY-----"),
    ),
]
PLANTED = st.one_of(*(st.tuples(st.just(kind), st.just(frame), secret) for kind, frame, secret in CASES))
AROUND = st.sampled_from(["", " ", "[rank3] 2026-11-20 12:00:00,123 - INFO - ", "损失 0.31 | ", "\t│ ", "epoch 3 "])


@settings(max_examples=100, deadline=None)
@given(PLANTED, AROUND, AROUND)
def test_a_planted_secret_is_found_wholly(planted: tuple[str, str, str], left: str, right: str) -> None:
    kind, frame, secret = planted
    line = f"{left}{frame.format(secret)} {right}".encode()
    found = {(one.kind, line[one.start : one.end]) for one in secrets_in(line)}
    assert (kind, secret.encode()) in found, line
    assert list(worth_a_look(b"step 1\n" + line + b"\nstep 2\n")) == [(7, 7 + len(line))]


def test_each_kind_is_planted() -> None:
    assert {kind for kind, *_ in CASES} == set(KINDS)


INNOCENT = [
    "commit 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b",
    "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08  model.safetensors",
    "job 95f661bd-1527-41b8-971c-eca55e513254 token_id=5 tokens: 4096 num_tokens=12345678 tokens/s: 8123.5",
    'pad_token="<pad>", eos_token="<|im_end|>", bos_token: [CLS], mask_token=None, unk_token="<unk>"',
    "tensor([[0.1234, -5.6789e-05], [1.0, 2.0]], device='cuda:0', dtype=torch.float32)",
    "data:image/png;base64," + base64.b64encode(bytes(range(256)) * 8).decode(),
    base64.b64encode(bytes(range(255, -1, -1)) * 8).decode(),
    "login(user, password=password, token=self.token, pwd=args.pwd) password=getpass.getpass()",
    'password=os.getenv("PW") password=$DB_PASSWORD password=${PW} --password <password> --token "$TOKEN"',
    "password: ******** api_key=None secret: null passwd=xxxxxxxx",
    "Enter password: please. Password required. token: expected",
    "PWD=/home/ma-user/work OLDPWD=/root",
    "http://127.0.0.1:8600/api git@github.com:org/repo.git root@10.0.0.1 @torch.no_grad() icon@2x.png",
    "getty@tty1.service memcpy@GLIBC_2.14 python@3.11 pkg @ git+https://host.example/x@main",
    'if "-----BEGIN PRIVATE KEY-----" in text: raise ValueError("-----END PRIVATE KEY-----")',
    "-----BEGIN CERTIFICATE-----",
    "task-0 risk-averse-and-rather-long-winded-words desk-1234567890",
    "bearer of good news, Bearer token expected",
    "WORKERS_PER_NODE_00X 12345678901234567890 00000000000000000000",
    "https://b.obs.myhuaweicloud.com/k?versionId=abcdef0123456789abcdef&signature=v2",
]


@pytest.mark.parametrize("line", INNOCENT)
def test_what_only_looks_like_a_secret_is_not_found(line: str) -> None:
    assert secrets_in(line.encode()) == []


def texts() -> list[Path]:
    root = SAMPLES.parents[1]
    found = [*SAMPLES.rglob("*"), *root.glob("docs/*.md"), *root.glob("logsvc/demo/samples/*")]
    return [path for path in found if path.is_file()]


@pytest.mark.parametrize("path", texts(), ids=lambda path: path.name)
def test_real_logs_and_our_own_pages_hold_none(path: Path) -> None:
    data = path.read_bytes()
    found = [
        (data[begin:end][one.start : one.end], one.kind)
        for begin, end in worth_a_look(data)
        for one in secrets_in(data[begin:end])
    ]
    assert found == []


def test_there_are_real_logs_to_look_through() -> None:
    assert sum(path.stat().st_size for path in texts()) > 300_000


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_may_come(line: bytes) -> None:
    for one in secrets_in(line):
        assert 0 <= one.start < one.end <= len(line)
    key_marks(line)


def test_lines_worth_a_look_come_once_and_in_order() -> None:
    hit = b"password=hunter2 and token: abc12345 a@b.example"
    assert list(worth_a_look(b"\n".join([hit, b"x", hit]))) == [(0, len(hit)), (len(hit) + 3, 2 * len(hit) + 3)]
    assert list(worth_a_look(hit + b"\r\n")) == [(0, len(hit) + 1)]


def test_a_secret_of_several_forms_is_one() -> None:
    token = "hf_" + "aB3" * 12
    [one] = secrets_in(f"--token {token}".encode())
    assert one.kind == "hugging_face_token"


@pytest.mark.parametrize("password", ["hunter2", "p#ss1"])
def test_the_host_behind_a_password_is_no_address(password: str) -> None:
    line = f"https://someone:{password}@host.example/x".encode()
    assert [(one.kind, line[one.start : one.end]) for one in secrets_in(line)] == [("url_password", password.encode())]

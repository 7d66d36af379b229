"""What a run leaves to be told is read with care: it may be torn, or not the collector's own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from collectors.jobstatus import RECORD, JobStatus


def a_status(folder: Path, always: bool | None = None) -> JobStatus:
    return JobStatus(folder, "J-1", "worker-0", "train", always)


def test_what_is_kept_is_read_again(tmp_path: Path) -> None:
    status = a_status(tmp_path)
    status.keep()
    left = JobStatus.left_in(tmp_path)
    assert left == status and left.was_killed
    left.release()
    status.mine = True
    status.ended(137)
    left = JobStatus.left_in(tmp_path)
    assert left == status and left.exit_code == 137 and not left.was_killed


def test_what_somebody_holds_is_not_left(tmp_path: Path) -> None:
    status = a_status(tmp_path)
    status.hold()
    status.keep()
    assert JobStatus.left_in(tmp_path) is None
    status.release()
    left = JobStatus.left_in(tmp_path)
    assert left is not None and JobStatus.left_in(tmp_path) is None
    left.release()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'"x"', b"[" * 100_000])
def test_a_record_that_is_garbage_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / RECORD).write_bytes(content)
    assert JobStatus.left_in(tmp_path) is None


@pytest.mark.parametrize(
    ("field", "value"), [("job", 1), ("exit_code", "0"), ("mine", "yes"), ("ended_at", 3), ("more", 1), ("task", None)]
)
def test_a_record_with_other_fields_is_none(tmp_path: Path, field: str, value: object) -> None:
    a_status(tmp_path).keep()
    kept = json.loads((tmp_path / RECORD).read_bytes())
    (tmp_path / RECORD).write_text(json.dumps({**kept, field: value}))
    assert JobStatus.left_in(tmp_path) is None


def test_nothing_is_kept_where_nothing_is_to_be_told(tmp_path: Path) -> None:
    a_status(tmp_path, always=False).keep()
    assert not (tmp_path / RECORD).exists()

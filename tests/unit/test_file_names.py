"""Names of files: those of an archive, and never outside the folder, whatever a store holds."""

from __future__ import annotations

import ntpath
import posixpath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logsvc.core.file_names import file_names
from logsvc.model.stream import StreamName


def named(*paths: str | tuple[str, int]) -> list[str]:
    names = [StreamName("j", "worker-0", *((path, 0) if isinstance(path, str) else path)) for path in paths]
    return file_names([(str(index), name) for index, name in enumerate(names)])


def test_usual_names_stay() -> None:
    path = "modelarts-job-j/other/worker-0/日志/a b/..c/.hidden/x:y.log"
    assert named(path, (path, 1)) == [path, f"{path}.gen-1"]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("../../etc/passwd", "_/_/etc/passwd"),
        ("/etc/passwd", "etc/passwd"),
        ("//host/share/x", "host/share/x"),
        ("a/../../b", "a/_/_/b"),
        ("a/. ./.. /.../b", "a/_/_/_/b"),  # Windows drops dots and spaces at the end
        ("a/..\\..\\b", "a/.._.._b"),
        ("C:\\x", "C__x"),
        ("C:/x", "C_/x"),
        ("a\0b", "a_b"),
        ("a/\udc80", "a/?"),
        ("", "_"),
        ("..", "_"),
    ],
)
def test_what_would_leave_the_folder(path: str, name: str) -> None:
    assert named(path) == [name]


def test_no_two_have_one_name_and_none_is_the_folder_of_another() -> None:
    assert named("a", ("a", 1), "a.gen-1") == ["a", "a.gen-1", "a.gen-1.stream-2"]
    assert named("a/b", "a") == ["a/b", "a.stream-1"]
    assert named("a", "a/b", "a.stream-0") == ["a.stream-0", "a/b", "a.stream-0.stream-2"]


@given(st.lists(st.text(st.sampled_from("a./\\ :C\0"), max_size=8), max_size=6))
def test_any_names(paths: list[str]) -> None:
    names = named(*paths)
    assert len(set(names)) == len(paths)
    folders = {name[:at] for name in names for at, char in enumerate(name) if char == "/"}
    for name in names:
        assert name and name not in folders
        assert posixpath.normpath(name) == name and not name.startswith(("/", "../"))
        # What Windows makes of it: no drive, and no part that climbs once dots and spaces at the end are gone.
        assert ntpath.splitdrive(name)[0] == "" and all(part.rstrip(". ") for part in name.split("/"))

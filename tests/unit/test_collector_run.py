"""How a command ended, in words."""

from __future__ import annotations

import pytest

from collectors.run import exit_words


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0, ""),
        (3, ""),
        (126, "could not be executed"),
        (127, "was not found"),
        (129, "hung up (SIGHUP)"),
        (130, "interrupted (SIGINT)"),
        (131, "quit (SIGQUIT)"),
        (132, "illegal instruction (SIGILL)"),
        (134, "aborted (SIGABRT)"),
        (135, "bus error (SIGBUS)"),
        (136, "arithmetic error (SIGFPE)"),
        (137, "killed (SIGKILL)"),
        (138, "ended by SIGUSR1"),
        (139, "segmentation fault (SIGSEGV)"),
        (141, "broken pipe (SIGPIPE)"),
        (143, "terminated (SIGTERM)"),
        (152, "CPU time limit (SIGXCPU)"),
        (153, "file size limit (SIGXFSZ)"),
        (255, ""),
    ],
)
def test_exit_codes_in_words(code: int, words: str) -> None:
    assert words in exit_words(code)
    assert bool(exit_words(code)) == bool(words)

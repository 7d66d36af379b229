"""Exactly once under kills: each is made to strike, counted, and what is stored is compared with a journal."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from integration.chaos_proxy import Exchange, cut_answer, cut_request
from integration.fault_rig import Rig

pytestmark = [pytest.mark.kill, pytest.mark.slow]

TIMES = 100


def test_kill_9_in_the_middle_of_a_batch(rig: Rig) -> None:
    """A hundred times, at any byte of a request; started again at once, sometimes without its checkpoint."""
    chance = random.Random(41)
    journal = rig.journal(41, "a.log", "b.log", "c.log")
    for attempt in range(TIMES):
        journal.write()
        if chance.random() < 0.2:
            (rig.state / "checkpoint.json").unlink(missing_ok=True)
        rig.proxy.add(cut_request(chance.random(), rig.kill))
        rig.start()
        if attempt % 2:
            journal.write()
        rig.proxy.wait()
    assert sum(rig.proxy.struck.values()) == TIMES
    rig.start()
    rig.settle(journal)


def test_kill_9_while_files_rotate(rig: Rig) -> None:
    """Between kills, before and after the start of the next collector, a file gets a new name and a successor."""
    chance = random.Random(42)
    journal = rig.journal(42, "a.log", "b.log")
    for attempt in range(20):
        journal.write()
        if chance.random() < 0.3:
            (rig.state / "checkpoint.json").unlink(missing_ok=True)
        rig.proxy.add(cut_request(chance.random(), rig.kill))
        if attempt % 3 == 0:
            journal.rotate(chance.choice(("a.log", "b.log")))
            journal.write()
        rig.start()
        if attempt % 3 == 1:
            journal.rotate("a.log")
            journal.write()
        rig.proxy.wait()
    assert sum(rig.proxy.struck.values()) == 20
    rig.start()
    rig.settle(journal)


def test_kill_9_while_a_rotated_file_has_no_successor(rig: Rig) -> None:
    """Some loggers open the new file with their next line: until then there is only `a.log.1`."""
    journal = rig.journal(51, "a.log", "b.log")
    journal.write()
    rig.start()
    rig.settle(journal)
    rig.stop()
    journal.write()
    journal.rotate("a.log")
    for fault in (cut_request(0.5, rig.kill), cut_answer(0, rig.kill)):
        rig.proxy.add(fault)
        rig.start()
        rig.proxy.wait()
    rig.start()
    rig.settle(journal)
    journal.write()
    rig.settle(journal)


def test_between_commit_and_answer(rig: Rig) -> None:
    """The service has stored the bytes and has said so, and nobody heard it: a hundred times."""
    journal = rig.journal(43, "a.log", "b.log", "c.log")
    for attempt in range(TIMES):
        journal.write()
        ends: Callable[[Exchange], object] = rig.kill if attempt % 2 else Exchange.reset
        rig.proxy.add(cut_answer(0, ends))
        if attempt % 2 == 0:
            rig.start()
        rig.proxy.wait()
    assert rig.proxy.struck == {"answer cut at 0": TIMES}
    rig.start()
    rig.settle(journal)


def test_the_service_is_killed_and_comes_back(rig: Rig) -> None:
    """In the middle of a request, and after its commit; the training goes on writing."""
    journal = rig.journal(50, "a.log", "b.log", "c.log")
    rig.start()
    faults = [
        cut_request(0.5, lambda _: rig.service.kill()),
        cut_answer(0, lambda _: rig.service.kill()),
        cut_request(0.99, lambda _: rig.service.kill()),
    ]
    for fault in faults:
        journal.write()
        rig.proxy.add(fault)
        rig.proxy.wait()
        journal.write()
        tried = rig.proxy.unanswered
        rig.proxy.wait_until(lambda: rig.proxy.unanswered >= tried + 2)  # noqa: B023
        journal.write()
        rig.service.start()
        journal.write()
        rig.settle(journal)
    assert sum(rig.proxy.struck.values()) == 3

"""The demo's processes hand over what went wrong, and end with the one that made them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time

import pytest

from adplatform.contracts.errors import AdPlatformError, AgentTimeout, InputError, SetupError
from adplatform.demo.pool import pool

ERRORS = {
    "input": InputError("briefs/c01.yaml", "has no budget", "give one"),
    "setup": SetupError("the disk is full", "make room"),
    "agent": AgentTimeout("creative", "took 9 s"),
}


def refuse(name: str) -> None:
    raise ERRORS[name]


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def niceness() -> int:
    return os.nice(0)


def test_an_error_comes_over_with_its_words_and_its_parts() -> None:
    with pool(niceness=3) as processes:
        assert processes.submit(niceness).result() == os.nice(0) + 3
        for name, error in ERRORS.items():
            found = processes.submit(refuse, name).exception()
            assert type(found) is type(error)
            assert (str(found), vars(found)) == (str(error), vars(error))


def test_a_process_that_was_killed_is_told_in_one_line() -> None:
    with pytest.raises(AdPlatformError, match="was killed"), pool() as processes:
        processes.submit(die).result()


def interrupted() -> None:
    with pool() as processes:
        for _ in range(8):
            processes.submit(time.sleep, 60)
        while not multiprocessing.active_children():
            time.sleep(0.05)
        raise KeyboardInterrupt


def test_an_interrupt_ends_what_is_under_way() -> None:
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert time.monotonic() - began < 30
    assert not multiprocessing.active_children()

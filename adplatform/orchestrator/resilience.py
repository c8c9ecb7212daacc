"""An agent's turn: bounded in time, tried again where that may help, and never able to hold the plan.

A call runs in a daemon thread. At its deadline it is abandoned: nothing waits for it any longer, and an exception is put into
it, which ends it at its next Python instruction. (A language model that was left running aborted the process at its exit
with status 134, six times of six, and held the cores of the agents after it.)
"""

from __future__ import annotations

import atexit
import ctypes
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import suppress
from typing import Generic, NamedTuple, TypeVar

import stamina
import stamina.instrumentation

from adplatform.contracts.errors import AgentError, AgentNonsense, AgentTimeout, AgentUnavailable, InputError
from adplatform.contracts.plan import Outcome

T = TypeVar("T")
ATTEMPTS = 2
FIRST_WAIT = 0.05
"""Seconds before the second attempt; doubled after each, never past the deadline."""
UNTRIED = "unavailable"

# The plan's trace tells of retries; stamina's own hooks would log each again (to stdout where structlog is installed).
stamina.instrumentation.set_on_retry_hooks(())


SETTLE_SECONDS = 2.0
"""How long the exit of the process waits for abandoned calls to notice."""
_abandoned: list[threading.Thread] = []


class Abandoned(BaseException):
    """Put into a call that has missed its deadline; no ``except Exception`` of an agent holds it up."""


class Turn(NamedTuple, Generic[T]):
    """How an agent's turn went. ``answer`` is None unless ``outcome`` is ANSWERED."""

    answer: T | None
    version: str
    outcome: Outcome
    attempts: int
    seconds: float
    problem: str | None


def one_line(error: BaseException, limit: int = 200) -> str:
    """An error in one line, its type first."""
    text = " ".join(str(error).split())[:limit]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def within(seconds: float, call: Callable[[], T]) -> T:
    """``call()``'s result or error; AgentTimeout (agent unnamed) after ``seconds``, the thread abandoned."""
    future: Future[T] = Future()

    def run() -> None:
        with suppress(Abandoned):
            try:
                future.set_result(call())
            except BaseException as error:  # noqa: BLE001 - also SystemExit: an agent must not end the process or be lost
                future.set_exception(error)

    thread = threading.Thread(target=run, daemon=True, name="agent")
    thread.start()
    try:
        return future.result(timeout=max(seconds, 0.0))
    except FutureTimeout as error:
        if future.done():
            raise
        _abandon(thread)
        raise AgentTimeout("agent", "no answer before its deadline") from error


def _abandon(thread: threading.Thread) -> None:
    _abandoned[:] = [t for t in _abandoned if t.is_alive()] + [thread]
    # Python 3.11 spins for ever in a traced thread (coverage, a debugger) while another one has such an exception pending.
    if thread.ident is not None and sys.gettrace() is None:
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(Abandoned))


@atexit.register
def _settle() -> None:
    end = time.monotonic() + SETTLE_SECONDS
    for thread in _abandoned:
        thread.join(max(0.0, end - time.monotonic()))


def take_turn(agent: str, call: Callable[[], tuple[str, T]], seconds: float, attempts: int = ATTEMPTS) -> Turn[T]:
    """Ask an agent. ``call`` returns (version, checked answer) and raises AgentNonsense where its contract is broken.

    Whatever it raises is tried again, up to ``attempts`` times and while time is left, except nonsense (the same question
    gets the same nonsense), a missed deadline and InputError, which is the user's to mend and is raised.
    """
    start, tried = time.monotonic(), 0

    def attempt() -> tuple[str, T]:
        try:
            return within(seconds - (time.monotonic() - start), call)
        except (AgentNonsense, AgentTimeout, InputError):
            raise
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
                raise
            raise AgentUnavailable(agent, one_line(error)) from error

    try:
        for again in stamina.retry_context(
            on=AgentUnavailable,
            attempts=attempts,
            timeout=seconds,
            wait_initial=FIRST_WAIT,
            wait_max=1.0,
            wait_jitter=0.0,
        ):
            with again:
                tried += 1
                version, answer = attempt()
    except AgentTimeout:
        return _failed(Outcome.TIMED_OUT, tried, start, f"no answer within {seconds:g} s")
    except AgentNonsense as error:
        return _failed(Outcome.NONSENSE, tried, start, error.problem)
    except AgentError as error:
        return _failed(Outcome.FAILED, tried, start, error.problem)
    return Turn(answer, version, Outcome.ANSWERED, tried, time.monotonic() - start, None)


def _failed(outcome: Outcome, tried: int, start: float, problem: str) -> Turn[T]:
    return Turn(None, UNTRIED, outcome, tried, time.monotonic() - start, problem)

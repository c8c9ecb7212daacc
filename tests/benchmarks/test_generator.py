"""The generator measures what a client sees: a stall is not forgiven, a lost answer is counted."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from adplatform.serve import free_port
from benchmarks.generator import BY_DEFAULT, DEFAULT_RULE, LOST, PROBE, Load, request, send

ASKED = request("/v1/decide", {"a": 1}, "key")
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"


@contextmanager
def answering(
    stall_at: int | None = None, stall: float = 0.0, hang_up_at: int | None = None, answer: bytes = OK
) -> Iterator[int]:
    """A server in a thread that answers at once, but for one request; its port."""
    loop, port, number = asyncio.new_event_loop(), free_port(), 0

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal number
        while data := await reader.read(4096):
            number += data != PROBE
            if data != PROBE and number == stall_at:
                time.sleep(stall)  # the whole server stands still
            if data != PROBE and number == hang_up_at:
                writer.close()
                return
            writer.write(answer)

    server = loop.run_until_complete(asyncio.start_server(client, "127.0.0.1", port))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield port
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


def test_in_an_open_loop_everything_that_was_due_in_a_stall_is_late() -> None:
    with answering(stall_at=50, stall=0.5) as port:
        found = send(Load(port, [ASKED], 2.0, 4, rate=200.0))
    assert len(found.status) == found.count(200) == 400
    assert found.unanswered == 0
    late = found.milliseconds() > 50
    assert late.sum() >= 80  # of the hundred that were due meanwhile, not the four that were under way
    assert found.milliseconds().max() >= 490


def test_a_lost_answer_is_counted_and_the_connection_is_made_again() -> None:
    with answering(hang_up_at=20) as port:
        found = send(Load(port, [ASKED], 1.0, 1, rate=100.0))
    assert found.count(LOST) == 1
    assert found.count(200) == 99


def test_each_request_once_is_each_request_once() -> None:
    with answering() as port:
        found = send(Load(port, [ASKED] * 57, 0.0, 4, once=True))
    assert np.array_equal(np.sort(found.number), np.arange(57))
    assert found.count(200) == 57


def test_a_choice_of_the_default_rule_is_no_choice_of_the_policy() -> None:
    body = b'{"decision_id":"d",' + DEFAULT_RULE + b"}"
    with answering(answer=b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body) as port:
        found = send(Load(port, [ASKED] * 3, 0.0, 1, once=True))
    assert (found.count(BY_DEFAULT), found.count(200)) == (3, 0)

"""What a turn of the event loop does not take on is refused before it is parsed, and only that."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import pytest
import uvicorn

from adplatform.contracts.problems import Problem
from adplatform.serve import free_port
from benchmarks.generator import LOST, Load, request, send
from bentos import shedding
from bentos.shedding import SheddingProtocol, Turn

KEY = "key"


class Served(uvicorn.Server):
    """An app behind the protocol, in this process; it says how many requests it was handed."""

    def __init__(self) -> None:
        self.handed, self.port = 0, free_port()
        self.arrived: list[float] = []
        config = uvicorn.Config(
            self._app, port=self.port, http=SheddingProtocol, interface="asgi3", lifespan="off", log_config=None
        )
        super().__init__(config)

    async def _app(self, scope: dict, receive: object, send: object) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        self.handed += scope["path"].startswith("/v1/")
        self.arrived.append(scope["state"]["arrived"])
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})


@asynccontextmanager
async def serving() -> AsyncIterator[Served]:
    server = Served()
    running = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    yield server
    server.should_exit = True
    await running


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(SheddingProtocol, "turn", Turn(2, "test"))
    return


async def ask(port: int, sent: list[bytes]) -> list[bytes]:
    """All at once, each on a connection of its own; what came back."""
    pairs = [await asyncio.open_connection("127.0.0.1", port) for _ in sent]
    await asyncio.sleep(0.05)
    for (_, writer), data in zip(pairs, sent, strict=True):
        writer.write(data)
    found = [await reader.read(4096) for reader, _ in pairs]
    for _, writer in pairs:
        writer.close()
    return found


def burst(sent: list[bytes]) -> tuple[list[bytes], int]:
    async def run() -> tuple[list[bytes], int]:
        async with serving() as server:
            return await ask(server.port, sent), server.handed

    return asyncio.run(run())


def test_a_turn_takes_on_so_many_and_refuses_the_rest_as_a_problem_with_an_id_of_its_own(two: None) -> None:
    found, handed = burst([request("/v1/decide", {"a": 1}, KEY)] * 10)
    refused = [answer for answer in found if answer.startswith(b"HTTP/1.1 503 ")]
    assert handed == sum(answer.startswith(b"HTTP/1.1 200 ") for answer in found) == 10 - len(refused)
    assert refused
    ids = set()
    for answer in refused:
        head, body = answer.split(b"\r\n\r\n")
        said = Problem.model_validate_json(body)
        assert (said.error, said.retry) == ("overloaded", True)
        assert f"x-request-id: {said.request_id}".encode() in head
        assert f"content-length: {len(body)}".encode() in head
        ids.add(said.request_id)
    assert len(ids) == len(refused)


def test_probes_and_requests_that_are_not_whole_pass(two: None) -> None:
    probe = b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n"
    found, _ = burst([request("/v1/decide", {}, KEY)] * 4 + [probe] * 10)
    assert all(answer.startswith(b"HTTP/1.1 200 ") for answer in found[4:])
    whole = request("/v1/decide", {"a": 1}, KEY)
    for part in (whole[:-1], whole + b"P", whole.replace(b"HTTP/1.1", b"HTTP/1.0"), b"GET" + whole[4:], whole[:30],
                 whole.replace(b"Content-Length: 7", b"Transfer-Encoding: chunked"),
                 whole.replace(b"Content-Length: 7", b"Content-Length: 7\r\nContent-Length: 9"),
                 whole.replace(b"Content-Length: 7", b"Content-Length: " + b"9" * 5000)):  # fmt: skip
        assert not shedding._whole(part)
    assert shedding._whole(whole)


async def came_in_while_busy() -> tuple[float, float, list[float]]:
    """When two requests of one connection were sent, the first while the loop is busy for a tenth of a second, and when
    they are said to have come in.
    """
    async with serving() as server:
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            await asyncio.sleep(0.05)
            sent = time.perf_counter()
            client.sendall(request("/v1/decide", {"a": 1}, KEY))
            time.sleep(0.1)  # the loop is busy
            while not server.arrived:
                await asyncio.sleep(0.01)
            client.sendall(request("/v1/decide", {"a": 1}, KEY))
            again = time.perf_counter()
            while len(server.arrived) < 2:
                await asyncio.sleep(0.01)
    return sent, again, server.arrived


def test_a_request_brings_along_when_it_came_in_however_long_the_loop_was_busy(two: None) -> None:
    sent, again, arrived = asyncio.run(came_in_while_busy())
    assert arrived == pytest.approx([sent, again], abs=0.03)


def test_where_the_system_does_not_tell_it_came_in_when_it_was_read(two: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socket, "TCP_INFO")
    sent, again, arrived = asyncio.run(came_in_while_busy())
    assert arrived == pytest.approx([sent + 0.1, again], abs=0.03)


def test_a_connection_that_was_given_to_another_protocol_takes_no_descriptor_with_it(two: None, tmp_path: Path) -> None:
    upgrade = (
        b"GET /v1/decide HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )

    async def run() -> None:
        async with serving() as server:
            (answer,) = await ask(server.port, [upgrade])
            assert answer.startswith(b"HTTP/1.1 403 ")
            await asyncio.sleep(0.1)
            with ExitStack() as stack:  # they get the numbers that the connection had
                others = [stack.enter_context((tmp_path / str(n)).open("w")) for n in range(8)]
                gc.collect()
                for other in others:
                    os.fstat(other.fileno())

    asyncio.run(run())


def test_a_connection_that_was_refused_is_answered_next_time(two: None) -> None:
    async def run() -> None:
        async with serving() as server:
            load = Load(server.port, [request("/v1/decide", {"a": 1}, KEY)], 1.0, 8)
            answers = await asyncio.to_thread(send, load)
        assert answers.count(LOST) == answers.unanswered == 0
        assert answers.count(200) == server.handed > 8
        assert answers.count(200) + answers.count(503) == len(answers.status)

    asyncio.run(run())

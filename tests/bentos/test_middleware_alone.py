"""The guard called as a server calls it, with requests that a stricter server would not let through, and its places."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from adplatform.contracts.problems import Problem
from adplatform.settings import Settings
from adplatform.store.keys import Keys, Scope
from bentos.admission import Places, Rates
from bentos.middleware import Guard
from bentos.refusals import Message

Headers = list[tuple[bytes, bytes]]


async def whatever(scope: Any, receive: Any, send: Any) -> None:
    """Says yes to everything, or fails where the path asks for it."""
    if scope["type"] != "http":
        await send({"type": "websocket.accept"})
        return
    if scope["path"] == "/fails":
        raise ValueError("on purpose")
    if scope["path"] == "/blocks":
        time.sleep(0.1)
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"", "more_body": scope["path"] == "/half"})
    if scope["path"] == "/half":
        raise ValueError("on purpose")


class Caller:
    """Calls the guard with one request and one whole body."""

    def __init__(self, home: Path) -> None:
        self.guard = Guard(whatever, {("POST", "/v1/"): "decide"}, Settings(home=home))
        keys = Keys(home / "keys.json")
        self.secret, self.reader = keys.add("x", list(Scope))[1], keys.add("x", ["read"])[1]

    def __call__(
        self,
        headers: Sequence[tuple[bytes, bytes]] = (),
        path: str = "/v1/a",
        kind: str = "http",
        secret: str | None = None,
    ) -> list[Message]:
        sent: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": b"{}", "more_body": False}

        async def send(message: Message) -> None:
            sent.append(message)

        usual = [(b"authorization", f"Bearer {secret or self.secret}".encode()), (b"content-type", b"application/json")]
        scope = {"type": kind, "method": "POST", "path": path, "headers": [*usual, *headers]}
        asyncio.run(self.guard(scope, receive, send))
        return sent


@pytest.fixture
def call(tmp_path: Path) -> Caller:
    return Caller(tmp_path)


def test_what_is_in_order_passes(call: Caller) -> None:
    assert call([(b"content-length", b"2"), (b"accept", b"*/*"), (b"accept", b"text/html")])[0]["status"] == 200
    assert call([(b"transfer-encoding", b"Chunked")])[0]["status"] == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([(b"content-length", b"2"), (b"transfer-encoding", b"chunked")], 400),
        ([(b"content-length", b"2"), (b"content-length", b"3")], 400),
        ([(b"transfer-encoding", b"gzip, chunked")], 400),
        ([(b"content-length", b"-1")], 400),
        ([(b"content-length", b"+2")], 400),
        ([(b"content-length", b"1e3")], 400),
        ([(b"content-length", b"\xb2")], 400),
        ([(b"content-length", b"9" * 5000)], 413),
        ([(b"content-type", b"application/vnd.bentoml+pickle")], 400),
        ([(b"authorization", b"Bearer another")], 400),
        ([(b"x-evil", b"a\r\nset-cookie: b")], 400),
        ([(b"x-evil", b"a\x00")], 400),
        ([(b"x-evil", b"a\x1b[2J")], 400),
        ([(b"x-deadline-ms", b"\xb2")], 422),
        ([(b"x-deadline-ms", b"600001")], 422),
        ([(b"args-number", b"1")], 415),
        ([(b"bentoml-anything", b"1")], 415),
        ([(b"payload-container", b"x")], 415),
    ],
)
def test_what_a_laxer_server_lets_through_is_refused(call: Caller, headers: Headers, status: int) -> None:
    start, body = call(headers)
    assert start["status"] == status
    said = Problem.model_validate_json(body["body"])
    assert (b"x-request-id", said.request_id.encode()) in start["headers"]


def test_a_good_answer_after_the_deadline_is_none_even_if_the_loop_was_blocked(call: Caller) -> None:
    assert call([(b"x-deadline-ms", b"500")], path="/blocks")[0]["status"] == 200
    start, body = call([(b"x-deadline-ms", b"50")], path="/blocks")
    assert start["status"] == 503
    assert (b"retry-after", b"1") in start["headers"]
    assert Problem.model_validate_json(body["body"]).error == "too_late"


def test_a_prefix_in_the_table_stands_for_all_below_it(call: Caller) -> None:
    assert call(path="/v1/a/b", secret=call.reader)[0]["status"] == 403
    assert call(path="/v2/a", secret=call.reader)[0]["status"] == 200


def test_a_websocket_is_closed_before_anything_runs(call: Caller) -> None:
    assert [m["type"] for m in call(kind="websocket")] == ["websocket.close"]


def test_a_failure_is_a_problem_without_its_words_and_half_an_answer_is_never_passed_off_as_whole(call: Caller) -> None:
    start, body = call(path="/fails")
    assert start["status"] == 500
    assert b"on purpose" not in body["body"]
    with pytest.raises(ValueError, match="on purpose"):
        call(path="/half")


def test_places_are_given_in_the_order_of_asking_and_none_is_lost() -> None:
    async def run() -> None:
        places, order = Places(1, 3, 5.0), []

        async def work(name: int) -> None:
            assert await places.enter()
            order.append(name)
            await asyncio.sleep(0)
            places.leave()

        assert await places.enter()
        waiting = [asyncio.create_task(work(i)) for i in range(3)]
        await asyncio.sleep(0)
        assert not await places.enter()  # three wait already
        waiting[1].cancel()
        await asyncio.sleep(0)
        places.leave()
        await asyncio.gather(*waiting, return_exceptions=True)
        assert order == [0, 2]
        assert await asyncio.wait_for(places.enter(), 1)

    asyncio.run(run())


def test_a_client_that_leaves_at_the_moment_of_its_turn_gives_the_place_on() -> None:
    async def run() -> None:
        places = Places(1, 2, 5.0)
        assert await places.enter()
        waiting = asyncio.create_task(places.enter())
        await asyncio.sleep(0)
        places.leave()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert await asyncio.wait_for(places.enter(), 1)

    asyncio.run(run())


def test_who_waits_too_long_is_sent_away_and_holds_no_place_in_the_queue() -> None:
    async def run() -> None:
        places = Places(1, 1, 0.05)
        assert await places.enter()
        assert not await places.enter()
        waiting = asyncio.create_task(places.enter())
        await asyncio.sleep(0)
        places.leave()
        assert await waiting

    asyncio.run(run())


def test_a_key_may_send_so_many_requests_a_second_and_no_more_whatever_others_do() -> None:
    rates = Rates(2.0)
    assert [rates.take("a", 10.0) for _ in range(3)] == [True, True, False]
    assert rates.take("b", 10.0)
    assert not rates.take("a", 10.4)
    assert rates.take("a", 10.6)
    assert [rates.take("a", 100.0) for _ in range(3)] == [True, True, False]  # no more than a second's worth is saved
    assert all(Rates(None).take("a", 0.0) for _ in range(1000))


def test_too_many_requests_of_one_key_are_429_and_may_be_tried_again(tmp_path: Path) -> None:
    caller = Caller(tmp_path)
    caller.guard.rates = Rates(1.0)
    first, second = caller(), caller()
    assert first[0]["status"] == 200
    assert second[0]["status"] == 429
    assert (b"retry-after", b"1") in second[0]["headers"]
    assert Problem.model_validate_json(second[1]["body"]).retry

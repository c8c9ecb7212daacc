"""What gets past the guard and what does not: JSON alone, of a limited size, with headers that mean one thing."""

from __future__ import annotations

import pickle
import socket
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.bentos.tiny_server import Server, problem

pytestmark = pytest.mark.slow
JSON = {"content-type": "application/json"}


class Bomb:
    """Unpickled, it leaves a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return (Path.touch, (self.path,))


# Pickled bodies

PICKLED = [
    {"content-type": "application/vnd.bentoml+pickle"},
    {"content-type": "application/vnd.bentoml+pickle", "buffer-lengths": "5"},
    {"content-type": "Application/VND.bentoml+pickle; charset=utf-8"},
    {"content-type": "application/json", "Payload-Container": "NdarrayContainer", "Payload-Meta": "{}", "Batch-Size": "1"},
    {"content-type": "application/json", "Args-Number": "1"},
    {"content-type": "application/json", "Bento-Payload-Meta": "{}"},
    {"content-type": "multipart/form-data; boundary=x"},
    {"content-type": "multipart/form-data; boundary=" + "x" * 20_000},
    {"content-type": "application/octet-stream"},
    {"content-type": "application/json; charset=utf-16"},
    {"content-type": "application/json, application/vnd.bentoml+pickle"},
    {"content-type": "application/json", "content-encoding": "gzip"},
    {"content-type": ""},
    {},
]  # fmt: skip


@pytest.mark.parametrize("headers", PICKLED, ids=lambda h: " ".join(h.values())[:40] or "none")
@pytest.mark.parametrize("path", ["/items", "/v1/decide", "/no-such"])
def test_no_pickled_body_gets_in(server: Server, tmp_path: Path, headers: dict[str, str], path: str) -> None:
    trace = tmp_path / "unpickled"
    body = pickle.dumps(Bomb(trace))
    if "multipart" in headers.get("content-type", ""):
        part = (
            b"--x\r\nContent-Disposition: form-data; name=value\r\nContent-Type: application/vnd.bentoml+pickle\r\n\r\n"
        )
        body = part + body + b"\r\n--x--\r\n"
    problem(server.client.post(path, content=body, headers=headers), 415)
    assert not trace.exists()


def test_without_the_guard_the_first_of_them_runs_what_it_carries(bare: Server, inner: Server, tmp_path: Path) -> None:
    """BentoML refuses the type on its entry service alone."""
    trace = tmp_path / "unpickled"
    for server, ran in ((inner, False), (bare, True)):
        server.client.post("/items", content=pickle.dumps(Bomb(trace)), headers=PICKLED[0])
        assert trace.exists() is ran


def test_one_header_sent_twice_hides_no_pickled_body(inner: Server, bare: Server, secret: str, tmp_path: Path) -> None:
    """A library that looks at the first while the guard looks at the last would take it."""
    trace = tmp_path / "unpickled"
    body = pickle.dumps(Bomb(trace))
    types = [("content-type", "application/vnd.bentoml+pickle"), ("content-type", "application/json")]
    for order in (types, types[::-1]):
        assert "twice" in problem(inner.client.post("/items", content=body, headers=order), 400).detail
    assert not trace.exists()
    bare.client.post("/items", content=body, headers=types)
    assert trace.exists()


def test_json_gets_in(server: Server) -> None:
    for kind in ("application/json", "application/json; charset=utf-8", 'Application/JSON;charset="UTF-8"'):
        answer = server.client.post("/items", content=b'{"value": {"a": 1}}', headers={"content-type": kind})
        assert answer.json() == {"a": 1}


# Bodies


def test_five_megabytes_are_refused_by_their_length_before_they_are_sent(server: Server, secret: str) -> None:
    head = (
        f"POST /v1/decide HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {secret}\r\nContent-Type: application/json\r\n"
    )
    answer = server.raw(f"{head}Content-Length: 5000000\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"connection: close" in answer
    whole = server.client.post("/v1/decide", content=b"1" * 5_000_000, headers=JSON)
    assert problem(whole, 413).error == "too_large"


def test_a_chunked_body_is_refused_when_it_passes_the_limit_and_the_rest_is_not_read(
    server: Server, secret: str
) -> None:
    sent = 0
    head = (
        f"POST /v1/decide HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {secret}\r\nContent-Type: application/json\r\n"
    )
    chunk = b"10000\r\n" + b"1" * 65536 + b"\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as link:
        link.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        with suppress(BrokenPipeError, ConnectionResetError):
            while sent < 200_000_000:
                link.sendall(chunk)
                sent += len(chunk)
    assert 1 << 20 < sent < 40_000_000  # the limit, and what the kernel's buffers hold
    answer = server.client.post("/v1/decide", content=(b"1" * 65536 for _ in range(64)), headers=JSON)
    assert problem(answer, 413).error == "too_large"


def test_a_body_just_within_the_limit_is_taken(server: Server) -> None:
    body = b'{"value": {"a": "' + b"1" * ((1 << 20) - 20) + b'"}}'
    assert len(body) == 1 << 20
    assert server.client.post("/items", content=body, headers=JSON).status_code == 200
    assert server.client.post("/items", content=body + b" ", headers=JSON).status_code == 413


def test_a_body_that_does_not_come_is_given_up_and_its_place_with_it(inner: Server, secret: str) -> None:
    head = (
        f"POST /v1/decide HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {secret}\r\nContent-Type: application/json\r\n"
    )
    links = [socket.create_connection(("127.0.0.1", inner.port), timeout=10) for _ in range(2)]
    for link in links:
        link.sendall(f"{head}Content-Length: 100\r\n\r\n{{".encode())
    time.sleep(0.1)
    started = time.perf_counter()
    assert inner.client.post("/v1/decide", json={}).status_code == 200
    assert time.perf_counter() - started > 0.2  # it waited for one of the two places
    for link in links:
        assert link.recv(65536).startswith(b"HTTP/1.1 408")
        link.close()
    assert inner.client.post("/v1/decide", json={}).status_code == 200


# What libraries stumble over


@pytest.mark.parametrize(
    "path",
    ["/v1/things/..%2fdecide", "/v1/things/%2e%2e/a", "/v1/things/../decide", "/v1/things/.", "/v1//things", "/v1/things/a%5cb",
     "/v1/things/a%00b", "/v1/things/a%0d%0aSet-Cookie:x", "/v1/things/a\\b"],
)  # fmt: skip
def test_a_path_that_climbs_or_hides_is_refused(server: Server, secret: str, path: str) -> None:
    answer = server.raw(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {secret}\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"\r\nset-cookie" not in answer.lower()


@pytest.mark.parametrize("thing", ["a..b", "a.", "..a", "18-24|eu", "a:b+c", "%7C"])
def test_an_id_with_dots_in_it_is_no_climb(server: Server, thing: str) -> None:
    found = server.client.get(f"/v1/things/{thing}").json()["thing"]
    assert found == thing.replace("%7C", "|")


@pytest.mark.parametrize(
    "line",
    [
        b"Content-Length: 5\r\nContent-Length: 6",
        b"Content-Length: 2\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        b"Transfer-Encoding: gzip",
        b"Content-Length: -1",
        b"Content-Length: 1e3",
        b"Content-Length: " + b"9" * 5000,
        b"X-Evil: a\x00b",
        b"X-Evil: a\x01b",
        b"X-Evil: a\rb",
        b"X-Request-Id: a\x7fb",
        b"Content-Length: 2\r\nX-Deadline-Ms: soon",
        b"Content-Length: 2\r\nX-Deadline-Ms: 0",
        b"Content-Length: 2\r\nX-Deadline-Ms: " + b"9" * 5000,
        b"Content-Length: 2\r\nAuthorization: Bearer another",
    ],
)
def test_a_header_that_means_two_things_is_a_client_error(server: Server, secret: str, line: bytes) -> None:
    head = (
        b"POST /v1/decide HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAuthorization: Bearer "
        + secret.encode()
    )
    answer = server.raw(head + b"\r\n" + line + b"\r\n\r\n{}")
    assert answer[9:12] in (b"400", b"413", b"422"), answer


def test_a_request_id_comes_back_unless_it_could_do_harm(server: Server) -> None:
    assert server.client.get("/livez", headers={"x-request-id": "abc-1.2_3"}).headers["x-request-id"] == "abc-1.2_3"
    for harmful in ("a b", "a" * 65, "<script>", "é".encode("latin-1")):
        found = server.client.get("/v1/things/a", headers={"x-request-id": harmful}).headers.get_list("x-request-id")
        assert len(found) == 1
        assert len(found[0]) == 16


def test_errors_of_libraries_have_our_shape_too(server: Server) -> None:
    failed = problem(server.client.get("/v1/broken"), 500)
    assert (failed.error, "on purpose" in failed.detail) == ("internal", False)
    assert problem(server.client.put("/items", json={}), 405).error == "no_route"
    assert server.client.put("/items", json={}).headers["allow"] == "POST"


def test_nobody_speaks_websocket(server: Server, secret: str) -> None:
    upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13"
    answer = server.raw(f"GET /v1/things/a HTTP/1.1\r\nHost: x\r\n{upgrade}\r\n\r\n".encode())
    assert answer[9:12] in (b"401", b"403"), answer

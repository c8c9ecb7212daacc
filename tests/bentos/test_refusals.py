"""What must not get in, on a real server: each refused before it reaches a route, with one JSON problem."""

from __future__ import annotations

import json
import pickle
import socket
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from adplatform.settings import Settings
from adplatform.store.keys import LOOK_SECONDS, Keys, Scope
from benchmarks.served import Gateway

pytestmark = pytest.mark.slow


class Bomb:
    """Unpickled, it leaves a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return (Path.touch, (self.path,))


def raw(gateway: Gateway, request: bytes) -> bytes:
    """Send bytes as they are, read the whole answer."""
    url = gateway.client.base_url
    with socket.create_connection((url.host, url.port), timeout=10) as link:
        link.sendall(request)
        parts = []
        while part := link.recv(65536):
            parts.append(part)
            if b"\r\n\r\n" in b"".join(parts):
                break
    return b"".join(parts)


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


@pytest.fixture
def keys(home: Path) -> Keys:
    return Keys(Settings(home=home).keys)


def call(gateway: Gateway, secret: str | None, path: str = "/v1/decide") -> httpx.Response:
    headers = {"authorization": f"Bearer {secret}"} if secret is not None else {}
    body = {"candidates": gateway.creatives[:2]} if path.endswith("decide") else {"events": [1]}
    with httpx.Client(base_url=gateway.client.base_url, headers=headers) as client:
        return client.post(path, json=body)


def soon() -> None:
    time.sleep(LOOK_SECONDS + 0.2)


def test_without_a_key_or_with_a_wrong_one_nothing_but_the_probes_answers(gateway: Gateway) -> None:
    with httpx.Client(base_url=gateway.client.base_url) as client:
        for path in ("/livez", "/readyz", "/healthz"):
            assert client.get(path).status_code == 200
        for path in ("/metrics", "/docs.json", "/", "/schema.json"):
            assert client.get(path).status_code == 401
    for secret in (None, "wrong", "adp_12345678_" + "x" * 43, "adp__", "adp_no_such"):
        answer = call(gateway, secret)
        assert answer.status_code == 401, secret
        assert answer.headers["www-authenticate"] == "Bearer"


def test_a_key_of_another_scope_is_forbidden(gateway: Gateway, keys: Keys) -> None:
    reader, decider = keys.add("reader", [Scope.READ])[1], keys.add("decider", [Scope.DECIDE])[1]
    soon()
    assert call(gateway, reader).status_code == 403
    assert call(gateway, decider).status_code == 200
    assert call(gateway, decider, "/v1/events").status_code == 403


def test_keys_come_and_go_without_a_restart(gateway: Gateway, keys: Keys) -> None:
    record, secret = keys.add("short", [Scope.DECIDE])
    soon()
    assert call(gateway, secret).status_code == 200
    keys.revoke(record.key_id)
    soon()
    assert "revoked" in call(gateway, secret).json()["detail"]


def test_an_expired_key_is_refused(gateway: Gateway, keys: Keys) -> None:
    _, secret = keys.add("past", [Scope.DECIDE], datetime.now(UTC) - timedelta(seconds=1))
    soon()
    answer = call(gateway, secret)
    assert (answer.status_code, "expired" in answer.text) == (401, True)


def test_the_file_of_keys_holds_no_secret_and_is_its_owners_alone(keys: Keys) -> None:
    _, secret = keys.add("one", [Scope.READ])
    assert secret.split("_", 2)[2] not in keys.path.read_text()
    assert keys.path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "application/vnd.bentoml+pickle"},
        {"content-type": "application/octet-stream"},
        {"content-type": "application/json", "payload-container": "PandasDataFrameContainer"},
        {"content-type": "application/json", "args-number": "1"},
        {"content-type": "multipart/form-data; boundary=x"},
        {"content-type": "multipart/form-data; boundary=" + "x" * 50_000},
        {"content-type": "application/json; charset=utf-16"},
        {"content-type": "application/json", "content-encoding": "gzip"},
        {"content-type": ""},
    ],
)
@pytest.mark.parametrize("path", ["/v1/decide", "/v1/events", "/", "/schema.json"])
def test_nothing_that_may_be_unpickled_gets_in(
    gateway: Gateway, tmp_path: Path, headers: dict[str, str], path: str
) -> None:
    trace = tmp_path / "unpickled"
    body = pickle.dumps(Bomb(trace))
    answer = gateway.client.post(path, content=body, headers=headers)
    assert answer.status_code in (400, 415, 431), answer.text
    assert not trace.exists()


def test_a_body_over_the_limit_is_refused_by_its_length_and_by_counting(gateway: Gateway) -> None:
    large = b'{"candidates": ["' + b"a" * 5_000_000 + b'"]}'
    declared = gateway.client.post("/v1/decide", content=large, headers={"content-type": "application/json"})
    assert declared.status_code == 413
    chunks = (large[i : i + 65536] for i in range(0, len(large), 65536))
    counted = gateway.client.post("/v1/decide", content=chunks, headers={"content-type": "application/json"})
    assert counted.status_code == 413
    assert json.loads(counted.content)["error"] == "too_large"


@pytest.mark.parametrize("path", ["/v1/%2e%2e/decide", "/v1/..%2fdecide", "/v1//decide", "/v1/a%00b", "/v1/a%0d%0ab"])
def test_a_path_that_climbs_or_hides_is_refused(gateway: Gateway, path: str) -> None:
    key = gateway.client.headers["authorization"]
    request = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {key}\r\nConnection: close\r\n\r\n".encode()
    assert status_of(raw(gateway, request)) in (400, 404)


@pytest.mark.parametrize(
    "line",
    [b"Content-Length: 5\r\nContent-Length: 6", b"Content-Length: -1", b"Content-Length: 1e3", b"X-Deadline-Ms: soon"],
)
def test_a_broken_header_is_a_client_error(gateway: Gateway, line: bytes) -> None:
    key = gateway.client.headers["authorization"].encode()
    head = b"POST /v1/decide HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\n"
    answer = raw(gateway, head + b"Authorization: " + key + b"\r\n" + line + b"\r\n\r\n{}")
    assert 400 <= status_of(answer) < 500


def test_a_request_id_comes_back_unless_it_could_do_harm(gateway: Gateway) -> None:
    kept = gateway.client.get("/livez", headers={"x-request-id": "abc-1.2_3"})
    assert kept.headers["x-request-id"] == "abc-1.2_3"
    other = gateway.client.get("/livez", headers={"x-request-id": "a" * 65})
    assert len(other.headers["x-request-id"]) == 16

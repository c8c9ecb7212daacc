"""Keys, load, metrics and the end of a service behind the guard: as BentoML serves one, and one that is not the entry."""

from __future__ import annotations

import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from adplatform.store.keys import LOOK_SECONDS, Keys
from tests.bentos.tiny_server import Server, problem, serving

pytestmark = pytest.mark.slow


def with_key(server: Server, secret: str | None, method: str = "POST", path: str = "/v1/decide") -> httpx.Response:
    headers = {} if secret is None else {"authorization": f"Bearer {secret}"}
    with httpx.Client(base_url=server.client.base_url, headers=headers) as client:
        return client.request(method, path, json={} if method == "POST" else None)


# Keys


def test_probes_are_open_and_nothing_else_is(server: Server) -> None:
    for path in ("/livez", "/readyz", "/healthz"):
        assert with_key(server, None, "GET", path).status_code == 200
    for path in ("/metrics", "/docs.json", "/schema.json", "/", "/v1/things/a", "/no-such", "/livez/", "//livez"):
        assert with_key(server, None, "GET", path).status_code in (400, 401)
    for path in ("/v1/decide", "/v1/events", "/items", "/livezx"):
        assert problem(with_key(server, None, path=path), 401).error == "unauthorized"


def test_wrong_expired_and_foreign_keys_are_told_apart_and_a_revoked_one_ends_without_a_restart(
    server: Server, tiny_keys: Keys, secret: str
) -> None:
    record, short = tiny_keys.add("short", ["decide"])
    past = tiny_keys.add("past", ["decide"], datetime.now(UTC) - timedelta(seconds=1))[1]
    time.sleep(LOOK_SECONDS + 0.1)
    for _ in range(4):  # both workers
        assert with_key(server, short).status_code == 200
        assert "expired" in problem(with_key(server, past), 401).detail
        assert "unknown" in problem(with_key(server, secret[:-1] + "!"), 401).detail
        assert "ingest" in problem(with_key(server, short, path="/v1/events"), 403).detail
        assert "read" in problem(with_key(server, short, "GET", "/metrics"), 403).detail
    tiny_keys.revoke(record.key_id)
    time.sleep(LOOK_SECONDS + 0.1)
    for _ in range(4):
        assert "revoked" in problem(with_key(server, short), 401).detail


# Load


def sleep_in(server: Server, seconds: float) -> httpx.Response:
    return server.client.post("/v1/events", json={"seconds": seconds})


def test_what_has_no_place_in_time_is_refused_and_the_rest_is_answered(inner: Server) -> None:
    started = time.perf_counter()

    def timed(_: int) -> tuple[httpx.Response, float]:
        answer = sleep_in(inner, 2.5)
        return answer, time.perf_counter() - started

    with ThreadPoolExecutor(12) as pool:
        found = list(pool.map(timed, range(12)))
    shed = sorted(((s, a) for a, s in found if a.status_code != 200), key=lambda one: one[0])
    assert len(found) - len(shed) == 2
    for _, answer in shed:
        assert problem(answer, 503).retry
        assert answer.headers["retry-after"] == "1"
    assert shed[-2][0] < 0.9  # at once
    assert 1.0 <= shed[-1][0] < 2.2  # the one that waited, before any of the two that were taken has ended
    assert sleep_in(inner, 0).status_code == 200


def test_one_who_waits_gets_the_place_that_is_freed_in_time(inner: Server) -> None:
    with ThreadPoolExecutor(3) as pool:
        taken = [pool.submit(sleep_in, inner, 0.8) for _ in range(2)]
        time.sleep(0.3)
        assert sleep_in(inner, 0).status_code == 200
        assert [t.result().status_code for t in taken] == [200, 200]


def test_a_deadline_can_be_shortened_and_not_stretched(server: Server) -> None:
    usual = server.client.post("/v1/decide", json={}).json()["left"]
    assert 0.5 < usual <= 1.0
    short = server.client.post("/v1/decide", json={}, headers={"x-deadline-ms": "500"}).json()["left"]
    assert 0 < short <= 0.5
    assert server.client.post("/v1/decide", json={}, headers={"x-deadline-ms": "60000"}).json()["left"] <= 1.0
    assert problem(server.client.post("/v1/decide", json={}, headers={"x-deadline-ms": "1.5"}), 422).error == "invalid"


def test_what_is_still_awaited_at_the_deadline_is_given_up(server: Server) -> None:
    started = time.perf_counter()
    late = server.client.post("/v1/events", json={"seconds": 5}, headers={"x-deadline-ms": "300"})
    assert problem(late, 503).error == "too_late"
    assert time.perf_counter() - started < 4


# Metrics


def test_metrics_of_all_workers_add_up_under_the_routes_template(bento: Server) -> None:
    asked = 'service="tiny",status="200"'
    before = bento.samples("adplatform_requests_total")
    workers = set()
    for _ in range(60):
        with httpx.Client(base_url=bento.client.base_url, headers=bento.client.headers) as client:
            workers.add(client.post("/v1/decide", json={}).json()["process"])
            client.get(f"/v1/things/{os.urandom(4).hex()}")
    after = bento.samples("adplatform_requests_total")
    assert len(workers) == 2
    for route in ("/v1/decide", "/v1/things/{thing}"):
        label = next(k for k in after if f'route="{route}"' in k and all(part in k for part in asked.split(",")))
        assert after[label] - before.get(label, 0) == 60
    assert not any("/v1/things/" in k and "{thing}" not in k for k in after)
    seconds = bento.samples("adplatform_request_seconds_bucket")
    assert any('le="0.017"' in k for k in seconds)


def test_paths_of_strangers_make_no_metrics(server: Server) -> None:
    with httpx.Client(base_url=server.client.base_url) as stranger:
        for i in range(30):
            assert stranger.get(f"/{i}/{os.urandom(4).hex()}").status_code == 401
    text = server.client.get("/metrics").text
    assert "bentoml_service_request" not in text
    assert {k.split('route="')[1].split('"')[0] for k in server.samples("adplatform_requests_total") if "401" in k} <= {
        "other"
    }


def test_another_server_that_starts_takes_no_metrics_away(bento: Server, tiny_keys: Keys, secret: str) -> None:
    """Every `bentoml serve` empties one directory in the user's home."""
    bento.client.post("/v1/decide", json={})
    before = bento.samples("adplatform_requests_total")
    assert any("/v1/decide" in k for k in before)
    with serving(tiny_keys.path.parent, secret, bento=True) as other:
        assert not any("/v1/decide" in k for k in other.samples("adplatform_requests_total"))
        after = bento.samples("adplatform_requests_total")
    assert {k: after.get(k, 0) >= v for k, v in before.items()} == dict.fromkeys(before, True)


# The end


@pytest.mark.parametrize("bento", [False, True], ids=["alone", "bentoml"])
def test_after_sigterm_it_is_not_ready_but_finishes_what_is_in_progress(
    tiny_keys: Keys, secret: str, bento: bool
) -> None:
    with (
        serving(tiny_keys.path.parent, secret, bento=bento, ADPLATFORM_DRAIN_MS="600") as server,
        ThreadPoolExecutor(1) as pool,
    ):
        with httpx.Client(base_url=server.client.base_url) as probe:
            assert probe.get("/readyz").status_code == 200
            running = pool.submit(sleep_in, server, 1.5)
            time.sleep(0.3)
            server.terminate()
            time.sleep(0.2)
            assert problem(probe.get("/readyz"), 503).error == "draining"
            assert probe.get("/livez").status_code == 200
        answer = running.result()
        assert (answer.status_code, json.loads(answer.content)) == (200, {"slept": 1.5})
        server.process.wait(10)
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{server.client.base_url}/readyz")
    assert "Traceback" not in server.log.read_text()

"""What must not get in: each thing on every service, as `adplatform serve` serves it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from adplatform.assembly import brief_of
from adplatform.settings import Settings
from adplatform.store.alerts import AlertBook
from adplatform.store.keys import LOOK_SECONDS, Keys, Scope
from adplatform.store.library import Library
from benchmarks.served import all_served
from tests.bentos.hostile import (
    BROKEN_HEADERS,
    CLIMBING,
    JSON,
    PICKLED,
    model_with_a_link,
    pickled,
    raw,
    snapshot_with_a_link,
    status_of,
    tar_with_links,
)
from tests.bentos.operations import OPERATIONS
from tests.bentos.tiny_server import problem
from tests.waiting import within

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
PAGES = ("/metrics", "/openapi.json", "/docs.json", "/schema.json", "/", "/no-such")
Asked = tuple[str, str, str]
"""Method, path and scope."""


@pytest.fixture(scope="module")
def clients(home: Path, key: str) -> Iterator[dict[str, httpx.Client]]:
    with all_served(home, key) as (_, found):
        yield found


@pytest.fixture(params=list(OPERATIONS))
def service(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def client(clients: dict[str, httpx.Client], service: str) -> httpx.Client:
    return clients[service]


@pytest.fixture(scope="module")
def secrets(home: Path) -> dict[str, str]:
    """A key of each scope alone, and some that open nothing."""
    keys, everything, past = Keys(Settings(home=home).keys), list(Scope), datetime.now(UTC) - timedelta(seconds=1)
    made = {scope.value: keys.add(scope.value, [scope])[1] for scope in Scope}
    made |= {"expired": keys.add("expired", everything, past)[1], "wrong": "adp_12345678_" + "x" * 43}
    made["altered"] = made["admin"][:-1] + ("a" if made["admin"][-1] != "a" else "b")
    record, made["revoked"] = keys.add("revoked", everything)
    keys.revoke(record.key_id)
    noticed()
    return made


def noticed() -> None:
    """Until servers have looked at the keys again."""
    time.sleep(LOOK_SECONDS + 0.2)


def everything(service: str) -> list[Asked]:
    """All that a service answers, but for its probes."""
    return [(o.method, o.place, o.scope) for o in OPERATIONS[service]] + [("GET", page, "read") for page in PAGES]


def ask(client: httpx.Client, method: str, path: str, secret: str) -> httpx.Response:
    headers = {"authorization": f"Bearer {secret}"}
    return client.request(method, path, headers=headers, json={} if method == "POST" else None)


# Keys


def test_a_key_opens_what_its_scope_says_and_nothing_else(
    client: httpx.Client, service: str, secrets: dict[str, str]
) -> None:
    for method, path, needed in everything(service):
        for scope in Scope:
            answer = ask(client, method, path, secrets[scope])
            if scope in (needed, Scope.ADMIN):
                assert answer.status_code in (200, 404, 422), (method, path, scope, answer.text)
            else:
                assert f"scope {needed}" in problem(answer, 403).detail, (method, path, scope)


@pytest.mark.parametrize(
    ("name", "said"),
    [("wrong", "unknown"), ("altered", "unknown"), ("expired", "has expired"), ("revoked", "was revoked")],
)
def test_a_key_that_is_none_or_none_any_more_opens_nothing(
    client: httpx.Client, service: str, secrets: dict[str, str], name: str, said: str
) -> None:
    for method, path, _ in everything(service):
        answer = ask(client, method, path, secrets[name])
        assert said in problem(answer, 401).detail, (method, path)
        assert answer.headers["www-authenticate"] == "Bearer"


def test_without_a_key_nothing_but_the_probes_answers(client: httpx.Client, service: str) -> None:
    with httpx.Client(base_url=client.base_url) as nobody:
        for path in ("/livez", "/readyz", "/healthz"):
            assert nobody.get(path).status_code == 200
        for method, path, _ in everything(service):
            assert "missing" in problem(nobody.request(method, path), 401).detail, (method, path)


def test_a_key_is_taken_and_revoked_while_the_service_runs(client: httpx.Client, service: str, home: Path) -> None:
    keys, (method, path, scope) = Keys(Settings(home=home).keys), everything(service)[0]
    record, secret = keys.add("short", [scope])
    noticed()
    assert ask(client, method, path, secret).status_code == 422
    keys.revoke(record.key_id)
    noticed()
    assert "was revoked" in problem(ask(client, method, path, secret), 401).detail


# Bodies


@pytest.mark.parametrize("form", PICKLED)
def test_no_pickled_body_gets_in(client: httpx.Client, service: str, tmp_path: Path, form: str) -> None:
    trace, headers = tmp_path / "unpickled", PICKLED[form]
    for method, path, _ in [*everything(service), ("POST", "/", "read"), ("POST", "/no-such", "read")]:
        answer = client.request(method, path, content=pickled(headers, trace), headers=headers)
        assert problem(answer, 415).error == "unsupported", (method, path)
    assert not trace.exists()


@pytest.mark.parametrize(
    ("boundary", "body"),
    [("x" * 20_000, b"--" + b"x" * 20_000 + b"\r\n"), ("x", b"--x" + b"-" * 900_000), ("-" * 20_000, b"-" * 900_000)],
    ids=["declared", "in the body", "both"],
)
def test_an_oversized_multipart_boundary_is_not_even_read(
    client: httpx.Client, service: str, boundary: str, body: bytes
) -> None:
    headers = {"content-type": f"multipart/form-data; boundary={boundary}"}
    for method, path, _ in everything(service):
        started = time.perf_counter()
        problem(client.request(method, path, content=body, headers=headers), 415)
        assert time.perf_counter() - started < 2, (method, path)


def test_an_archive_with_links_is_no_model_and_no_request(client: httpx.Client, service: str, home: Path) -> None:
    archive, before = tar_with_links(), sorted(home.joinpath("models").rglob("*"))
    for method, path, _ in everything(service):
        for kind in ("application/x-tar", "application/gzip", "application/octet-stream"):
            problem(client.request(method, path, content=archive, headers={"content-type": kind}), 415)
        problem(client.request(method, path, files={"model": ("model.tar.gz", archive, "application/gzip")}), 415)
        if method == "POST":  # and what says that it is JSON is read as such
            assert problem(client.post(path, content=archive, headers=JSON), 400).error == "malformed"
    assert sorted(home.joinpath("models").rglob("*")) == before
    assert not [p for p in (*home.parents, Path.cwd()) if (p / "escaped").exists()]


def test_five_megabytes_are_refused_by_their_length_and_by_counting(client: httpx.Client, service: str) -> None:
    large = b"1" * 5_000_000
    path = everything(service)[0][1]
    assert problem(client.post(path, content=large, headers=JSON), 413).error == "too_large"
    chunks = (large[i : i + 65536] for i in range(0, len(large), 65536))
    assert problem(client.post(path, content=chunks, headers=JSON), 413).error == "too_large"


# Ids and headers


@pytest.mark.parametrize("path", CLIMBING)
def test_a_path_leads_to_no_file(client: httpx.Client, service: str, path: str) -> None:
    takes_ids = any("{experiment_id}" in o.path for o in OPERATIONS[service])
    answer = raw(client, "GET", path)
    assert status_of(answer) in ((400, 422) if takes_ids else (400, 404)), answer
    assert not [word for word in (b"root:", b"sha256", b"injected") if word in answer.split(b"\r\n\r\n", 1)[0].lower()]
    assert set(json.loads(answer.split(b"\r\n\r\n", 1)[1])) == {"error", "detail", "retry", "request_id"}


def bodies(home: Path, wrong: str) -> dict[str, list[tuple[str, dict[str, Any], str]]]:
    """Paths of each service, bodies with ``wrong`` for an id, and the field that it is in."""
    arm = {"arm": "a", "users": 10, "successes": 1}
    brief = brief_of(Settings(home=home), "c01").model_dump(mode="json") | {"campaign_id": wrong}
    lift = ("/v1/lift", {"experiment_id": wrong, "control": arm, "treatment": arm}, "experiment_id")
    rank = ("/v1/segments/rank", {"creatives": [{"creative_id": wrong}]}, "creatives.0.creative_id")
    words = ("/v1/creatives", {"brief": brief}, "brief.campaign_id")
    decide = ("/v1/decide", {"candidates": [wrong]}, "candidates.0")
    user = ("/v1/decide", {"candidates": ["a"], "user_id": wrong}, "user_id")
    expect = ("/v1/expect", {"creatives": [{"creative_id": wrong}], "combinations": []}, "creatives.0.creative_id")
    return {
        "gateway": [decide, user, lift, rank, words, ("/v1/plan", brief, "campaign_id")],
        "targeting": [rank],
        "measurement": [lift, expect],
        "creative": [words],
    }


@pytest.mark.parametrize("wrong", ["../../keys.json", "..", "/etc/passwd", "a/../b", "a\r\nSet-Cookie: b", "a\x00b"])
def test_an_id_in_a_body_leads_to_no_file(client: httpx.Client, service: str, home: Path, wrong: str) -> None:
    for path, body, field in bodies(home, wrong)[service]:
        assert problem(client.post(path, json=body), 422).detail.split(":")[0] == field


@pytest.mark.parametrize("line", BROKEN_HEADERS)
def test_a_header_that_means_two_things_is_refused_and_does_not_come_back(
    client: httpx.Client, service: str, line: bytes
) -> None:
    for method, path in {(o.method, o.place) for o in OPERATIONS[service]}:
        answer = raw(client, method, path, b"Content-Type: application/json", line)
        assert status_of(answer) in (400, 422), answer
        assert not [word for word in (b"injected", b"set-cookie") if word in answer.lower()]


def test_a_request_id_comes_back_unless_it_could_do_harm(client: httpx.Client) -> None:
    assert client.get("/openapi.json", headers={"x-request-id": "abc-1.2_3"}).headers["x-request-id"] == "abc-1.2_3"
    for harmful in (b"a b", b"a" * 65, b"<script>", b"\xe9"):
        found = client.get("/openapi.json", headers={b"x-request-id": harmful}).headers.get_list("x-request-id")
        assert [len(one) for one in found] == [16]


# Models


SERVED_FROM = {"gateway": "bandit_policy", "targeting": "response_model", "creative": "copy_model"}


def test_an_artefact_with_a_link_is_refused_though_the_pointer_names_it(
    client: httpx.Client, service: str, home: Path
) -> None:
    config, model = Settings(home=home), SERVED_FROM.get(service)
    candidates = list(Library(config.landing).creatives)[:2]

    def serves() -> str:
        if service == "gateway":
            return str(client.post("/v1/decide", json={"candidates": candidates}).json()["policy_version"])
        return str(client.get("/v1/version").json()["version"])

    def alarmed() -> bool:
        return f"artefact_refused:{model if service == 'gateway' else service}" in AlertBook(home).read().open

    before = serves()
    assert not alarmed()
    with model_with_a_link(config, model) if model else snapshot_with_a_link(config):
        assert within(10, alarmed)
        assert serves() == before
    assert within(10, lambda: not alarmed())
    assert serves() == before

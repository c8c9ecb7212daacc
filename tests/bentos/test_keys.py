"""Keys: random, shown once, kept as a hash; their end is noticed by whoever has the file open."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from adplatform.contracts.errors import InputError, SetupError
from adplatform.store import keys as module
from adplatform.store.keys import KeyRefused, Keys, Scope
from tests.homes import adplatform


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path / "keys.json")


@pytest.fixture
def watching(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> Keys:
    """Another process's view of the same file, which looks at every request."""
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.0)
    return Keys(keys.path)


def refused(keys: Keys, secret: str | None, scope: str = "read", now: datetime | None = None) -> tuple[int, str]:
    with pytest.raises(KeyRefused) as found:
        keys.authenticate(secret, scope, now)
    return found.value.status, found.value.detail


def test_a_key_opens_its_scopes_and_no_other(keys: Keys) -> None:
    record, secret = keys.add("shop", ["decide", "ingest"])
    assert keys.authenticate(secret, "decide").key_id == record.key_id
    assert keys.authenticate(secret, "ingest") == record
    assert refused(keys, secret, "admin")[0] == 403
    assert refused(keys, secret, "read")[0] == 403


@pytest.mark.parametrize("scope", [Scope.READ, Scope.DECIDE, Scope.INGEST])
def test_a_scope_opens_no_other_but_admin_opens_all(keys: Keys, scope: Scope) -> None:
    admin, secret = keys.add("operator", [Scope.ADMIN])[1], keys.add("shop", [scope])[1]
    assert [keys.authenticate(one, scope).name for one in (admin, secret)] == ["operator", "shop"]
    assert {refused(keys, secret, other)[0] for other in Scope if other is not scope} == {403}


def test_a_secret_is_256_random_bits_that_no_file_holds(keys: Keys) -> None:
    made = [keys.add("shop", ["read"]) for _ in range(5)]
    for record, secret in made:
        prefix, key_id, rest = secret.split("_", 2)
        assert (prefix, key_id) == ("adp", record.key_id)
        assert len(rest) == 43  # 256 bits in base64
        assert rest not in keys.path.read_text()
    assert len({secret for _, secret in made}) == 5


def test_wrong_secrets_are_unknown_and_never_an_error(keys: Keys) -> None:
    record, secret = keys.add("shop", ["read"])
    near = [secret[:-1], secret + "x", secret.upper(), f"adp_{record.key_id}_", f"xyz_{record.key_id}_{secret[13:]}"]
    for wrong in (*near, "", "_", "adp__", "adp_ÿ_ÿ", "a" * 10_000):
        assert refused(keys, wrong) == (401, "Authorization: the key is unknown; ask for one (adplatform keys add)")
    assert "missing" in refused(keys, None)[1]


def test_an_expired_key_says_so_at_the_very_moment(keys: Keys) -> None:
    end = datetime(2030, 1, 1, tzinfo=UTC)
    _, secret = keys.add("shop", ["read"], end)
    assert keys.authenticate(secret, "read", end - timedelta(microseconds=1))
    status, detail = refused(keys, secret, now=end)
    assert (status, "expired" in detail) == (401, True)


def test_others_notice_a_new_and_a_revoked_key(keys: Keys, watching: Keys) -> None:
    record, secret = keys.add("shop", ["read"])
    assert watching.authenticate(secret, "read") == record
    keys.revoke(record.key_id)
    status, detail = refused(watching, secret)
    assert (status, "revoked" in detail) == (401, True)


def test_a_key_revoked_twice_keeps_the_time_of_the_first(keys: Keys) -> None:
    record, _ = keys.add("shop", ["read"])
    assert keys.revoke(record.key_id) == keys.revoke(record.key_id)
    with pytest.raises(InputError, match="there is none"):
        keys.revoke("00000000")


def test_the_file_is_looked_at_no_more_than_twice_a_second(keys: Keys) -> None:
    _, secret = keys.add("shop", ["read"])
    keys.authenticate(secret, "read")
    keys.path.unlink()
    assert keys.authenticate(secret, "read")


def test_a_damaged_file_leaves_a_running_server_its_keys(
    keys: Keys, watching: Keys, caplog: pytest.LogCaptureFixture
) -> None:
    record, secret = keys.add("shop", ["read"])
    watching.authenticate(secret, "read")
    good = keys.path.read_bytes()
    for damage in (b"", b"{", good[: len(good) // 2], b"[{}]", b'{"a": 1}'):
        keys.path.write_bytes(damage)
        with caplog.at_level(logging.ERROR):
            caplog.clear()
            assert watching.authenticate(secret, "read") == record
        assert "the keys of before stay" in caplog.text
        with pytest.raises(SetupError, match=r"restore it .* or remove it"):
            keys.records()
    keys.path.write_bytes(good)
    assert watching.authenticate(secret, "read") == record


def test_with_a_file_that_was_always_damaged_nobody_gets_in(keys: Keys) -> None:
    _, secret = keys.add("shop", ["read"])
    keys.path.write_bytes(b"{")
    assert refused(Keys(keys.path), secret)[0] == 401
    with pytest.raises(SetupError):
        keys.add("more", ["read"])
    assert keys.path.read_bytes() == b"{"


def test_the_file_is_its_owners_alone_from_the_first_moment(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    rename = os.replace
    monkeypatch.setattr(os, "replace", lambda a, b: (seen.append(os.stat(a).st_mode & 0o777), rename(a, b)))
    before = os.umask(0)
    try:
        record, _ = keys.add("shop", ["read"])
        keys.revoke(record.key_id)
    finally:
        os.umask(before)
    assert seen == [0o600, 0o600]
    assert keys.path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("name", "scopes", "end"),
    [("", ["read"], None), ("x", [], None), ("x", ["root"], None), ("x", ["read"], datetime(2030, 1, 1))],
)
def test_a_key_that_makes_no_sense_is_refused_and_not_kept(
    keys: Keys, name: str, scopes: list[str], end: datetime | None
) -> None:
    with pytest.raises(InputError):
        keys.add(name, scopes, end)
    assert keys.records() == []


def test_processes_that_add_at_once_lose_no_key(keys: Keys) -> None:
    code = (
        "import sys, pathlib; from adplatform.store.keys import Keys\n"
        "[Keys(pathlib.Path(sys.argv[1])).add('x', ['read']) for _ in range(20)]"
    )
    started = [subprocess.Popen([sys.executable, "-c", code, str(keys.path)]) for _ in range(2)]
    assert [p.wait(60) for p in started] == [0, 0]
    assert len({r.key_id for r in keys.records()}) == 40


@pytest.mark.slow
def test_the_commands_add_list_and_revoke(tmp_path: Path) -> None:
    added = adplatform(tmp_path, "keys", "add", "shop", "--scope", "decide", "--scope", "ingest", "--days", "1")
    secret = added.out.strip()
    keys = Keys(tmp_path / "keys.json")
    record = keys.authenticate(secret, Scope.DECIDE)
    assert secret not in added.err
    assert record.expires_at is not None
    assert timedelta(hours=23) < record.expires_at - datetime.now(UTC) <= timedelta(days=1)
    listed = adplatform(tmp_path, "keys", "list", "--json")
    assert record.key_id in listed.out
    assert record.sha256 not in listed.out
    assert adplatform(tmp_path, "keys", "revoke", record.key_id).code == 0
    assert refused(Keys(keys.path), secret, "decide")[0] == 401
    assert adplatform(tmp_path, "keys", "revoke", "nothing").code == 2
    assert adplatform(tmp_path, "keys", "add", "shop", "--scope", "root").code == 2

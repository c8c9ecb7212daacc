"""Webhook and mail against real servers: what arrives, what is tried again, and what never leaks."""

from __future__ import annotations

import logging
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import AuthResult

from adplatform.alerts import delivery
from adplatform.alerts.delivery import deliver
from adplatform.contracts.alerts import Alert
from adplatform.settings import Settings
from adplatform.store.alerts import AlertBook
from tests.alerts.sinks import NOON, alert, smtp, webhook

MAIL = {"smtp_host": "127.0.0.1", "smtp_from": "ads@example.test", "smtp_to": "a@example.test, b@example.test"}


def raised(home: Path, given: Alert | None = None, **options: Any) -> Settings:
    config = Settings(home=home, **options)
    AlertBook.of(config).raise_(given or alert(), NOON)
    return config


def plain(port: int) -> dict[str, Any]:
    return {**MAIL, "smtp_port": port, "smtp_starttls": False}


def test_a_webhook_gets_the_alert_once_and_its_end_in_one_thread(tmp_path: Path) -> None:
    with webhook() as hook:
        config = raised(tmp_path, webhook_url=hook.url)
        assert [o.ok for o in deliver(config)] == [True]
        assert deliver(config) == []
        AlertBook.of(config).resolve(alert().key)
        deliver(config)
    first, last = hook.bodies
    assert (first["state"], last["state"]) == ("raised", "resolved")
    assert first["thread"] == last["thread"] == first["id"] != last["id"]
    assert first["key"] == "run_failed:impressions"
    assert first["runbook"] == "docs/operations.md#alert-run_failed"
    assert first["facts"] == {"run": "r1"}
    assert last["seconds"] > 0


def test_slack_gets_text_and_blocks_in_which_nothing_is_a_link_or_a_call(tmp_path: Path) -> None:
    with webhook() as hook:
        bad = alert(what="<!channel> a & b <https://x.test|click>", facts={"why": "<@U1>" * 900})
        deliver(raised(tmp_path, bad, webhook_url=hook.url, webhook_form="slack"))
    (body,) = hook.bodies
    assert set(body) == {"text", "blocks"}
    said = body["blocks"][0]["text"]["text"]
    assert "&lt;!channel&gt; a &amp; b &lt;https://x.test|click&gt;" in said
    texts = [body["text"], *(b["text"]["text"] for b in body["blocks"] if b["type"] == "section")]
    assert all("<" not in t and ">" not in t and len(t) <= 3000 for t in texts)
    assert "docs/operations.md#alert-run_failed" in body["blocks"][-1]["elements"][0]["text"]


def test_a_mail_reaches_every_recipient_and_its_end_answers_it(tmp_path: Path) -> None:
    with smtp() as box:
        config = raised(tmp_path, alert(what="größer als erwartet"), **plain(box.port))
        deliver(config)
        AlertBook.of(config).resolve(alert().key)
        deliver(config)
    first, last = box.mails
    assert box.recipients == [["a@example.test", "b@example.test"]] * 2
    assert first["Subject"] == "[error] impressions failed"
    assert last["Subject"] == "[resolved] impressions failed"
    assert last["In-Reply-To"] == first["Message-ID"]
    assert "größer als erwartet" in first.get_content()
    assert "docs/operations.md#alert-run_failed" in first.get_content()


def test_no_text_of_a_run_can_add_a_header_or_a_recipient(tmp_path: Path) -> None:
    with smtp() as box:
        bad = alert(
            "x\r\nBcc: evil@x.test", title="t\r\nBcc: evil@x.test\r\n\r\nhi", what="a\r\n.\r\nMAIL FROM:<e@x.test>"
        )
        deliver(raised(tmp_path, bad, **plain(box.port)))
    (mail,) = box.mails
    assert box.recipients == [["a@example.test", "b@example.test"]]
    assert mail["Bcc"] is None
    assert mail["Subject"] == "[error] t Bcc: evil@x.test hi"


def test_an_address_with_a_line_break_is_refused_not_sent(tmp_path: Path) -> None:
    with smtp() as box:
        config = raised(tmp_path, **{**plain(box.port), "smtp_from": "a@x.test\nBcc: e@x.test"})
        (outcome,) = deliver(config)
    assert "address" in outcome.problem
    assert box.raw == []


def test_a_channel_that_fails_never_costs_the_other_and_gets_its_notices_when_it_is_back(tmp_path: Path) -> None:
    with webhook() as hook, smtp() as box:
        hook.answers = [503] * 100
        config = raised(tmp_path, webhook_url=hook.url, **plain(box.port))
        by_name = {o.channel: o for o in deliver(config)}
        assert (by_name["webhook"].ok, by_name["smtp"].ok, len(box.raw)) == (False, True, 1)
        assert hook.tries == delivery.ATTEMPTS
        AlertBook.of(config).resolve(alert().key)
        hook.answers = [503]  # once: the next try comes in the same tick
        assert all(o.ok for o in deliver(config))
        assert [b["state"] for b in hook.bodies] == ["raised", "resolved"]
        assert len(box.raw) == 2
        assert AlertBook.of(config).read().queue == ()


def test_what_trying_again_cannot_mend_is_tried_once_and_kept(tmp_path: Path) -> None:
    with webhook() as hook:
        hook.answers = [404]
        config = raised(tmp_path, webhook_url=hook.url)
        (outcome,) = deliver(config)
        assert (hook.tries, outcome.sent) == (1, 0)
        assert "answered 404" in outcome.problem
        assert "ADPLATFORM_WEBHOOK_URL" in outcome.mend
        assert [o.ok for o in deliver(config)] == [True]
        assert len(hook.bodies) == 1


def test_a_server_that_never_answers_holds_a_tick_no_longer_than_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "CHANNEL_SECONDS", 1.0)
    with webhook() as hook, smtp() as box:
        hook.hold.clear()
        config = raised(tmp_path, webhook_url=hook.url, **plain(box.port))
        before = time.monotonic()
        outcomes = {o.channel: o.ok for o in deliver(config)}
        assert time.monotonic() - before < 5
    assert outcomes == {"webhook": False, "smtp": True}


def test_the_address_and_the_password_are_in_no_log_and_no_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with webhook() as hook, smtp() as box:
        hook.answers = [500] * 9
        box.refuse = "550 no, secret-password is wrong"
        config = raised(
            tmp_path, webhook_url=hook.url, smtp_user="ads", smtp_password="secret-password", **plain(box.port)
        )
        outcomes = deliver(config)
    assert len(outcomes) == 2
    kept = "".join(p.read_text() for p in tmp_path.rglob("*") if p.is_file())
    said = caplog.text + str(outcomes) + kept + repr(config)
    assert "secret-path" not in said
    assert "secret-password" not in said


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert, "-days", "1",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True,
    )  # fmt: skip
    return key, cert


@pytest.mark.needs("openssl")
def test_a_login_goes_over_an_encrypted_connection_to_a_server_that_is_trusted_and_no_other(
    tmp_path: Path, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    import ssl

    users: list[str] = []

    def login(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        users.append(data.login.decode())
        return AuthResult(success=data.password == b"right", handled=False)

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate[1], certificate[0])
    with smtp(tls_context=context, require_starttls=True, authenticator=login, auth_required=True) as box:
        given = {**MAIL, "smtp_port": box.port, "smtp_user": "ads"}
        config = raised(tmp_path / "home", smtp_password="right", **given)
        (stranger,) = deliver(config)
        assert "certificate" in stranger.problem
        assert users == []
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate[1]))
        wrong = raised(tmp_path / "other", smtp_password="wrong", **given)
        (refused,) = deliver(wrong)
        assert "refuses the user (535)" in refused.problem
        assert [o.ok for o in deliver(config)] == [True]
    assert (box.encrypted, users[-1]) == ([True], "ads")


def test_a_server_without_encryption_gets_no_mail_unless_that_is_allowed(tmp_path: Path) -> None:
    with smtp() as box:
        (outcome,) = deliver(raised(tmp_path, **{**MAIL, "smtp_port": box.port}))
    assert "STARTTLS" in outcome.problem + outcome.mend
    assert box.raw == []


def test_a_channel_that_is_configured_no_longer_keeps_nothing_waiting(tmp_path: Path) -> None:
    with webhook() as hook:
        raised(tmp_path, webhook_url="http://127.0.0.1:9/gone", smtp_host="127.0.0.1")
        deliver(Settings(home=tmp_path, webhook_url=hook.url))
    assert len(hook.bodies) == 1
    assert AlertBook(tmp_path).read().queue == ()

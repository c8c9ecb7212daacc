"""``adplatform alerts`` as a person types it, and the runbook that every alert links to."""

from __future__ import annotations

import json
import re
from pathlib import Path

from adplatform.contracts.alerts import RUNBOOK, AlertKind, runbook_anchor
from adplatform.store.alerts import AlertBook
from tests.alerts.sinks import alert, smtp, webhook
from tests.homes import REPOSITORY, adplatform


def mail(port: int) -> dict[str, str]:
    given = {"HOST": "127.0.0.1", "PORT": str(port), "FROM": "ads@x.test", "TO": "a@x.test", "STARTTLS": "false"}
    return {f"ADPLATFORM_SMTP_{name}": value for name, value in given.items()}


def test_a_test_reaches_every_channel_with_its_resolution(tmp_path: Path) -> None:
    with webhook() as hook, smtp() as box:
        ran = adplatform(tmp_path, "alerts", "test", ADPLATFORM_WEBHOOK_URL=hook.url, **mail(box.port))
    assert ran.code == 0, ran.out + ran.err
    assert [b["state"] for b in hook.bodies] == ["raised", "resolved"]
    assert len(box.raw) == 2
    assert all(name in ran.out for name in ("log", "webhook", "smtp"))
    assert AlertBook(tmp_path).read().open == {}


def test_a_test_that_fails_says_how_to_mend_it_and_ends_with_1(tmp_path: Path) -> None:
    with webhook() as hook, smtp() as box:
        hook.answers = [403] * 9
        ran = adplatform(tmp_path, "alerts", "test", ADPLATFORM_WEBHOOK_URL=hook.url, **mail(box.port))
    assert ran.code == 1
    assert "answered 403" in ran.out
    assert "check ADPLATFORM_WEBHOOK_URL" in ran.out
    assert "secret-path" not in ran.out + ran.err
    assert len(box.raw) == 2


def test_where_only_the_log_is_configured_that_is_said(tmp_path: Path) -> None:
    ran = adplatform(tmp_path, "alerts", "test")
    assert ran.code == 0
    assert "only the log is configured" in ran.out
    states = [json.loads(line)["state"] for line in (tmp_path / "logs" / "alerts.log").read_text().splitlines()]
    assert states == ["raised", "resolved"]


def test_what_is_open_is_listed_and_can_be_closed_by_hand(tmp_path: Path) -> None:
    AlertBook(tmp_path, ["webhook"]).raise_(alert("impressions@2026-11-03"))
    listed = json.loads(adplatform(tmp_path, "alerts", "list", "--json").out)
    assert [row["key"] for row in listed["open"]] == ["run_failed:impressions@2026-11-03"]
    assert len(listed["waiting"]) == 1
    assert "KeyError" in adplatform(tmp_path, "alerts", "list").out
    wrong = adplatform(tmp_path, "alerts", "resolve", "run_failed:clicks")
    assert (wrong.code, "choose from: run_failed:impressions@2026-11-03" in wrong.error) == (2, True)
    assert adplatform(tmp_path, "alerts", "resolve", "run_failed:impressions@2026-11-03").code == 0
    assert "no alert is open" in adplatform(tmp_path, "alerts", "list").out


def test_every_kind_has_a_runbook_entry_and_every_entry_a_kind() -> None:
    text = (REPOSITORY / RUNBOOK).read_text()
    headings = re.findall(r"^### Alert: (.+)$", text, re.MULTILINE)
    assert sorted(headings) == sorted(kind.value for kind in AlertKind)
    entries = dict(re.findall(r"^### Alert: (.+)\n\n((?:(?!#).+\n?)+)", text, re.MULTILINE))
    assert all(len(entries[kind.value].split()) >= 5 for kind in AlertKind)
    # GitHub's anchor of a heading: lower case, punctuation but - and _ left out, spaces as hyphens
    anchors = {re.sub(r"[^\w\- ]", "", f"alert: {heading}").replace(" ", "-") for heading in headings}
    assert anchors == {runbook_anchor(kind) for kind in AlertKind}

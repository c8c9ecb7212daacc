"""How a notice reads: as JSON for any receiver, as Slack wants it, and as a mail."""

from __future__ import annotations

from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Any, Final

from adplatform.contracts.alerts import Notice, NoticeState, Severity

_SIGNS: Final = {
    Severity.INFO: ":information_source:", Severity.WARNING: ":warning:", Severity.ERROR: ":rotating_light:"
}  # fmt: skip
SLACK_TEXT: Final = 2900
"""Slack refuses a block of more than 3,000 characters."""


def generic(notice: Notice) -> dict[str, Any]:
    """The notice as JSON. ``id`` is the same when it is sent again."""
    alert = notice.alert
    return {
        "id": notice.notice_id,
        "thread": notice.thread_id,
        "state": notice.state.value,
        "at": notice.at.isoformat(),
        "key": alert.key,
        "kind": alert.kind.value,
        "subject": alert.subject,
        "severity": alert.severity.value,
        "title": alert.title,
        "what": alert.what,
        "since": alert.since.isoformat(),
        "seconds": round(notice.seconds, 3),
        "count": notice.count,
        "runbook": alert.runbook,
        "facts": alert.facts,
    }


def slack(notice: Notice) -> dict[str, Any]:
    """The form of Slack's incoming webhooks: a text for notifications, and blocks.

    ``&``, ``<`` and ``>`` are escaped (docs.slack.dev, formatting message text), so that no text of a run becomes a link
    or calls a channel.
    """
    alert = notice.alert
    sign = ":white_check_mark:" if notice.state is NoticeState.RESOLVED else _SIGNS[alert.severity]
    title = _escaped(notice.headline).replace("*", "∗")
    facts = [f"{_escaped(k)}: {_escaped(v)}" for k, v in alert.facts.items()]
    return {
        "text": f"{sign} {title}: {_escaped(alert.what)}"[:SLACK_TEXT],
        "blocks": [
            _section(f"{sign} *{title}*\n{_escaped(alert.what)}"),
            *([_section("\n".join(facts))] if facts else []),
            {"type": "context", "elements": [_markdown(f"{_escaped(_times(notice))} · {_escaped(alert.runbook)}")]},
        ],
    }


def mail(notice: Notice, sender: str, recipients: tuple[str, ...]) -> EmailMessage:
    """The notice as a mail; later notices of the same alert answer the first.

    Raises ValueError on an address with a line break: the library refuses a header that would begin another.
    """
    alert, domain = notice.alert, sender.rpartition("@")[2].strip(" <>") or "localhost"
    message = EmailMessage(policy=SMTP)
    message["From"], message["To"] = sender, ", ".join(recipients)
    message["Subject"] = notice.headline
    message["Date"] = format_datetime(notice.at)
    message["Message-ID"] = f"<{notice.notice_id}@{domain}>"
    if notice.notice_id != notice.thread_id:
        message["In-Reply-To"] = message["References"] = f"<{notice.thread_id}@{domain}>"
    message["Auto-Submitted"] = "auto-generated"
    lines = [alert.what, "", _times(notice), f"runbook: {alert.runbook}", f"key: {alert.key}"]
    lines += ["", *(f"{k}: {v}" for k, v in alert.facts.items())] if alert.facts else []
    message.set_content("\n".join(lines) + "\n")
    return message


def _times(notice: Notice) -> str:
    since = f"since {notice.alert.since:%Y-%m-%d %H:%M} UTC"
    times = "" if notice.count == 1 else f", {notice.count} times"
    if notice.state is NoticeState.RESOLVED:
        return f"{since}, resolved after {notice.lasted}{times}"
    if notice.state is NoticeState.REPEATED:
        return f"{since}, open for {notice.lasted}{times}"
    return since


def _escaped(text: object) -> str:
    return str(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _markdown(text: str) -> dict[str, str]:
    return {"type": "mrkdwn", "text": text[:SLACK_TEXT]}


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": _markdown(text)}

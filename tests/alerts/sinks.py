"""A webhook receiver and an SMTP server, real ones on the loopback."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller

from adplatform.contracts.alerts import Alert, AlertKind, Severity
from adplatform.serve import free_port

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def alert(subject: str = "impressions", **other: Any) -> Alert:
    values: dict[str, Any] = {
        "kind": AlertKind.RUN_FAILED, "severity": Severity.ERROR, "title": f"{subject} failed",
        "what": "KeyError: x", "since": NOON, "facts": {"run": "r1"},
    }  # fmt: skip
    return Alert(subject=subject, **{**values, **other})


class Hook:
    """What a webhook was sent. ``answers`` are statuses to give first; then 200."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.answers: list[int] = []
        self.hold = threading.Event()
        self.hold.set()
        self.url = ""
        self.tries = 0


@contextmanager
def webhook() -> Iterator[Hook]:
    hook = Hook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            hook.tries += 1
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            hook.hold.wait(30)
            status = hook.answers.pop(0) if hook.answers else 200
            if status == 200:
                hook.bodies.append(body)
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    hook.url = f"http://127.0.0.1:{server.server_port}/services/T0/secret-path"
    try:
        yield hook
    finally:
        hook.hold.set()
        server.shutdown()
        server.server_close()


class Mailbox:
    """What an SMTP server took; ``refuse`` is what it answers to a message, '' to take it."""

    def __init__(self) -> None:
        self.raw: list[bytes] = []
        self.recipients: list[list[str]] = []
        self.encrypted: list[bool] = []
        self.users: list[str] = []
        self.refuse = ""
        self.port = 0

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        if self.refuse:
            return self.refuse
        self.raw.append(envelope.content)
        self.recipients.append(envelope.rcpt_tos)
        self.encrypted.append(session.ssl is not None)
        return "250 OK"

    @property
    def mails(self) -> list[EmailMessage]:
        return [message_from_bytes(raw, policy=default) for raw in self.raw]  # type: ignore[misc]


@contextmanager
def smtp(**options: Any) -> Iterator[Mailbox]:
    box = Mailbox()
    box.port = free_port()  # aiosmtpd calls itself at the port it was given, so that can't be 0
    controller = Controller(box, hostname="127.0.0.1", port=box.port, **options)
    controller.start()
    try:
        yield box
    finally:
        controller.stop()

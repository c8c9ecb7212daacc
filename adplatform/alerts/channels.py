"""Where notices go: a webhook and an SMTP server. Each says in one line what failed and how to mend it, without secrets."""

from __future__ import annotations

import logging
import smtplib
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Protocol
from urllib.parse import urlsplit

import httpx

from adplatform.alerts.forms import generic, mail, slack
from adplatform.contracts.alerts import Notice
from adplatform.contracts.errors import AdPlatformError
from adplatform.settings import Settings

SECONDS: Final = 5.0
"""For one answer of a server."""


class ChannelError(AdPlatformError):
    """A notice could not be sent. ``again``: whether another try may help."""

    def __init__(self, problem: str, mend: str, again: bool = False) -> None:
        self.problem, self.mend, self.again = problem, mend, again
        super().__init__(f"{problem}; {mend}")


class Channel(Protocol):
    """Sends notices one at a time; raises ChannelError and nothing else."""

    name: str

    def send(self, notice: Notice) -> None:
        """Send it once."""


class Webhook:
    """Posts JSON to one address."""

    name = "webhook"

    def __init__(self, url: str, form: str) -> None:
        self._url, self._form = url, slack if form == "slack" else generic

    def send(self, notice: Notice) -> None:
        """Post it. An answer other than 2xx is an error; a redirect too, it would carry the alert elsewhere."""
        mend = "check ADPLATFORM_WEBHOOK_URL"
        parts = urlsplit(self._url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ChannelError("the address is no http or https URL", mend)
        try:
            with (
                _unlogged(),
                httpx.Client(timeout=SECONDS) as client,
                client.stream("POST", self._url, json=self._form(notice)) as answer,
            ):
                status = answer.status_code
        except (httpx.TransportError, OSError) as error:
            raise ChannelError(
                f"{parts.hostname} does not answer ({type(error).__name__})", f"{mend}, or wait for it", again=True
            ) from None  # its own text may carry the address, which is a secret
        except (httpx.InvalidURL, httpx.HTTPError, ValueError) as error:
            raise ChannelError(f"the address cannot be used ({type(error).__name__})", mend) from None
        if status == 429 or status >= 500:
            raise ChannelError(f"{parts.hostname} answered {status}", "wait, it is tried again", again=True)
        if not 200 <= status < 300:
            raise ChannelError(f"{parts.hostname} answered {status}", f"{mend} and ADPLATFORM_WEBHOOK_FORM")


class Mail:
    """Mails through one SMTP server."""

    name = "smtp"

    def __init__(self, config: Settings) -> None:
        self._config = config
        self._to = tuple(part.strip() for part in (config.smtp_to or "").split(",") if part.strip())

    def send(self, notice: Notice) -> None:
        """Mail it to everyone; refused by one recipient is an error, for nobody must be left out unseen."""
        config = self._config
        if not config.smtp_from or not self._to:
            missing = "ADPLATFORM_SMTP_TO" if config.smtp_from else "ADPLATFORM_SMTP_FROM"
            raise ChannelError(f"{missing} is not set", "set it to a mail address")
        try:
            message = mail(notice, config.smtp_from, self._to)
        except (ValueError, IndexError) as error:
            raise ChannelError(
                f"an address cannot be used ({type(error).__name__})", "check ADPLATFORM_SMTP_FROM and _TO"
            ) from None
        try:
            with smtplib.SMTP(str(config.smtp_host), config.smtp_port, "localhost", timeout=SECONDS) as server:
                if config.smtp_starttls:
                    server.starttls(context=ssl.create_default_context())
                if config.smtp_user and config.smtp_password:
                    server.login(config.smtp_user, config.smtp_password.get_secret_value())
                refused = server.send_message(message)
        except (smtplib.SMTPException, OSError, ValueError) as error:
            raise _smtp_problem(error, config) from None
        if refused:
            raise ChannelError(f"{len(refused)} recipients were refused", "check ADPLATFORM_SMTP_TO")


def _smtp_problem(error: Exception, config: Settings) -> ChannelError:
    """What smtplib raised, in words; a server's own text is left out, it may repeat what it was sent."""
    where = f"{config.smtp_host}:{config.smtp_port}"
    if isinstance(error, smtplib.SMTPAuthenticationError):
        again = error.smtp_code < 500
        return ChannelError(f"{where} refuses the user ({error.smtp_code})", "check ADPLATFORM_SMTP_USER", again)
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return ChannelError(
            f"{where} offers no STARTTLS or login", "use another port or ADPLATFORM_SMTP_STARTTLS=false"
        )
    if isinstance(error, ssl.SSLError):
        return ChannelError(f"{where} has no certificate that this machine trusts", "check ADPLATFORM_SMTP_HOST")
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        codes = sorted({code for code, _ in error.recipients.values()})
        return ChannelError(f"{where} refuses the recipients ({codes[0]})", "check ADPLATFORM_SMTP_TO", codes[0] < 500)
    if isinstance(error, smtplib.SMTPResponseException):
        again = 400 <= error.smtp_code < 500
        return ChannelError(f"{where} answered {error.smtp_code}", "check ADPLATFORM_SMTP_FROM and the server", again)
    problem = f"{where} does not answer ({type(error).__name__})"
    return ChannelError(problem, "check ADPLATFORM_SMTP_HOST and _PORT, or wait for it", again=True)


@contextmanager
def _unlogged() -> Iterator[None]:
    """httpx logs every address at INFO; a webhook's address is its key."""
    here, logger = threading.get_ident(), logging.getLogger("httpx")

    def elsewhere(record: logging.LogRecord) -> bool:
        return record.thread != here

    logger.addFilter(elsewhere)
    try:
        yield
    finally:
        logger.removeFilter(elsewhere)


def configured(config: Settings) -> list[Channel]:
    """The channels beside the log."""
    found: list[Channel] = []
    if config.webhook_url:
        found.append(Webhook(config.webhook_url.get_secret_value(), config.webhook_form))
    if config.smtp_host:
        found.append(Mail(config))
    return found

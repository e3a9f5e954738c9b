"""Mail through a server that takes it: always with TLS, but on this machine itself."""

from __future__ import annotations

import ipaddress
import smtplib
import ssl
from collections.abc import Mapping
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid

from portside.config import Notifier
from portside.notify.base import STEP_SECONDS, NotToldError
from portside.notify.event import Event, message

# RFC 8314: TLS from the first byte. Every other port begins in the clear.
TLS_PORT = 465


def send(settings: Notifier, secrets: Mapping[str, str], event: Event) -> None:
    host, _, port = str(settings.smarthost).rpartition(":")
    try:
        with _connected(host.strip("[]"), int(port)) as server:
            if settings.username:
                server.login(settings.username, secrets["secret"])
            server.send_message(mail(settings, event))
    except smtplib.SMTPNotSupportedError as error:
        raise NotToldError(f"{settings.smarthost} can't do what is needed: {error}") from None
    except smtplib.SMTPRecipientsRefused as error:
        code, said = next(iter(error.recipients.values()))
        raise NotToldError(f"{settings.smarthost} refused {settings.to}: {code} {_words(said)}") from None
    except smtplib.SMTPResponseException as error:
        raise NotToldError(f"{settings.smarthost} said {error.smtp_code} {_words(error.smtp_error)}") from None
    except (smtplib.SMTPException, OSError) as error:
        raise NotToldError(f"{settings.smarthost}: {error or type(error).__name__}") from None


def mail(settings: Notifier, event: Event) -> EmailMessage:
    said = message(event)
    made = EmailMessage()
    made["From"], made["To"] = settings.from_, settings.to
    made["Subject"] = " ".join(said.title.split())
    made["Date"] = format_datetime(event.at)
    made["Message-ID"] = make_msgid(domain=str(settings.from_).rpartition("@")[2])
    made["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's absence is answered to it
    made.set_content(f"{said.text}\n")
    return made


def _connected(host: str, port: int) -> smtplib.SMTP:
    if port == TLS_PORT:
        return smtplib.SMTP_SSL(host, port, timeout=STEP_SECONDS, context=ssl.create_default_context())
    server = smtplib.SMTP(host, port, timeout=STEP_SECONDS)
    if not _here(host):
        try:
            server.starttls(context=ssl.create_default_context())
        except BaseException:
            server.close()
            raise
    return server


def _here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _words(said: bytes | str) -> str:
    return (said if isinstance(said, str) else said.decode(errors="replace"))[:200]

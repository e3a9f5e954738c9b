"""A real SMTP server on this machine, with STARTTLS and a certificate of its own authority, that keeps what it gets."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword

from tests.certificate import written_certificate


@dataclass
class Mailbox:
    """Where it is (host and port), the certificate to trust, and what came: messages, and who signed in."""

    address: str
    authority: Path
    came: list[EmailMessage] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)
    logins: list[tuple[str, str]] = field(default_factory=list)
    refuses: str = ""

    async def handle_DATA(self, _: Any, session: Any, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        if self.refuses:
            return self.refuses
        content = envelope.original_content
        assert content is not None
        message = message_from_bytes(content, policy=policy.default)
        assert isinstance(message, EmailMessage)
        self.came.append(message)
        self.encrypted.append(session.ssl is not None)
        return "250 OK"

    def authenticate(self, _server: Any, _session: Any, _envelope: Any, _mechanism: str, login: Any) -> AuthResult:
        assert isinstance(login, LoginPassword)
        self.logins.append((login.login.decode(), login.password.decode()))
        return AuthResult(success=login.password == b"hunter2", handled=False)


class Asks(SMTP):
    """Asks for name and password in the words of Postfix, Exim and Exchange, which clients wait for."""

    AuthLoginUsernameChallenge = "Username:"
    AuthLoginPasswordChallenge = "Password:"


class Server(Controller):
    def factory(self) -> SMTP:
        return Asks(self.handler, **self.SMTP_kwargs)


@contextlib.contextmanager
def mailbox(
    folder: Path, *, name: str = "127.0.0.1", tls: str | None = "starttls", password: bool = False
) -> Iterator[Mailbox]:
    """A server that is called `name`. With `password` it takes nothing unsigned.

    `tls`: "starttls" (insisted on), "implicit" (from the first byte), or None.
    """
    certificate, key = written_certificate(folder, name)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    box = Mailbox(f"{name}:{port}", certificate)
    controller = Server(
        box,
        hostname="127.0.0.1",
        port=port,
        ssl_context=context if tls == "implicit" else None,
        tls_context=context if tls == "starttls" else None,
        require_starttls=tls == "starttls",
        authenticator=box.authenticate if password else None,
        auth_required=password,
    )
    controller.start()
    try:
        yield box
    finally:
        controller.stop()

"""Mail: at real servers on loopback, with and without TLS and a password."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from portside.notify import mail
from tests.mailbox import mailbox
from tests.unit.notify.telling import MAIL, SECRET, happened, sent, told_by


@pytest.fixture
def trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mail servers' certificates of this test are trusted, as an authority of the company's would be."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "server.pem"))


# Not loopback by its name, so TLS is insisted on; and still this machine.
ELSEWHERE = socket.gethostname()


@pytest.mark.usefixtures("trusted")
def test_mail_is_signed_in_and_encrypted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PASSWORD", SECRET)
    with mailbox(tmp_path, name=ELSEWHERE, password=True) as box:
        block = f'{MAIL}smarthost = "{box.address}"\nusername = "portside"\nsecret = "env:PASSWORD"'
        assert sent(told_by(tmp_path, block), happened(reason="it died\non web-1")) == []
    (came,) = box.came
    assert (came["To"], came["From"]) == ("team@example.com", "portside@example.com")
    assert came["Subject"] == "✗ links: deploy to prod was undone"
    assert came["Auto-Submitted"] == "auto-generated"
    text = came.get_content().replace("\r\n", "\n")
    assert "Why: it died\non web-1" in text
    assert "invoke deploy --env prod" in text
    assert box.encrypted == [True]
    assert box.logins == [("portside", SECRET)]


@pytest.mark.usefixtures("trusted")
def test_mail_to_the_port_for_tls_is_encrypted_from_the_first_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with mailbox(tmp_path, name=ELSEWHERE, tls="implicit") as box:
        monkeypatch.setattr(mail, "TLS_PORT", int(box.address.rpartition(":")[2]))
        assert sent(told_by(tmp_path, f'{MAIL}smarthost = "{box.address}"'), happened()) == []
    assert len(box.came) == 1, "by a server that speaks nothing but TLS"


def test_a_server_that_can_t_encrypt_gets_neither_mail_nor_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PASSWORD", SECRET)
    with mailbox(tmp_path, name=ELSEWHERE, tls=None, password=True) as box:
        block = f'{MAIL}smarthost = "{box.address}"\nusername = "portside"\nsecret = "env:PASSWORD"'
        (problem,) = sent(told_by(tmp_path, block), happened())
    assert "STARTTLS" in problem
    assert box.came == []
    assert box.logins == []


def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    with mailbox(tmp_path, name=ELSEWHERE) as box:
        (problem,) = sent(told_by(tmp_path, f'{MAIL}smarthost = "{box.address}"'), happened())
    assert "CERTIFICATE_VERIFY_FAILED" in problem
    assert box.came == []


def test_a_relay_on_this_machine_needs_no_tls(tmp_path: Path) -> None:
    with mailbox(tmp_path, tls=None) as box:
        assert sent(told_by(tmp_path, f'{MAIL}smarthost = "{box.address}"'), happened("released")) == []
    assert box.encrypted == [False]
    assert "serves prod" in box.came[0]["Subject"]


@pytest.mark.usefixtures("trusted")
def test_a_wrong_password_and_a_refused_mail_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PASSWORD", "another-canary")
    with mailbox(tmp_path, name=ELSEWHERE, password=True) as box:
        block = f'{MAIL}smarthost = "{box.address}"\nusername = "portside"\nsecret = "env:PASSWORD"'
        (problem,) = sent(told_by(tmp_path, block), happened())
    assert "535" in problem
    assert "another-canary" not in problem
    with mailbox(tmp_path, name=ELSEWHERE) as box:
        box.refuses = "554 no thanks"
        (problem,) = sent(told_by(tmp_path, f'{MAIL}smarthost = "{box.address}"'), happened())
    assert "said 554 no thanks" in problem

"""A webhook: what it gets is what the page says, signed as the standard says."""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from portside.notify.webhook import signature
from tests.unit.notify.telling import ROOT, Receiver, happened, sent, told_by


def test_a_webhook_gets_what_the_page_says(tmp_path: Path, receiver: Receiver) -> None:
    event = happened(reason="why", link="https://ci/1")
    assert sent(told_by(tmp_path, 'kind = "webhook"\nsecret = "env:URL"'), event) == []
    body = receiver.bodies()[0]
    assert body["hosts"] == ["deploy@web-1", "deploy@web-2"]
    assert body["at"] == "2026-11-23T15:45:01Z"
    page = (ROOT / "docs/notifications.md").read_text().split("## What a webhook gets")[1].split("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", page, flags=re.MULTILINE)) == set(body)
    assert "webhook-signature" not in receiver.came[0][1]


def test_the_signature_is_that_of_the_standard() -> None:
    """The example of the Standard Webhooks libraries."""
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    assert (
        signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", b'{"test": 2432232314}')
        == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    )


def documented_check() -> Callable[..., bool]:
    """The receiver's half, as docs/notifications.md has it."""
    page = (ROOT / "docs/notifications.md").read_text()
    code = next(
        code for code in re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL) if "webhook-signature" in code
    )
    found: dict[str, Any] = {}
    exec(code, found)  # noqa: S102 - what the page tells people to use
    check: Callable[..., bool] = found["genuine"]
    return check


def test_a_receiver_that_follows_the_page_knows_a_forgery(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEY", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    config = told_by(tmp_path, 'kind = "webhook"\nsecret = "env:URL"\nsigning_secret = "env:KEY"')
    assert sent(config, happened()) == []
    _, headers, body, _ = receiver.came[0]
    genuine = documented_check()
    assert genuine("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", headers, body)
    assert not genuine("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSx", headers, body)
    assert not genuine("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", headers, body + b" ")
    old = {**headers, "webhook-timestamp": str(int(time.time()) - 3600)}
    assert not genuine("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", old, body)


@pytest.mark.parametrize("key", ["hunter2", "whsec_", "whsec_?"])
def test_a_signing_secret_of_another_form_is_said_and_nothing_goes_unsigned(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("KEY", key)
    config = told_by(tmp_path, 'kind = "webhook"\nsecret = "env:URL"\nsigning_secret = "env:KEY"')
    (problem,) = sent(config, happened())
    assert "its signing_secret is not whsec_ and bytes in base64" in problem
    assert "hunter2" not in problem
    assert receiver.came == []

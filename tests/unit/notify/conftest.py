"""Somebody to tell."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from portside.notify import http
from tests.unit.notify.telling import Receiver


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    server = Receiver()
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    monkeypatch.setenv("URL", server.url)
    monkeypatch.setattr(http, "PAUSE", 0.02)
    yield server
    server.shutdown()
    server.server_close()

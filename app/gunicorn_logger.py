"""Gunicorn's own messages, as JSON lines like everybody's."""

from __future__ import annotations

from gunicorn.config import Config  # type: ignore[import-untyped]
from gunicorn.glogging import Logger  # type: ignore[import-untyped]

from app.logs import StandardLogging


class JsonLogger(Logger):  # type: ignore[misc]
    """Its handlers are replaced, not added to; Uvicorn's worker copies them for its own loggers."""

    def setup(self, cfg: Config) -> None:
        self.cfg = cfg
        self._access_log_enabled = False
        self.error_log.setLevel(cfg.loglevel.upper())
        self.error_log.handlers = [StandardLogging()]
        self.access_log.handlers = []

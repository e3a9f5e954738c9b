"""What an ASGI server imports: `app.asgi:app`."""

from __future__ import annotations

from app.logs import configure_logging
from app.main import create_app
from app.settings import load_settings_or_exit

_settings = load_settings_or_exit()
configure_logging(service=_settings.service, env=_settings.env, release=_settings.release, level=_settings.log_level)
app = create_app(_settings)

"""The first role: serves HTTP. `python -m app.web -c app/gunicorn.conf.py app.asgi:app`, with Gunicorn's arguments."""

from __future__ import annotations

import os


def main() -> None:
    """Runs until SIGTERM."""
    # Gunicorn reads these while it is imported, and where one is wrong ends with a line of its own or a traceback.
    # Whether one is says app/settings.py, and app/gunicorn.conf.py heeds them.
    kept = {name: os.environ.pop(name) for name in ("FORWARDED_ALLOW_IPS", "WEB_CONCURRENCY") if name in os.environ}
    from gunicorn.app.wsgiapp import run  # type: ignore[import-untyped]  # noqa: PLC0415

    os.environ.update(kept)
    run(prog="gunicorn")


if __name__ == "__main__":
    main()

"""The first role: serves HTTP. `python -m app.web -c app/gunicorn.conf.py app.asgi:app`, with Gunicorn's arguments."""

from __future__ import annotations

import os


def main() -> None:
    """Runs until SIGTERM."""
    # Gunicorn reads it while it is imported, and ends with a traceback where it is no number. Whether it is one says
    # app/settings.py, and app/gunicorn.conf.py heeds it.
    workers = os.environ.pop("WEB_CONCURRENCY", None)
    from gunicorn.app.wsgiapp import run  # type: ignore[import-untyped]  # noqa: PLC0415

    if workers is not None:
        os.environ["WEB_CONCURRENCY"] = workers
    run(prog="gunicorn")


if __name__ == "__main__":
    main()

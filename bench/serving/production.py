"""The service as the image starts it, with the route that does nothing added. Read by Gunicorn."""

from __future__ import annotations

from app.asgi import app
from bench.serving.routes import router

app.include_router(router)

__all__ = ["app"]

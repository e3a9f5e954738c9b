"""The service with a route of a team's own, which lets nobody in. Run by Gunicorn: `tests.lab.guarded:app`."""

from __future__ import annotations

from fastapi import HTTPException

from app.asgi import app


@app.get("/private/{place}")
async def private(place: str) -> None:
    raise HTTPException(401 if place == "door" else 403)

"""What both sides serve: the service's own routes, and one that does nothing."""

from __future__ import annotations

from fastapi import APIRouter

from bench.serving.paths import NOTHING

router = APIRouter()


@router.get(NOTHING)
async def nothing() -> dict[str, str]:
    """As little as a route can do: the worst case for everything around it."""
    return {"status": "ok"}

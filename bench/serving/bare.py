"""The same routes without what production adds: FastAPI, the links, their database. Read by Uvicorn."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from app.database import Database
from app.links.routes import router as links
from app.links.store import LinkStore
from app.local_schema import prepare_local_schema
from app.settings import load_settings_or_exit
from bench.serving.routes import router

_settings = load_settings_or_exit()


@asynccontextmanager
async def _lifespan(_app: FastAPI) -> AsyncIterator[None]:
    await prepare_local_schema(_settings)
    yield


app = FastAPI(lifespan=_lifespan, redoc_url=None)
app.state.links = LinkStore(Database.of_service(_settings))
app.include_router(links)
app.include_router(router)

"""Every route has one name, however it was put into the application."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Host, Mount, Route
from starlette.types import Receive, Scope, Send

from app.route_names import RouteNames


async def answer() -> str:
    return "here"


async def plain(_request: Any) -> PlainTextResponse:
    return PlainTextResponse("here")


async def opaque(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse("here")(scope, receive, send)


def router(path: str) -> APIRouter:
    made = APIRouter()
    made.add_api_route(path, answer)
    return made


class Named:
    """Asks for the name where the access middleware does: around the whole application."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self._names = RouteNames(app.router.routes)
        self.last: str | None = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        root_path = scope.get("root_path", "")
        try:
            await self._app(scope, receive, send)
        finally:
            self.last = self._names.of(scope, root_path=root_path)


@pytest.fixture(params=["", "/behind/a/proxy"], ids=["", "root_path"])
def named(request: pytest.FixtureRequest) -> Iterator[tuple[Named, str]]:
    app = FastAPI()
    app.add_api_route("/items/{item}", answer)
    app.include_router(router("/{slug}/page"), prefix="/first")
    # The same router twice: the route alone doesn't tell which one it was.
    twice = router("/{thing}")
    app.include_router(twice, prefix="/a")
    app.include_router(twice, prefix="/b/{kind}")
    outer = APIRouter()
    outer.include_router(router("/deep/{x}"), prefix="/inner")
    app.include_router(outer, prefix="/outer")
    app.add_route("/plain/{y}", plain)
    below = FastAPI()
    below.add_api_route("/leaf/{z}", answer)
    below.mount("/more", Starlette(routes=[Route("/bottom/{q}", plain)]))
    app.mount("/mounted", below)
    app.router.routes.append(Mount("/tenants/{tenant}", routes=[Route("/home/{h}", plain)]))
    app.mount("/opaque", opaque)
    app.router.routes.append(Host("other.test", Starlette(routes=[Route("/on/{host}", plain)])))
    yield Named(app), request.param


CASES = {
    "/items/1": "/items/{item}",
    "/first/s/page": "/first/{slug}/page",
    "/a/1": "/a/{thing}",
    "/b/k/1": "/b/{kind}/{thing}",
    "/outer/inner/deep/1": "/outer/inner/deep/{x}",
    "/plain/1": "/plain/{y}",
    "/docs": "/docs",
    "/mounted/leaf/1": "/mounted/leaf/{z}",
    "/mounted/more/bottom/1": "/mounted/more/bottom/{q}",
    "/tenants/me/home/1": "/tenants/{tenant}/home/{h}",
    "/opaque/what/ever": "/opaque",
    "/no/such/thing/1": None,
    "/mounted/nothing": None,
    "/tenants/me/nothing": None,
}


@pytest.mark.parametrize("path", CASES)
async def test_a_route_is_named_by_its_whole_template(named: tuple[Named, str], path: str) -> None:
    app, root_path = named
    transport = httpx.ASGITransport(app, root_path=root_path)
    async with httpx.AsyncClient(transport=transport, base_url="http://links.test") as client:
        for _ in range(2):
            status = (await client.get(root_path + path)).status_code
            assert (app.last, status) == (CASES[path], 200 if CASES[path] else 404)


async def test_a_wrong_method_is_still_the_route(named: tuple[Named, str]) -> None:
    app, root_path = named
    transport = httpx.ASGITransport(app, root_path=root_path)
    async with httpx.AsyncClient(transport=transport, base_url="http://links.test") as client:
        for path in ("/items/1", "/a/1", "/mounted/leaf/1", "/plain/1"):
            assert (await client.delete(root_path + path)).status_code == 405
            assert app.last == CASES[path]


async def test_routes_of_another_host_are_named_too(named: tuple[Named, str]) -> None:
    app, root_path = named
    transport = httpx.ASGITransport(app, root_path=root_path)
    async with httpx.AsyncClient(transport=transport, base_url="http://other.test") as client:
        assert (await client.get(root_path + "/on/1")).status_code == 200
    assert app.last == "/on/{host}"


async def test_a_route_that_is_added_later_is_named_too() -> None:
    app = Named(FastAPI())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://links.test") as client:
        await client.get("/docs")
        app._app.add_api_route("/late/{x}", answer)
        await client.get("/late/1")
    assert app.last == "/late/{x}"

"""The template of the route that answered a request, as log lines and metrics name it: `/links/{slug}`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fastapi.routing import RouteContext, iter_route_contexts
from starlette.routing import BaseRoute, Match
from starlette.types import Scope


class RouteNames:
    """Knows the full template of every route, prefixes and mounts included.

    The router leaves the route it chose in the scope, so naming it is a look into a dictionary. Only what that
    can't tell (mounts, and routers that are included twice) is matched a second time.
    """

    def __init__(self, routes: Sequence[BaseRoute]) -> None:
        self._routes = routes
        self._templates: dict[int, tuple[BaseRoute, str | None]] | None = None

    def of(self, scope: Scope, *, root_path: str) -> str | None:
        """None when no route matched. `root_path` is the one that the request came with: mounts add to it."""
        if "endpoint" not in scope:
            return None
        # Set by mounts, whose routes name themselves without the mount.
        if "app_root_path" not in scope and (template := self._known(scope.get("route"))):
            return template
        return _matched({**scope, "root_path": root_path}, self._routes)

    def _known(self, route: BaseRoute | None) -> str | None:
        if self._templates is None:
            self._templates = _templates(self._routes)
        # By identity: routes have no hash. The route is kept beside its template, so that its id stays its own.
        return self._templates.get(id(route), (None, None))[1]


def _templates(routes: Sequence[BaseRoute]) -> dict[int, tuple[BaseRoute, str | None]]:
    """None for a route that is reachable by several templates."""
    found: dict[int, tuple[BaseRoute, str | None]] = {}
    for context in iter_route_contexts(routes):
        route = context.original_route
        known = found.get(id(route))
        found[id(route)] = (route, context.path if known is None else None)
    return found


def _matched(scope: Scope, routes: Iterable[BaseRoute]) -> str | None:
    """The template by the routes' own matching: a full match wins over one whose method is wrong."""
    partial: str | None = None
    for context in iter_route_contexts(list(routes)):
        match, child_scope = context.matches(scope)
        if match is Match.NONE or (template := _template(context, {**scope, **child_scope})) is None:
            continue
        if match is Match.FULL:
            return template
        partial = partial or template
    return partial


def _template(context: RouteContext, scope: Scope) -> str | None:
    inner: list[BaseRoute] | None = getattr(context, "routes", None)
    if not inner:
        return context.path
    below = _matched(scope, inner)
    return None if below is None else (context.path or "") + below

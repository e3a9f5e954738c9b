"""Ways from one page to another. A page's uid is `portside-` and its module's name."""

from __future__ import annotations

from typing import Any

TAG = "portside"


def uid(page: str) -> str:
    return f"{TAG}-{page}"


def logs_of(**labels: str) -> dict[str, Any]:
    """A link from a line of a graph to its logs; `route="handler"`: the page's $route is the line's label handler."""
    chosen = "".join(f"&var-{name}=${{__field.labels.{label}:percentencode}}" for name, label in labels.items())
    return {
        "title": "Logs",
        "url": f"/d/{uid('logs')}?${{__url_time_range}}&${{service:queryparam}}&${{env:queryparam}}{chosen}",
    }


def all_pages() -> list[dict[str, Any]]:
    """The menu of the other pages; what was chosen here stays chosen there."""
    return [
        {
            "type": "dashboards",
            "title": "Portside",
            "icon": "external link",
            "tooltip": "The other pages",
            "tags": [TAG],
            "asDropdown": True,
            "includeVars": True,
            "keepTime": True,
            "targetBlank": False,
        }
    ]

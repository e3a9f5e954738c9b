"""`python -m observability.dashboards`: write every dashboard's JSON."""

from __future__ import annotations

import json
from pathlib import Path

from observability.dashboards.dashboard import Dashboard
from observability.dashboards.pages import PAGES

FOLDER = Path(__file__).parents[1] / "grafana" / "dashboards"


def text(page: Dashboard) -> str:
    """What the page's file holds: the same page gives the same bytes."""
    return json.dumps(page.as_json(), indent=2, ensure_ascii=False) + "\n"


def write(folder: Path = FOLDER) -> None:
    """Write the pages, and remove those that are no more."""
    folder.mkdir(parents=True, exist_ok=True)
    names = {f"{page.name}.json" for page in PAGES}
    for file in folder.glob("*.json"):
        if file.name not in names:
            file.unlink()
    for page in PAGES:
        (folder / f"{page.name}.json").write_text(text(page))


if __name__ == "__main__":
    write()

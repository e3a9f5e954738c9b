"""Services to ship that are more than the tiny one."""

from __future__ import annotations

import shutil
from pathlib import Path

from portside.lab.values import Lab, LabHost
from tests.lab.project import REPOSITORY, Project, new_project


def links_project(root: Path, lab: Lab, host: LabHost | None = None) -> Project:
    """This repository's own service in a copy of the tree, shipped to one host (the first)."""
    project = new_project(root, lab, (host or lab.hosts[0],), {})
    for name in ("app", "compose"):
        shutil.copytree(REPOSITORY / name, root / name, dirs_exist_ok=True)
    for name in ("Dockerfile", ".dockerignore", "pyproject.toml", "uv.lock", "README.md"):
        if (REPOSITORY / name).exists():
            shutil.copy(REPOSITORY / name, root / name)
    project.service |= {
        "name": "links",
        "accessories": "compose/accessories.yaml",
        "before_switch": ["-m", "app.migrate"],
    }
    project.environment |= {
        "bake": 1,
        "start_deadline": 60,
        "env": {"DATABASE_URL": "postgresql://links:${POSTGRES_PASSWORD}@postgres:5432/links"},
        "secrets": {"POSTGRES_PASSWORD": "generated:POSTGRES_PASSWORD"},
    }
    return project

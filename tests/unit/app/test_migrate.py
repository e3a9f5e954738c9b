"""Migrations, on SQLite; what needs PostgreSQL is in tests/lab/test_app_postgres.py."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, text

import app.migrations
from app.migrate import MIGRATIONS, migrate
from app.models import Base
from app.schema_version import REQUIRED_REVISION, SchemaVersion
from app.settings import Settings

ROOT = Path(__file__).parents[3]


def run(*arguments: str, data_dir: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "DATA_DIR": str(data_dir)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.mark.slow
async def test_the_command_can_be_run_twice(tmp_path: Path, settings: Settings) -> None:
    first = run("-m", "app.migrate", data_dir=tmp_path)
    assert (first.returncode, first.stderr) == (0, ""), first.stdout
    assert f"migrated from nothing to {REQUIRED_REVISION}" in first.stdout
    await migrate(settings)


@pytest.mark.slow
async def test_two_at_once_both_succeed(settings: Settings, tmp_path: Path) -> None:
    """As the processes of a service with a new file do. One in twenty pairs failed when each turned the log on."""
    for number in range(40):
        folder = tmp_path / str(number)
        folder.mkdir()
        new = settings.model_copy(update={"data_dir": folder})
        await asyncio.gather(migrate(new), migrate(new))
        with database_of(folder) as connection:
            assert connection.execute(text("PRAGMA journal_mode")).scalar_one() == "wal"


async def test_a_checkout_may_have_any_path(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "50%(x)s off"
    elsewhere.symlink_to(MIGRATIONS)
    monkeypatch.setattr("app.migrate.MIGRATIONS", elsewhere)
    await migrate(settings)


async def test_an_older_release_leaves_a_newer_schema_alone(settings: Settings, tmp_path: Path) -> None:
    await migrate(settings)
    with database_of(tmp_path) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        connection.commit()
    await migrate(settings)
    with database_of(tmp_path) as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one() == "9999"


async def test_migrating_for_a_release_that_is_too_old_fails(settings: Settings, tmp_path: Path) -> None:
    await migrate(settings)
    with database_of(tmp_path) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        connection.execute(text("UPDATE schema_support SET revision = '9999'"))
        connection.commit()
    with pytest.raises(RuntimeError, match="supports releases from 9999"):
        await migrate(settings)


async def test_the_models_are_what_the_migrations_make(settings: Settings, tmp_path: Path) -> None:
    await migrate(settings)

    def is_ours(name: str | None, kind: str, _parents: Any) -> bool:
        return kind != "table" or name in Base.metadata.tables

    with database_of(tmp_path) as connection:
        context = MigrationContext.configure(connection, opts={"include_name": is_ours})
        assert compare_metadata(context, Base.metadata) == []


def test_the_required_revision_is_the_newest_and_revisions_only_grow() -> None:
    scripts = ScriptDirectory(str(Path(app.migrations.__file__).parent))
    revisions = [script.revision for script in reversed(list(scripts.walk_revisions()))]
    assert revisions[-1] == REQUIRED_REVISION
    assert revisions == sorted(revisions)
    assert all(len(revision) == 4 and revision.isdecimal() for revision in revisions)


@pytest.mark.parametrize(
    ("revision", "oldest_compatible", "usable"),
    [
        ("0003", "0001", True),
        ("0004", "0001", True),
        ("0004", "0003", True),
        ("0002", "0001", False),
        ("0005", "0004", False),
    ],
)
def test_a_release_made_for_0003_runs_on(revision: str, oldest_compatible: str, usable: bool) -> None:
    problem = SchemaVersion(revision, oldest_compatible).problem_for("0003")
    assert (problem is None) is usable


async def test_a_service_that_finds_its_schema_in_place_does_not_load_alembic(
    tmp_path: Path, settings: Settings
) -> None:
    await migrate(settings)
    code = (
        "import asyncio, sys; from app.migrate import migrate; from app.settings import load_settings;"
        "asyncio.run(migrate(load_settings())); sys.exit('alembic' in sys.modules)"
    )
    assert run("-c", code, data_dir=tmp_path).returncode == 0


def database_of(data_dir: Path) -> Connection:
    return create_engine(f"sqlite:///{data_dir}/links.db").connect()

"""Settings are right, or the process says in one line which one isn't."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from app.database_url import DatabaseUrl, DatabaseUrlError
from app.settings import SettingsError, load_settings

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("postgres://u:p@db/links", "postgresql+asyncpg://u:p@db/links"),
        ("postgresql://u:p%40@db:6432/links", "postgresql+asyncpg://u:p%40@db:6432/links"),
        ("postgresql://u:p@:4@db:6432/links", "postgresql+asyncpg://u:p%40:4@db:6432/links"),
        ("postgresql+asyncpg://db/links", "postgresql+asyncpg://db/links"),
        ("postgresql://u:p[2]@[::1]:6432/links", "postgresql+asyncpg://u:p[2]@[::1]:6432/links"),
        ("sqlite:////data/links.db", "sqlite+aiosqlite:////data/links.db"),
    ],
)
def test_database_urls_are_taken_as_people_write_them(text: str, url: str) -> None:
    assert DatabaseUrl.parse(text).url == url


@pytest.mark.parametrize(
    ("query", "dsn"),
    [
        ("sslmode=require", "postgresql:///?sslmode=require"),
        ("ssl=require", "postgresql:///?sslmode=require"),
        ("sslmode=verify-full&sslrootcert=/etc/hosts", "postgresql:///?sslmode=verify-full&sslrootcert=%2Fetc%2Fhosts"),
        ("channel_binding=require&connect_timeout=10", ""),
        ("user=u&password=p&options=-c%20a%3Db", "postgresql:///?user=u&password=p&options=-c+a%3Db"),
    ],
)
def test_parameters_reach_asyncpg_as_libpq_has_them(query: str, dsn: str) -> None:
    parsed = DatabaseUrl.parse(f"postgresql://db/links?{query}")
    assert (parsed.url, parsed.dsn) == ("postgresql+asyncpg://db/links", dsn)


@pytest.mark.parametrize(
    ("text", "dsn"),
    [
        ("postgresql://u:p@a,b/links", "postgresql:///?host=a%2Cb"),
        ("postgresql://u:p@a:1,b:2/links", "postgresql:///?host=a%3A1%2Cb%3A2"),
        ("postgresql://u:p@/links?host=a:1&host=b:2", "postgresql:///?host=a%3A1%2Cb%3A2"),
        ("postgresql://u:p@a/links?host=/cloudsql/a:b", "postgresql:///?host=%2Fcloudsql%2Fa%3Ab"),
        ("postgresql://u:p@[::1],[::2]:2/links", "postgresql:///?host=%5B%3A%3A1%5D%2C%5B%3A%3A2%5D%3A2"),
        ("postgresql://u:p@a,[::2]/links", "postgresql:///?host=a%2C%5B%3A%3A2%5D"),
        ("postgresql://u:p@:6432/links?host=db.internal", "postgresql:///?host=db.internal&port=6432"),
        ("postgresql://u:p@a:1/links?host=b&port=2", "postgresql:///?host=b&port=2"),
        ("postgresql://u:p@a:1/links?host=b:2", "postgresql:///?host=b%3A2"),
    ],
)
def test_several_hosts_and_a_socket_may_be_named_as_libpq_has_them(text: str, dsn: str) -> None:
    parsed = DatabaseUrl.parse(text)
    assert (parsed.url, parsed.dsn) == ("postgresql+asyncpg://u:p@/links", dsn)


def test_what_is_sqlalchemy_s_own_stays_in_its_url() -> None:
    parsed = DatabaseUrl.parse("postgresql://db/links?prepared_statement_cache_size=0&sslmode=require")
    assert parsed.url == "postgresql+asyncpg://db/links?prepared_statement_cache_size=0"
    assert parsed.dsn == "postgresql:///?sslmode=require"


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("pgbouncer=true&schema=a", "unknown parameters after the ?: pgbouncer, schema"),
        ("sslrootcert=/no/hunter2", "sslrootcert names no file that can be read"),
        ("sslmode=hunter2", "sslmode has to be one of allow, disable, prefer, require, verify-ca, verify-full"),
        ("hunter2%40db%2Flinks=1", "unknown parameters after the ?"),
    ],
)
def test_a_parameter_that_nobody_would_heed_is_refused(query: str, said: str) -> None:
    with pytest.raises(DatabaseUrlError) as refused:
        DatabaseUrl.parse(f"postgresql://db/links?{query}")
    assert str(refused.value) == said


@pytest.mark.parametrize(
    "text",
    [
        "mysql://db/links",
        "links",
        "postgresql://db",
        "postgresql://u:p4ss@[::1/x",
        "postgresql://u:p4ss@a:1,b:p4ss/x",
        "postgresql://u:p4ss@a,b:0/x",
        "sqlite:///:memory:",
    ],
)
def test_an_unusable_database_url_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(DatabaseUrlError) as refused:
        DatabaseUrl.parse(text)
    assert "p4ss" not in str(refused.value)


def test_the_password_is_not_in_any_repr(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://links:hunter2@db/links")
    settings = load_settings()
    assert "hunter2" not in f"{settings!r} {settings} {settings.database!r}"
    assert "hunter2" in settings.database.url


def test_without_a_database_url_there_is_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    assert load_settings().database.url == f"sqlite+aiosqlite:///{tmp_path}/links.db"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "http"),
        ("LOG_LEVEL", "loud"),
        ("WEB_CONCURRENCY", "0"),
        ("APP_RELEASE", "with space"),
        ("DATABASE_URL", "mysql://db/links"),
        ("GRACE_PERIOD", "1"),
        ("FORWARDED_ALLOW_IPS", "10.0.0.1,proxy"),
        ("FORWARDED_ALLOW_IPS", "10.0.0.1/8"),
    ],
)
def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=f"^{name}: "):
        load_settings()


def test_draining_has_to_leave_time_for_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRACE_PERIOD", "10")
    monkeypatch.setenv("DRAIN_DELAY", "9")
    with pytest.raises(SettingsError, match="DRAIN_DELAY"):
        load_settings()


@pytest.mark.parametrize("log_level", ["debug", "Info", "WARNING"])
def test_the_log_level_may_be_written_in_any_case(monkeypatch: pytest.MonkeyPatch, log_level: str) -> None:
    monkeypatch.setenv("LOG_LEVEL", log_level)
    assert load_settings().log_level == log_level.upper()


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [["app.web", "-c", "app/gunicorn.conf.py", "app.asgi:app"], ["app.worker"], ["app.migrate"]],
    ids=["web", "worker", "migrate"],
)
def test_a_wrong_setting_ends_every_role_with_one_json_line(command: list[str]) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        env={
            "DATABASE_URL": "mysql://links:hunter2@db/links",
            "FORWARDED_ALLOW_IPS": "proxy",
            "PORT": "x",
            "WEB_CONCURRENCY": "auto",
        },
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert ended.returncode == 78
    (line,) = ended.stdout.splitlines()
    message = json.loads(line)["message"]
    assert "DATABASE_URL: expected a URL that starts with" in message
    assert "FORWARDED_ALLOW_IPS: " in message
    assert "PORT: " in message
    assert "WEB_CONCURRENCY: " in message
    assert ended.stderr == ""
    assert "hunter2" not in ended.stdout


@pytest.mark.slow
@pytest.mark.parametrize("directory", ["/proc/metrics", "/dev/null"])
def test_a_directory_for_metrics_that_cannot_be_used_ends_it_the_same_way(directory: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "app.web", "-c", "app/gunicorn.conf.py", "app.asgi:app"],
        cwd=ROOT,
        env={"PROMETHEUS_MULTIPROC_DIR": directory},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (78, "")
    (line,) = ended.stdout.splitlines()
    assert f"PROMETHEUS_MULTIPROC_DIR: {directory} can't be written to: " in json.loads(line)["message"]


@pytest.mark.parametrize("networks", ["*", "10.0.0.1, 10.1.0.0/16", "::1,fd00::/8"])
def test_proxies_are_addresses_or_networks(monkeypatch: pytest.MonkeyPatch, networks: str) -> None:
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", networks)
    assert load_settings().forwarded_allow_ips == networks.replace(" ", "")


def test_a_secret_may_be_a_file_and_a_variable_comes_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.settings.SECRETS", tmp_path)
    monkeypatch.delenv("DATABASE_URL", raising=False)
    (tmp_path / "DATABASE_URL").write_text("postgresql://u:p@db/links")
    assert load_settings().database.url == "postgresql+asyncpg://u:p@db/links"
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:p@other/links")
    assert load_settings().database.url == "postgresql+asyncpg://u:p@other/links"


def test_a_secret_that_cannot_be_read_is_named_and_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.settings.SECRETS", tmp_path)
    monkeypatch.delenv("DATABASE_URL", raising=False)
    (tmp_path / "DATABASE_URL").write_bytes(b"postgresql://u:hunter2@db/\xff")
    with pytest.raises(SettingsError, match=f"database_url.*UnicodeDecodeError.*{tmp_path}") as refused:
        load_settings()
    assert "hunter2" not in str(refused.value)

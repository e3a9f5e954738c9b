"""The gates, for people and for CI: `nox` runs the default ones, `nox -s NAME` one, `nox --list` names all.

Sessions take what follows `--` as arguments of the tool behind them: `nox -s tests -- -k slots`.
"""

from __future__ import annotations

import nox

nox.needs_version = ">=2025.10"
nox.options.default_venv_backend = "uv"
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["lint", "types", "tests", "rules", "lab"]

PYTHON_FILES = ("app", "portside", "observability", "bench", "tests", "tasks.py", "noxfile.py")


def install(session: nox.Session, *groups: str, service: bool = True) -> None:
    """Exactly what uv.lock says of these dependency groups, and of the service itself where it is looked at."""
    session.run_install(
        "uv",
        "sync",
        "--quiet",
        "--locked",
        "--no-default-groups",
        *(["--no-install-project"] if service else ["--only-group", groups[0]]),
        *(f"--group={group}" for group in groups),
        env={"UV_PROJECT_ENVIRONMENT": session.virtualenv.location},
    )


@nox.session
def lint(session: nox.Session) -> None:
    """Style, layers, YAML, shell scripts."""
    install(session, "lint", "engine")
    session.run("ruff", "check", *PYTHON_FILES)
    session.run("ruff", "format", "--check", *PYTHON_FILES)
    session.run("lint-imports")
    session.run("yamllint", "--strict", "compose", "observability", ".github")


@nox.session
def types(session: nox.Session) -> None:
    """mypy, strict, on everything that is shipped or ships."""
    install(session, "lint", "engine", "gates", "test")
    session.run("mypy", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """Unit tests: pure, fast, no Docker."""
    install(session, "test", "engine", "lint")
    session.run("pytest", "tests/unit", "-n", "2", "--quiet", *session.posargs)


@nox.session
def rules(session: nox.Session) -> None:
    """Alerts, routes and messages, as Prometheus and Alertmanager judge them; fetches promtool and amtool."""
    install(session, "test", "engine")
    session.run("pytest", "tests/rules", "-n", "2", "--quiet", *session.posargs)


@nox.session
def lab(session: nox.Session) -> None:
    """Against real hosts with real Docker Engines, a real registry, a real PostgreSQL. Minutes."""
    install(session, "test", "engine")
    session.run("python", "-m", "portside.engine", "ssh=openssh-client")
    pytest = ("pytest", "--quiet", "--durations=15")
    if session.posargs:
        # Files, where some are named, instead of all of them.
        named = any(argument.startswith("tests/") for argument in session.posargs)
        session.run(*pytest, *(() if named else ("tests/lab",)), *session.posargs)
        return
    session.run(*pytest, "tests/lab", "-n", "2", "--dist", "loadfile", "-m", "not alone")
    session.run(*pytest, "tests/lab", "-m", "alone")


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Speed, as ratios measured in one run (docs/benchmarks.md)."""
    install(session, "engine", "gates")
    session.run("invoke", "bench", *session.posargs)

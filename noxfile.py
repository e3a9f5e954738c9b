"""The gates, for people and for CI: `nox` runs the default ones, `nox -s NAME` one, `nox --list` names all.

Sessions take what follows `--` as arguments of the tool behind them: `nox -s tests -- -k slots`.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import nox
from nox.command import CommandFailed

nox.needs_version = ">=2025.10"
nox.options.default_venv_backend = "uv"
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["lint", "types", "tests", "slow", "docs", "rules", "lab"]

# Parts of the lab with a session each: `lab` itself, which everybody runs, is to end while one waits for it.
PARTS = ("judge", "hosts", "pipeline", "secrets", "monitoring", "swarm")
# What pytest ends with when a half has no tests.
NOTHING_TO_RUN = 5
# Where the environment forbids compiled code beside the sources, every process of every test compiled all anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

SHELL_SCRIPTS = "portside/host/scripts"
PYTHON_FILES = ("app", "portside", "observability", "bench", "tests", "tasks.py", "noxfile.py")

SCHEMAS = {
    "vendor.github-workflows": "workflows/*.yml",
    "custom.github-workflows-require-timeout": "workflows/*.yml",
    "vendor.dependabot": "dependabot.yml",
    "vendor.github-issue-forms": "ISSUE_TEMPLATE/[!c]*.yml",
    "vendor.github-issue-config": "ISSUE_TEMPLATE/config.yml",
}


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


def tracked(session: nox.Session, pattern: str) -> list[str]:
    """The files of the repository that match."""
    listed = session.run("git", "ls-files", "--", pattern, external=True, silent=True)
    return str(listed).splitlines()


def shell_scripts(session: nox.Session) -> list[str]:
    """Every shell script but the parts of SHELL_SCRIPTS, which `tests` checks put together, as a host gets them."""
    named = set(tracked(session, "*.sh")) - set(tracked(session, SHELL_SCRIPTS))
    others = (name for name in tracked(session, "*") if "." not in Path(name).name)
    return sorted(named | {name for name in others if is_shell(Path(name))})


def is_shell(path: Path) -> bool:
    with path.open("rb") as file:
        first = file.readline()
    return first.startswith(b"#!") and first.rstrip().endswith(b"sh")


@nox.session
def lint(session: nox.Session) -> None:
    """Style, layers, YAML, Dockerfiles, shell scripts, workflows."""
    install(session, "lint", "engine")
    session.run("ruff", "check", *PYTHON_FILES)
    session.run("ruff", "format", "--check", *PYTHON_FILES)
    session.run("lint-imports")
    session.run("yamllint", "--strict", "compose", "observability", ".github")
    session.run("hadolint", *tracked(session, "*Dockerfile"))
    session.run("shellcheck", *shell_scripts(session))
    session.run("zizmor", "--offline", "--quiet", "--strict-collection", "--persona=auditor", ".github")
    for schema, pattern in SCHEMAS.items():
        session.run("check-jsonschema", "--builtin-schema", schema, *tracked(session, f".github/{pattern}"))


@nox.session
def types(session: nox.Session) -> None:
    """mypy, strict, on everything that is shipped or ships."""
    install(session, "lint", "engine", "gates", "test")
    session.run("mypy", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """Unit tests that are fast: no Docker, no server that has to start."""
    unit_tests(session, "not slow")


@nox.session
def slow(session: nox.Session) -> None:
    """Unit tests that take seconds each: real servers and scanners, every story of the protocol's model."""
    unit_tests(session, "slow")


def unit_tests(session: nox.Session, marked: str) -> None:
    """Those that are marked so, or what a person names, by its file or by -k."""
    install(session, "test", "engine", "lint", "scan", "sops", "clouds")
    files = named_files(session)
    named = files or any(argument.startswith("-k") for argument in session.posargs)
    chosen = (*(() if files else ("tests/unit",)), *(() if named else ("-m", marked)))
    session.run("pytest", "-n", "2", "--quiet", *chosen, *session.posargs)


def named_files(session: nox.Session) -> bool:
    """Whether some are named, which are run instead of all of them."""
    return any(argument.startswith("tests/") for argument in session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Pages against the code: links and anchors, every command with its options, every table of keys."""
    install(session, "test", "engine", "gates")
    session.run("pytest", "tests/docs", "tests/unit/test_docs.py", "-n", "2", "--quiet", *session.posargs)


@nox.session
def rules(session: nox.Session) -> None:
    """Alerts, routes and messages, as Prometheus and Alertmanager judge them; fetches promtool and amtool."""
    install(session, "test", "engine")
    session.run("pytest", "tests/rules", "-n", "2", "--quiet", *session.posargs)


@nox.session
def lab(session: nox.Session) -> None:
    """Releases to real hosts with real Engines, a real registry, a real PostgreSQL; one fault of each kind."""
    on_hosts(session, " and ".join(f"not {part}" for part in PARTS))


@nox.session(default=False)
def judge(session: nox.Session) -> None:
    """Releases that make things worse, judged by what their users get; and what undoes one whose deployer is dead."""
    on_hosts(session, "judge")


@nox.session(default=False)
def hosts(session: nox.Session) -> None:
    """A fresh machine becomes a host, is hardened, and what somebody undoes there is found."""
    on_hosts(session, "hosts")


@nox.session(default=False)
def pipeline(session: nox.Session) -> None:
    """The workflows' own steps: build, scan, sign, ship to staging and production, tell people."""
    on_hosts(session, "pipeline")


@nox.session(default=False)
def secrets(session: nox.Session) -> None:
    """Every place that secrets come from, and that they are found nowhere they don't belong."""
    on_hosts(session, "secrets")


@nox.session(default=False)
def monitoring(session: nox.Session) -> None:
    """The stack and its agents on real hosts: what is scraped and shown, and every fault until its page has arrived."""
    on_hosts(session, "monitoring")


@nox.session(default=False)
def swarm(session: nox.Session) -> None:
    """Releases to a real Docker Swarm of three hosts, one of which loses power."""
    on_hosts(session, "swarm")


def on_hosts(session: nox.Session, marked: str) -> None:
    """The lab's tests that are marked so, or what a person names."""
    install(session, "test", "engine", "scan", "sops", "clouds")
    session.run("python", "-m", "portside.engine", "ssh=openssh-client", "jq=jq", "curl=curl")
    pytest = ("pytest", "--quiet", "--durations=15")
    if session.posargs:
        session.run(*pytest, *(() if named_files(session) else ("tests/lab", "-m", marked)), *session.posargs)
        return
    failed = False
    two_at_once = ("-n", "2", "--dist", "loadfile", "--no-loadscope-reorder")
    # What fails in the first half doesn't hide the second.
    for half in ((*two_at_once, "-m", f"{marked} and not alone"), ("-m", f"{marked} and alone")):
        try:
            session.run(*pytest, "tests/lab", *half, success_codes=[0, NOTHING_TO_RUN])
        except CommandFailed:
            failed = True
    if failed:
        session.error("tests of the lab failed")


@nox.session(default=False)
def faults(session: nox.Session) -> None:
    """Every fault in every phase on real hosts, hours; random ones: -- --seed N --minutes 30 (docs/reliability.md)."""
    install(session, "test", "engine", "scan")
    session.run("python", "-m", "portside.engine", "ssh=openssh-client")
    # Of their own, so that --json is all there is on standard output.
    session.run("python", "-m", "tests.faults", *session.posargs, stderr=sys.stderr)


@nox.session(default=False)
def scan(session: nox.Session) -> None:
    """Builds the service's image and scans it; fails as a release of it would. A copy of the database: -- --db PATH."""
    install(session, "engine", "scan")
    session.run("invoke", "scan", *session.posargs)


@nox.session(default=False, venv_backend="none")
def audit(session: nox.Session) -> None:
    """Known vulnerabilities of all that uv.lock pins, asked of osv.dev. A mirror of it: -- --service-url URL."""
    session.run("uv", "audit", "--locked", "--preview-features=audit-command", *session.posargs, external=True)


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Speed, as ratios measured in one run (docs/benchmarks.md)."""
    install(session, "engine", "gates")
    session.run("invoke", "bench", *session.posargs)

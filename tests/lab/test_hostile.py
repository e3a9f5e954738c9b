"""Whatever a name, a value or an argument has in it arrives byte for byte or is refused, and nothing of it is run."""

from __future__ import annotations

import asyncio
import json
import shlex
from collections.abc import Iterator
from itertools import cycle, product
from pathlib import Path

import pytest

from portside.lab.values import Lab, ssh_config
from tests.lab.faults import as_root
from tests.lab.project import Project, new_project

# Each would leave this file, here or on a host, as whoever ran it.
TRACE = "/tmp/portside-was-here"
INJECTIONS = (
    f"$(touch {TRACE})",
    f"`touch {TRACE}`",
    f"'; touch {TRACE} #",
    f'"; touch {TRACE} #',
    f"\ntouch {TRACE}\n",
    f"| touch {TRACE}",
    f"&& touch {TRACE}",
    f"${{IFS}}$(touch${{IFS}}{TRACE})",
    f"{{{{.ID}}}} $$(touch {TRACE})",
    f"--help -v x\\'; touch {TRACE}",
)
WHOLE = "".join(INJECTIONS)
VALUES = {
    "QUOTES": "'\"'\"'\\\"\\\\'",
    "LINES": "one\ntwo\r\nthree\n\n",
    "ENDS_IN_BACKSLASH": "C:\\",
    "DOLLARS": "$HOME $$ $1 ${ $( ${A:-b} %s %%",
    "UNICODE": "é😀\u2028\u0085\ufeff\u202e٣",
    "CONTROL": "\x01\x1b[31m\x7f\t",
    "LIKE_A_FILE": '#c\nA=b\nexport B="c"\n---\n- x: &a *a',
    "SPACES": "  begins and ends  ",
    "INJECTIONS": WHOLE,
}
DUMP = "/usr/bin/python3.13 -c 'import os,json; print(json.dumps(dict(os.environ)))'"
ARGUMENTS = "/usr/bin/python3.13 -c 'import sys,json; print(json.dumps(sys.argv[1:]))'"


@pytest.fixture
def turned_away(lab: Lab, tmp_path: Path, tiny_images: dict[str, str]) -> Project:
    """As `project`, on a host as the test before has left it: nothing gets there."""
    return new_project(tmp_path, lab, lab.hosts[:1], tiny_images)


@pytest.fixture(autouse=True)
def nothing_is_run(lab: Lab, request: pytest.FixtureRequest) -> Iterator[None]:
    """Whatever a test here does: nobody has left a trace, neither here, nor on the host, nor in a container."""
    yield
    assert not Path(TRACE).exists(), "it was run here"
    if "project" not in request.fixturenames:
        # What was turned away here and left a trace there all the same, the next test with a host finds.
        return
    # Containers' files are among the host's.
    look = f"find / -xdev -name {TRACE.rpartition('/')[2]}; ls /tmp; true"
    found = asyncio.run(as_root(lab.hosts[0], ["bash", "-c", look])).check().text
    assert TRACE.rpartition("/")[2] not in found, "it was run on the host"


def test_values_and_arguments_arrive_byte_for_byte(project: Project) -> None:
    """Values of the environment and of a secret, the hook's arguments, and those of exec."""
    expected = json.dumps(INJECTIONS).encode().hex()
    project.service["before_switch"] = ["expects", expected, *INJECTIONS]
    # With a second dollar nothing is taken in.
    project.environment["env"] = {name: value.replace("${", "$${") for name, value in VALUES.items()}
    project.environment["secrets"] = {"SECRET": "env:HOSTILE_SECRET"}
    secret = f"{WHOLE} canary"
    project.invoke("deploy", "--env", "lab", "--image", project.image(), variables={"HOSTILE_SECRET": secret})
    environment = json.loads(project.invoke("exec", "--env", "lab", DUMP).out)
    assert {name: environment[name] for name in VALUES} == VALUES
    assert environment["SECRET"] == secret
    told = project.invoke("exec", "--env", "lab", f"{ARGUMENTS} {shlex.join(INJECTIONS)}")
    assert json.loads(told.out) == list(INJECTIONS)


def test_a_hook_that_got_another_argument_would_have_said_so(project: Project) -> None:
    project.service["before_switch"] = ["expects", json.dumps(["a"]).encode().hex(), "b"]
    assert "before-switch hook ended with exit code" in project.deploy(code=7).data["why"]


def test_who_holds_a_lock_and_why_is_shown_as_it_was_given(project: Project) -> None:
    project.invoke("lock", "--env", "lab", "--message", WHOLE, "--minutes", "1", variables={"GITHUB_ACTOR": WHOLE})
    refused = project.deploy(code=6)
    assert WHOLE in refused.data["error"]
    project.invoke("unlock", "--env", "lab")
    project.invoke("status", "--env", "lab")


@pytest.mark.parametrize(
    ("where", "settings"),
    [
        ("hosts", {"hosts": [f"deploy@web;touch {TRACE}"]}),
        ("hosts", {"hosts": ["web-1 -o ProxyCommand=touch"]}),
        ("domain", {"domain": f"a.example;touch {TRACE}"}),
        ("registry", {"registry": f"registry.example.com/$(touch {TRACE})"}),
        ("platform", {"platform": f"linux/amd64;touch {TRACE}"}),
        ("http", {"http": f"0.0.0.0:80;touch {TRACE}"}),
        ("env", {"env": {f"A;touch {TRACE}": "b"}}),
        ("secrets", {"secrets": {"A": f"$(touch {TRACE}):b"}}),
        ("env", {"env": {"A": "a\0b"}}),
    ],
)
def test_what_can_be_no_name_is_refused_before_a_host_is_asked(
    where: str, settings: dict[str, object], turned_away: Project
) -> None:
    image = turned_away.image()
    turned_away.environment |= settings
    refused = turned_away.deploy(image=image, code=3)
    assert where in refused.all
    assert "Traceback" not in refused.all


@pytest.mark.parametrize("image", [*INJECTIONS, "-v", "--help", "a b", f"tiny:1;touch {TRACE}", "é", ""])
def test_what_can_be_no_image_is_refused(image: str, turned_away: Project) -> None:
    refused = turned_away.invoke("deploy", "--env", "lab", f"--image={image}", code=None)
    assert refused.code in (3, 9, 10), refused.all
    assert "Traceback" not in refused.all


def test_names_of_hosts_releases_and_services_on_the_command_line_are_no_commands(project: Project) -> None:
    project.deploy()
    commands: tuple[tuple[str, ...], ...] = (
        ("deploy", "--image", project.image(), "--host="),
        ("rollback", "--to="),
        ("logs", "--service="),
        ("exec", "true", "--service="),
    )
    # All of them to each in one name; one by one they take turns.
    for (*command, option), hostile in [*product(commands, [WHOLE]), *zip(cycle(commands), INJECTIONS, strict=False)]:
        arguments = (*command, f"{option}{hostile}")
        refused = project.invoke(arguments[0], "--env", "lab", *arguments[1:], code=None)
        assert refused.code not in (0, 70), refused.all
        assert "Traceback" not in refused.all


def test_an_alias_of_ssh_config_may_not_be_a_command_but_may_be_anything_that_is_a_name(project: Project) -> None:
    host = project.hosts[0]
    entry = ssh_config(project.lab.model_copy(update={"hosts": (host,)})).partition("\n")[2]
    config = project.root / "ssh_config"
    config.write_text(f"Host web_1.a-b\n{entry}")
    known = project.lab.known_hosts.read_text()
    assert host.public_key in known
    project.environment |= {"hosts": ["deploy@web_1.a-b"], "ssh_config": str(config)}
    released = project.deploy().data
    assert list(released["exchanges"]) == ["deploy@web_1.a-b"]
    config.write_text(f"Host web_1.a-b\n  Port many\n{entry}")
    refused = project.deploy("--force", code=4)
    assert "web_1.a-b" in refused.all and "Traceback" not in refused.all

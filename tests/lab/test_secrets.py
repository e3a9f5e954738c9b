"""A secret's value is on the host in one file that only its owner reads, and nowhere else."""

from __future__ import annotations

import json
import subprocess

import pytest

from tests.lab.processes import argument_lists, argument_lists_on
from tests.lab.project import Project

pytestmark = pytest.mark.secrets

CANARY = "canary-5d1f-yellow"
HOSTILE = "a\"b'c $HOME $${PATH} \\ `id` é\nsecond line; rm -rf / #"


def test_secrets_are_in_no_process_list_log_journal_or_readable_file(project: Project) -> None:
    host = project.hosts[0]
    secrets = project.root / "outside.env"
    secrets.write_text(f"FROM_FILE={CANARY}-file\n")
    secrets.chmod(0o600)
    project.environment["secrets"] = {"FROM_FILE": f"file:{secrets}#FROM_FILE", "FROM_ENV": "env:CANARY"}
    project.environment["env"] = {"COMPOSED": "postgres://user:${FROM_FILE}@db/x", "GREETING": "hi"}
    image = project.image()
    with argument_lists() as seen, argument_lists_on(project, host) as seen_there:
        outputs = [
            project.invoke("deploy", "--env", "lab", "--image", image, variables={"CANARY": f"{CANARY}-env"}).all,
            project.invoke("plan", "--env", "lab", "--image", image, variables={"CANARY": "other"}, code=2).all,
            project.invoke("rollback", "--env", "lab", code=3).all,
            project.invoke("history", "--env", "lab").all,
            project.invoke("status", "--env", "lab", "--json").all,
            project.invoke("logs", "--env", "lab").all,
        ]
    assert not [text for text in outputs if CANARY in text]
    assert not [line for line in (*seen, *seen_there) if CANARY in line]
    holding = project.shell(host, "bash", "-c", f"grep -rl {CANARY} /home/deploy || true")
    (only,) = holding.split()
    assert only.endswith("/env")
    anybody = (
        f"setpriv --reuid=65534 --clear-groups grep -rlI {CANARY} /home /tmp /var /run /etc /root 2>/dev/null || true"
    )
    assert project.shell(host, "bash", "-c", anybody) == ""
    assert project.shell(host, "stat", "-c", "%a %U", only) == "600 deploy"
    assert CANARY not in project.shell(host, "docker", "history", "--no-trunc", image)
    here = subprocess.run(["grep", "-rl", CANARY, str(project.root)], capture_output=True, text=True, check=False)
    assert here.stdout.split() == [str(secrets)]


def test_any_value_reaches_the_service_as_it_is(project: Project) -> None:
    project.environment["env"] = {"HOSTILE": HOSTILE, "EMPTY": ""}
    project.deploy()
    told = project.invoke(
        "exec", "--env", "lab", "/usr/bin/python3.13 -c 'import os,json; print(json.dumps(dict(os.environ)))'"
    )
    environment = json.loads(told.out)
    assert environment["HOSTILE"] == HOSTILE.replace("$${", "${")
    assert environment["EMPTY"] == ""
    assert environment["APP_ENV"] == "lab"


def test_every_missing_secret_is_named_at_once_before_a_host_is_asked(project: Project) -> None:
    image = project.image()
    project.environment["secrets"] = {"ONE": "env:NOT_THERE", "TWO": "file:nowhere.env#TWO"}
    refused = project.deploy(image=image, code=3)
    assert "ONE" in refused.all and "TWO" in refused.all
    assert project.containers(project.hosts[0]) == []


def test_a_secrets_file_that_others_can_read_is_refused(project: Project) -> None:
    image = project.image()
    secrets = project.root / "open.env"
    secrets.write_text("A=1\n")
    secrets.chmod(0o644)
    project.environment["secrets"] = {"A": "file:open.env#A"}
    assert "chmod 600" in project.deploy(image=image, code=3).all

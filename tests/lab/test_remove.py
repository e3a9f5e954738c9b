"""A site is taken off its hosts: nothing of it answers or runs, what others need stays, and it can come back."""

from __future__ import annotations

import httpx

from portside.lab.values import LabHost
from tests.lab.project import Project
from tests.lab.test_site import ACCESSORIES


def left(project: Project, host: LabHost) -> dict[str, str]:
    """What the Engine and the file system of a host have of the site; of images, the names that its releases had."""
    names = " ".join((project.image(), project.image("2")))
    looks = {
        "containers": "docker ps -aq --filter name=tiny-lab",
        "networks": "docker network ls -q --filter name=tiny-lab",
        "images": f"for name in {names}; do docker image ls -q $name; done",
        "files": "cd /home/deploy/.portside && find . -path '*tiny-lab*' -type f | sort",
    }
    return {what: project.shell(host, "bash", "-c", look) for what, look in looks.items()}


def test_a_site_is_taken_off_its_hosts_one_and_all_and_comes_back_with_its_data(pair: Project) -> None:
    (pair.root / "compose/accessories.yaml").write_text(ACCESSORIES)
    pair.service["accessories"] = "compose/accessories.yaml"
    pair.environment["secrets"] = {"POSTGRES_PASSWORD": "generated:POSTGRES_PASSWORD"}
    one, two = pair.hosts
    pair.deploy()
    pair.deploy(image=pair.image("2"))

    planned = pair.invoke("remove", "--env", "lab", "--dry-run", "--json").data
    assert planned["outcome"] == "planned" and planned["hosts"][one.name]["accessories"] == ["postgres"]
    refused = pair.invoke("remove", "--env", "lab", code=3).all
    assert "there is nobody to ask" in refused and "--yes" in refused
    assert httpx.get(pair.url(two)).is_success

    assert pair.invoke("remove", "--env", "lab", "--host", two.name, "--yes", "--json").data["outcome"] == "removed"
    assert httpx.get(pair.url(two)).status_code == 421
    assert httpx.get(pair.url(one)).is_success
    assert left(pair, two) | {"files": ""} == {"containers": "", "networks": "", "images": "", "files": ""}
    assert {line.rpartition("/")[2] for line in left(pair, two)["files"].splitlines()} == {
        "flock", "journal.jsonl", "token", "work.lock",
    }  # fmt: skip

    pair.invoke("remove", "--env", "lab", "--yes")
    assert httpx.get(pair.url(one)).status_code == 421
    assert left(pair, one)["containers"] == ""
    assert pair.invoke("remove", "--env", "lab", "--yes", "--json").data["outcome"] == "unchanged"
    history = pair.invoke("history", "--env", "lab", "--json").data["history"]
    assert [(row["outcome"], row["hosts"]) for row in history[:2]] == [
        ("removed", [one.name, two.name]),
        ("removed", [two.name]),
    ]
    volume = ("docker", "volume", "ls", "-q", "--filter", "name=tiny-lab-accessories_postgres")
    assert pair.shell(one, *volume)
    other = ("remove", "--env", "lab", "--name", "nobody", "--volumes", "--yes", "--json")
    assert pair.invoke(*other).data["outcome"] == "unchanged"

    # With the password that its data has.
    pair.deploy()
    assert httpx.get(pair.url(one)).is_success and httpx.get(pair.url(two)).is_success
    pair.service["name"] = "other"
    refused = pair.deploy(image=pair.image("3"), code=5).all
    assert "invoke remove --env lab --name tiny" in refused
    pair.invoke("remove", "--env", "lab", "--name", "tiny", "--volumes", "--yes")
    assert pair.shell(one, *volume) == ""
    pair.deploy(image=pair.image("3"))
    assert httpx.get(pair.url(one)).is_success

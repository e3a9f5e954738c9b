"""What differs between a release and the next: a domain, a role's name, what depends on what; and who else is there."""

from __future__ import annotations

from pathlib import Path

import httpx

from tests.lab.project import Project, new_project


def asked(project: Project, domain: str) -> httpx.Response:
    return httpx.get(project.url(), headers={"Host": domain})


def edit_compose(project: Project, old: str, new: str) -> None:
    compose = project.root / "compose/app.yaml"
    assert old in compose.read_text()
    compose.write_text(compose.read_text().replace(old, new))


def workers(project: Project) -> list[str]:
    return [name for name in project.containers(project.hosts[0]) if "web" not in name]


def test_a_changed_domain_is_asked_by_from_the_commit_on(project: Project) -> None:
    old, new = "old.example.com", "new.example.com"
    project.environment["domain"] = old
    first = project.deploy().data["release"]
    assert asked(project, old).json()["release"] == first
    assert asked(project, new).status_code == 421

    project.environment |= {"domain": new, "env": {"EXIT_AFTER": "1"}, "bake": 15}
    project.deploy(image=project.image("2"), code=7)
    assert asked(project, old).json()["release"] == first, "an undone release leaves what serves where it was"
    assert asked(project, new).status_code == 421

    project.environment |= {"env": {}, "bake": 0}
    second = project.deploy(image=project.image("2")).data["release"]
    assert asked(project, new).json()["release"] == second
    assert asked(project, old).status_code == 421
    assert project.invoke("plan", "--env", "lab", "--json", "--image", project.image("2")).data["changes"] is False


def test_a_worker_with_another_name_takes_the_old_one_s_place(project: Project) -> None:
    project.environment["keep_warm"] = True
    project.deploy()
    assert workers(project) == ["tiny-lab-blue-worker-1"]
    edit_compose(project, "  worker:\n", "  jobs:\n")
    project.environment |= {"env": {"EXIT_AFTER": "1"}, "bake": 15}
    project.deploy(image=project.image("2"), code=7)
    assert workers(project) == ["tiny-lab-blue-worker-1"]

    project.environment |= {"env": {}, "bake": 0}
    project.deploy(image=project.image("2"))
    assert workers(project) == ["tiny-lab-green-jobs-1"]
    project.invoke("rollback", "--env", "lab")
    assert workers(project) == ["tiny-lab-blue-worker-1"]


def test_a_worker_that_the_web_service_depends_on_still_starts_at_the_switch(project: Project) -> None:
    edit_compose(project, "  web:\n    <<: *hardened\n", "  web:\n    <<: *hardened\n    depends_on: [worker]\n")
    project.deploy()
    project.environment |= {"env": {"READY": "never"}, "start_deadline": 5}
    project.deploy(image=project.image("2"), code=7)
    assert workers(project) == ["tiny-lab-blue-worker-1"]
    project.environment["env"] = {}
    project.deploy(image=project.image("2"))
    assert workers(project) == ["tiny-lab-green-worker-1"]


def test_two_sites_that_would_take_the_same_requests_are_refused(project: Project, tmp_path: Path) -> None:
    first = project.deploy().data["release"]
    other = new_project(tmp_path / "other", project.lab, project.hosts, project.images)
    other.service["name"] = "other"
    refused = other.deploy(image=project.image(), code=5)
    assert "other-lab" in refused.all and "tiny-lab" in refused.all and "domain" in refused.all
    assert httpx.get(project.url()).json()["release"] == first
    other.environment["domain"] = "other.example.com"
    second = other.deploy(image=project.image()).data["release"]
    assert asked(other, "other.example.com").json()["release"] == second
    assert asked(project, "anything.example.com").json()["release"] == first

"""Going back: to the release before, or to a named one, with everything that belonged to it."""

from __future__ import annotations

import subprocess

import httpx

from tests.lab.project import Project, wait_until
from tests.lab.servers import Registry


def test_rollback_without_argument_goes_back_one_release_at_a_time(pair: Project) -> None:
    first, second, third = (pair.deploy(image=pair.image(version)).data["release"] for version in "123")
    assert pair.invoke("rollback", "--env", "lab", "--json").data["release"] == second
    assert pair.invoke("rollback", "--env", "lab", "--json").data["release"] == first
    for host in pair.hosts:
        assert httpx.get(pair.url(host)).json()["release"] == first
    refused = pair.invoke("rollback", "--env", "lab", "--json", code=3)
    assert third in refused.all, "what there is to go to is named"


def test_rollback_to_a_named_release(project: Project) -> None:
    first, _, _ = (project.deploy(image=project.image(version)).data["release"] for version in "123")
    project.invoke("rollback", "--env", "lab", "--to", first)
    assert httpx.get(project.url()).json()["release"] == first
    unknown = project.invoke("rollback", "--env", "lab", "--to", "nonsense", code=3)
    assert "names no release" in unknown.all


def test_a_dry_run_of_a_rollback_locks_nothing_and_changes_nothing(project: Project) -> None:
    _, second = (project.deploy(image=project.image(version)).data["release"] for version in "12")
    project.invoke("lock", "--env", "lab")
    assert project.invoke("rollback", "--env", "lab", "--json", "--dry-run").data["changes"] is True
    project.invoke("unlock", "--env", "lab")
    assert httpx.get(project.url()).json()["release"] == second


def test_rollback_restores_env_and_compose_of_that_release(project: Project) -> None:
    project.deploy()
    project.environment["env"] = {"GREETING": "changed"}
    project.environment["replicas"] = {"web": 3}
    compose = project.root / "compose/app.yaml"
    compose.write_text(compose.read_text().replace("  web:\n", "  web:\n    labels: { changed: 'yes' }\n"))
    project.deploy()
    host = project.hosts[0]
    assert httpx.get(project.url()).json()["greeting"] == "changed"
    assert len(project.containers(host)) == 4, "three and a worker"
    project.invoke("rollback", "--env", "lab")
    assert httpx.get(project.url()).json()["greeting"] == "hello"
    assert len(project.containers(host)) == 2
    assert project.shell(host, "docker", "ps", "-q", "--filter", "label=changed") == ""


def test_a_warm_release_is_switched_back_to_without_a_start(pair: Project) -> None:
    pair.environment["keep_warm"] = True
    first = pair.deploy().data["release"]
    pair.deploy(image=pair.image("2"))
    # In its long life a warm release may have been restarted, which is no reason against it.
    host = pair.hosts[0]
    warm = "tiny-lab-blue-web-1"
    pid = pair.shell(host, "docker", "inspect", "--format", "{{.State.Pid}}", warm)
    pair.shell(host, "kill", "-9", pid)
    restarted = ("docker", "inspect", "--format", "{{.RestartCount}} {{.State.Health.Status}}", warm)
    wait_until(lambda: pair.shell(host, *restarted) == "1 healthy", what="the warm release to be back")
    pair.environment["bake"] = 1
    back = pair.invoke("rollback", "--env", "lab", "--json").data
    assert "start" not in back["seconds"]
    for host in pair.hosts:
        assert httpx.get(pair.url(host)).json()["release"] == first
        assert len([name for name in pair.containers(host) if "worker" in name]) == 1


def test_a_host_that_went_ahead_goes_back_to_what_it_had(pair: Project) -> None:
    before = pair.deploy().data["release"]
    second = pair.deploy(image=pair.image("2")).data["release"]
    ahead = pair.hosts[1]
    pair.deploy("--host", ahead.name, image=pair.image("3"))
    assert pair.invoke("rollback", "--env", "lab", "--host", ahead.name, "--json").data["release"] == second
    assert {httpx.get(pair.url(host)).json()["release"] for host in pair.hosts} == {second}
    assert pair.invoke("rollback", "--env", "lab", "--json").data["release"] == before


def test_hosts_that_never_went_ahead_are_left_alone(pair: Project) -> None:
    first = pair.deploy().data["release"]
    ahead, behind = pair.hosts
    pair.deploy("--host", ahead.name, image=pair.image("2"))
    before = pair.shell(behind, "docker", "ps", "-aq")
    assert pair.invoke("rollback", "--env", "lab", "--json").data["release"] == first
    assert pair.shell(behind, "docker", "ps", "-aq") == before
    assert {httpx.get(pair.url(host)).json()["release"] for host in pair.hosts} == {first}
    assert pair.invoke("status", "--env", "lab", "--json").data["next"] == ""
    told = pair.invoke("history", "--env", "lab", "--json").data["history"]
    assert [row["hosts"] for row in told] == [[ahead.name], [ahead.name], [ahead.name, behind.name]]


def test_an_image_that_is_missing_is_sent_again(project: Project) -> None:
    project.deploy()
    project.deploy(image=project.image("2"))
    host = project.hosts[0]
    project.shell(host, "bash", "-c", "docker rm -f $(docker ps -aq --filter status=exited)")
    project.shell(host, "docker", "image", "rm", project.image())
    project.invoke("rollback", "--env", "lab")
    assert httpx.get(project.url()).status_code == 200


def test_an_image_that_only_another_host_has_is_copied_from_there(pair: Project) -> None:
    image = pair.image("only there")
    pair.deploy(image=image)
    pair.deploy(image=pair.image("2"))
    host = pair.hosts[1]
    pair.shell(host, "bash", "-c", "docker rm -f $(docker ps -aq --filter status=exited)")
    pair.shell(host, "docker", "image", "rm", image)
    subprocess.run(["docker", "image", "rm", image], check=True, capture_output=True)
    del pair.images["only there"]
    done = pair.invoke("rollback", "--env", "lab", "--json")
    assert "is copied from" in done.err
    assert httpx.get(pair.url(host)).status_code == 200


def test_with_a_registry_hosts_pull_by_digest_and_pull_again_for_a_rollback(
    project: Project, registry: Registry
) -> None:
    project.environment["registry"] = f"{registry.address}/acme/tiny"
    first = project.deploy().data["release"]
    project.deploy(image=project.image("2"))
    host = project.hosts[0]
    compose = project.shell(host, "cat", project.site(f"releases/{first}/compose.yaml"))
    assert f"{registry.address}/acme/tiny@sha256:" in compose
    project.shell(host, "bash", "-c", "docker rm -f $(docker ps -aq --filter status=exited)")
    project.shell(host, "docker", "image", "rm", next(line for line in compose.split() if "@sha256:" in line))
    project.invoke("rollback", "--env", "lab")
    assert httpx.get(project.url()).json()["release"] == first


def test_an_undone_warm_rollback_leaves_one_worker_and_the_warm_release_running(project: Project) -> None:
    project.environment["keep_warm"] = True
    project.deploy()
    second = project.deploy(image=project.image("2")).data["release"]
    host = project.hosts[0]
    # The worker of the release that we go back to can't be started any more: its container is in the way.
    project.shell(host, "docker", "rm", "-f", "tiny-lab-blue-worker-1")
    project.shell(host, "docker", "create", "--name", "tiny-lab-blue-worker-1", project.image())
    failed = project.invoke("rollback", "--env", "lab", code=7)
    assert "worker" in failed.all
    assert httpx.get(project.url()).json()["release"] == second
    assert project.containers(host) == [
        "tiny-lab-blue-web-1",
        "tiny-lab-green-web-1",
        "tiny-lab-green-worker-1",
    ]

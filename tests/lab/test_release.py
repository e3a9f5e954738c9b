"""What a release promises, on real hosts: all or nothing, and the old one serves until the new one does."""

from __future__ import annotations

import json
import subprocess
import time

import httpx

from tests.lab.project import Project


def test_first_deploy_serves_on_every_host(fleet: Project) -> None:
    fleet.environment["replicas"] = {"web": 2}
    outcome = fleet.deploy().data
    for host in fleet.hosts:
        assert httpx.get(fleet.url(host)).json()["release"] == outcome["release"]
        assert len(fleet.containers(host)) == 3


def test_one_host_not_ready_switches_nothing(fleet: Project) -> None:
    first = fleet.deploy().data["release"]
    # This host alone keeps its new containers from answering: their port is taken away.
    sick = fleet.hosts[1]
    # The others are ready by then on a busy machine, too.
    fleet.environment["start_deadline"] = 15
    fleet.shell(sick, "iptables", "-I", "OUTPUT", "-p", "tcp", "--dport", "8000", "-j", "REJECT")
    try:
        failed = fleet.deploy(image=fleet.image("2"), code=7)
    finally:
        fleet.shell(sick, "iptables", "-D", "OUTPUT", "-p", "tcp", "--dport", "8000", "-j", "REJECT")
    assert sick.name in failed.data["why"]
    assert failed.data["outcome"] == "undone"
    assert "switch" not in failed.data["seconds"]
    for host in fleet.hosts:
        assert httpx.get(fleet.url(host)).json()["release"] == first
        assert len(fleet.containers(host)) == 2


def test_a_container_that_exits_at_start_fails_at_once_with_its_last_words(project: Project) -> None:
    project.deploy()
    project.environment["env"] = {"EXIT_AT_START": "1"}
    project.environment["start_deadline"] = 60
    failed = project.deploy(image=project.image("2"), code=7)
    assert failed.data["seconds"]["start"] < 60, "it was not waited for until the deadline"
    assert "the moon is in the wrong phase" in failed.data["why"]
    assert len(project.containers(project.hosts[0])) == 2


def test_a_health_check_that_can_t_be_run_is_named(project: Project) -> None:
    compose = project.root / "compose/app.yaml"
    check = "web:\n    healthcheck: { test: curl http://localhost:8000/ || exit 1, interval: 1s }\n"
    compose.write_text(compose.read_text().replace("web:\n", check))
    project.environment["start_deadline"] = 5
    failed = project.deploy(code=7)
    assert 'exec: "/bin/sh": stat /bin/sh: no such file or directory' in failed.data["why"], failed.all


def test_a_release_that_dies_while_it_bakes_is_undone(project: Project) -> None:
    first = project.deploy().data["release"]
    project.environment["env"] = {"EXIT_AFTER": "2"}
    project.environment["bake"] = 30
    failed = project.deploy(image=project.image("2"), code=7)
    assert "bake" in failed.data["seconds"]
    assert "the stars are right" in failed.data["why"]
    assert httpx.get(project.url()).json()["release"] == first
    # Of release after release that fails, the images would fill the disk.
    images = project.shell(project.hosts[0], "docker", "image", "ls", "--format", "{{.Repository}}:{{.Tag}}").split()
    assert project.image() in images and project.image("2") not in images


def test_the_worker_is_never_there_twice(project: Project) -> None:
    project.deploy()
    host = project.hosts[0]
    deploying = project.start("deploy", "--env", "lab", "--json", "--image", project.image("2"))
    most = 0
    while deploying.poll() is None:
        running = [name for name in project.containers(host) if "worker" in name]
        most = max(most, len(running))
        time.sleep(0.05)
    assert deploying.returncode == 0
    assert most == 1
    assert [name for name in project.containers(host) if "worker" in name] == ["tiny-lab-green-worker-1"]


def test_a_worker_that_is_handed_over_for_the_first_time_is_back_after_an_undo(project: Project) -> None:
    """The old release starts its worker first, the new one stops the old one's first."""
    compose = project.root / "compose/app.yaml"
    handed_over = compose.read_text()
    compose.write_text(handed_over.replace("    deploy: { update_config: { order: stop-first } }\n", ""))
    project.deploy()
    compose.write_text(handed_over)
    project.environment |= {"env": {"EXIT_AFTER": "1"}, "bake": 15}
    project.deploy(image=project.image("2"), code=7)
    workers = [name for name in project.containers(project.hosts[0]) if "worker" in name]
    assert workers == ["tiny-lab-blue-worker-1"]
    project.environment |= {"env": {}, "bake": 0, "replicas": {"worker": 0}}
    project.deploy(image=project.image("2"))
    assert [name for name in project.containers(project.hosts[0]) if "worker" in name] == []


def test_web_containers_are_numbered_from_one_on_however_many_there_were(project: Project) -> None:
    """By these numbers the proxy, a drain and monitoring know them."""
    host = project.hosts[0]

    def released(version: str, replicas: int) -> list[str]:
        project.environment["replicas"] = {"web": replicas}
        project.deploy(image=project.image(version))
        (watched,) = json.loads(project.shell(host, "cat", "/home/deploy/.portside/targets/tiny-lab.json"))
        running = [name for name in project.containers(host) if "-web-" in name]
        assert watched["targets"] == [f"{name}:8000" for name in running]
        return [name.removeprefix("tiny-lab-") for name in running]

    assert released("1", 3) == ["blue-web-1", "blue-web-2", "blue-web-3"]
    assert released("2", 2) == ["green-web-1", "green-web-2"]
    assert released("3", 2) == ["blue-web-1", "blue-web-2"]
    project.shell(host, "docker", "rm", "tiny-lab-green-web-1")
    assert released("1", 2) == ["green-web-1", "green-web-2"]


def test_what_serves_without_a_record_goes_on_serving_until_the_next_release_does(project: Project) -> None:
    host = project.hosts[0]
    first = project.deploy().data["release"]
    project.shell(host, "rm", project.site("current.json"))
    project.environment["env"] = {"EXIT_AT_START": "1"}
    assert f"{first} serves as before" in project.deploy(image=project.image("2"), code=7).all
    assert httpx.get(project.url()).json()["release"] == first
    project.environment["env"] = {}
    released = project.deploy(image=project.image("2")).data
    assert (released["previous"], httpx.get(project.url()).json()["release"]) == (first, released["release"])
    assert {name.split("-")[2] for name in project.containers(host)} == {"green"}, "nothing of the first still runs"


def test_a_tag_that_moves_is_another_release_and_goes_back_to_what_it_was(project: Project) -> None:
    def serving() -> str:
        return project.shell(project.hosts[0], "docker", "inspect", "--format", "{{.Config.Image}}", *web())

    def web() -> list[str]:
        return [name for name in project.containers(project.hosts[0]) if "web-1" in name]

    one, two = project.image(), project.image("2")
    try:
        subprocess.run(["docker", "tag", one, "tiny:moving"], check=True)
        project.deploy(image="tiny:moving")
        subprocess.run(["docker", "tag", two, "tiny:moving"], check=True)
        assert project.deploy(image="tiny:moving").data["outcome"] == "released"
        assert serving() == two
        project.invoke("rollback", "--env", "lab")
        assert serving() == one
    finally:
        subprocess.run(["docker", "image", "rm", "tiny:moving"], check=False)


def test_what_serves_starts_anew_without_a_build_and_from_a_machine_that_lacks_the_image(pair: Project) -> None:
    image, other = pair.image("started anew"), pair.image("2")
    first = pair.deploy(image=image).data["release"]
    before = {host.name: pair.containers(host) for host in pair.hosts}
    # An image of this test alone: the engine is other tests' too.
    subprocess.run(["docker", "image", "rm", pair.images.pop("started anew")], check=True, capture_output=True)
    (pair.root / "Dockerfile").write_text("FROM nowhere.invalid/nothing\n")
    outcome = pair.invoke("restart", "--env", "lab", "--json").data
    assert (outcome["outcome"], outcome["previous"]) == ("released", first)
    for host in pair.hosts:
        assert httpx.get(pair.url(host)).json()["release"] == outcome["release"]
        assert not set(pair.containers(host)) & set(before[host.name])
    pair.deploy("--host", pair.hosts[0].name, image=other)
    assert "the hosts serve different images" in pair.invoke("restart", "--env", "lab", code=3).err


def test_nothing_to_do_is_said(project: Project) -> None:
    project.deploy()
    assert project.deploy().data["outcome"] == "unchanged"


def test_plan_exits_2_when_something_would_change_and_0_when_not(project: Project) -> None:
    image = project.image()
    project.invoke("plan", "--env", "lab", "--image", image, code=2)
    project.deploy()
    project.invoke("plan", "--env", "lab", "--image", image, code=0)
    project.environment["env"] = {"GREETING": "good-bye", "MORE": "1"}
    planned = project.invoke("plan", "--env", "lab", "--image", image, "--json", code=2)
    assert "MORE is added" in planned.out
    assert "good-bye" not in planned.all


def test_configs_are_files_of_their_release(project: Project) -> None:
    project.with_configs()
    image, rules = project.image(), project.root / "compose/rules.txt"

    def found() -> str:
        read = "/usr/bin/python3.13 -c \"print(open('/etc/rules').read())\""
        return project.invoke("exec", "--env", "lab", read).out.strip()

    rules.write_text("no $SMOKING")
    project.deploy(image=image)
    assert found() == "no $SMOKING"
    rules.write_text("no loitering")
    project.invoke("plan", "--env", "lab", "--image", image, code=2)
    project.deploy(image=image)
    assert found() == "no loitering"
    project.invoke("rollback", "--env", "lab")
    assert found() == "no $SMOKING"
    rules.unlink()
    assert "rules.txt can't be read" in project.deploy(image=image, code=3).all


def test_a_host_whose_clock_is_an_hour_ahead_is_refused_before_anything_is_changed(pair: Project) -> None:
    release = pair.deploy().data["release"]
    host = pair.hosts[1]
    library = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"
    ahead = f"echo +3600 >/etc/faketimerc && echo {library} >/etc/ld.so.preload"
    pair.shell(host, "bash", "-c", ahead)
    try:
        refused = pair.deploy(image=pair.image("2"), code=5)
        assert "s ahead" in refused.all
        assert host.name in refused.all
    finally:
        pair.shell(host, "rm", "/etc/ld.so.preload", "/etc/faketimerc")
    assert {httpx.get(pair.url(each)).json()["release"] for each in pair.hosts} == {release}


def test_old_releases_are_pruned(project: Project) -> None:
    project.environment["keep"] = 2
    host = project.hosts[0]
    shipped = [project.image(version) for version in "12345"]
    for image in shipped:
        project.deploy(image=image)
    kept = project.shell(host, "ls", project.site("releases")).split()
    assert len(kept) == 2
    images = project.shell(host, "docker", "image", "ls", "--format", "{{.Repository}}:{{.Tag}}").split()
    # Images of other tests stay on their host.
    assert [image for image in shipped if image in images] == shipped[-2:]

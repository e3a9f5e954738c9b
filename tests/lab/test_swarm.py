"""A release to a Docker Swarm: three nodes, one stack beside the other, and the same promises as on single hosts."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from portside.lab.values import Lab, LabHost
from portside.load import load_process
from tests.lab.faults import as_root, boot, kill
from tests.lab.project import Project, new_project, wait_until
from tests.lab.servers import Registry
from tests.lab.services import links_project
from tests.lab.test_traffic import READS, WRITES, command, failures, loaded, total

# Nodes that a busy machine keeps from answering are gone to a Swarm.
pytestmark = [pytest.mark.swarm, pytest.mark.alone]

SECRET = "a-secret-value-that-nobody-should-see"
TASKS = "{{.Name}} {{.Node}} {{.CurrentState}}"


def root(host: LabHost, *argv: str) -> str:
    return asyncio.run(as_root(host, list(argv))).check().text


def join(lab: Lab, role: str = "manager") -> None:
    """The first host leads. All of them as managers: any one of them may be killed."""
    first, *others = lab.hosts
    root(first, "docker", "swarm", "init", "--advertise-addr", first.address)
    token = root(first, "docker", "swarm", "join-token", "--quiet", role)
    for host in others:
        root(host, "docker", "swarm", "join", "--token", token, f"{first.address}:2377")


@pytest.fixture
def swarm(clean_hosts: Lab, tmp_path: Path, tiny_images: dict[str, str], registry: Registry) -> Iterator[Project]:
    """A project that ships the tiny service to the three hosts as one Swarm; afterwards they are single hosts again."""
    join(clean_hosts)
    project = new_project(tmp_path, clean_hosts, clean_hosts.hosts, tiny_images)
    project.environment |= {
        "orchestrator": "swarm",
        "registry": f"{registry.address}/acme/tiny",
        "start_deadline": 60,
        "replicas": {"web": 3},
    }
    try:
        yield project
    finally:
        leave(clean_hosts)


@pytest.fixture
def one_manager(swarm: Project) -> Project:
    """The same, of which one manages and two only work; it is not the first that is asked."""
    leave(swarm.lab)
    join(swarm.lab, "worker")
    first, *others = swarm.hosts
    swarm.hosts = (*others, first)
    return swarm


def leave(lab: Lab) -> None:
    for host in lab.hosts:
        asyncio.run(as_root(host, ["docker", "swarm", "leave", "--force"]))


def serving(project: Project) -> set[str]:
    """Which releases answer, asked at every node."""
    return {httpx.get(project.url(host)).json()["release"] for host in project.hosts}


def services(project: Project) -> dict[str, str]:
    """The Swarm's services with how many of their containers run."""
    listed = root(project.hosts[0], "docker", "service", "ls", "--format", "{{.Name}} {{.Replicas}}")
    return dict(line.split(" ", 1) for line in listed.splitlines())


def wait_until_only(project: Project, slot: str) -> None:
    """One slot's stack runs; the other's is gone, or scaled to nothing for a rollback."""
    wanted = [f"tiny-lab-{slot}_{service}" for service in ("web", "worker")]
    wait_until(
        lambda: sorted(name for name, tasks in services(project).items() if not tasks.endswith("/0")) == wanted,
        what=f"{slot} alone to run",
    )


def test_a_stack_is_deployed_and_every_node_serves_it(swarm: Project) -> None:
    outcome = swarm.deploy().data
    assert serving(swarm) == {outcome["release"]}
    assert services(swarm) == {"tiny-lab-blue_web": "3/3", "tiny-lab-blue_worker": "1/1"}


async def test_deploys_rollbacks_and_failed_releases_drop_no_request(swarm: Project) -> None:
    one, two = swarm.image(), swarm.image("2")
    first = swarm.deploy(image=one).data["release"]
    async with loaded(swarm, [READS, WRITES]) as reports:
        assert (await command(swarm, "deploy", "--env", "lab", "--image", two)).code == 0
        assert (await command(swarm, "rollback", "--env", "lab")).code == 0
        swarm.environment["env"] = {"READY": "never"}
        swarm.environment["start_deadline"] = 25
        failed = await command(swarm, "deploy", "--env", "lab", "--json", "--image", two)
        assert failed.code == 7
        assert "GET /readiness on port 8000 answers 503" in failed.data["why"], failed.all
        while total(reports()) < 10_000:
            await asyncio.sleep(0.2)
    assert failures(reports()) == []
    assert sum(report.kinds["write"].requests for report in reports()) > 1000
    assert serving(swarm) == {first}
    await asyncio.to_thread(wait_until_only, swarm, "blue")
    outcomes = [
        (row["kind"], row["outcome"]) for row in swarm.invoke("history", "--env", "lab", "--json").data["history"]
    ]
    assert outcomes == [("deploy", "undone"), ("rollback", "released"), ("deploy", "released"), ("deploy", "released")]


def test_the_stack_says_what_a_swarm_operator_expects(swarm: Project) -> None:
    swarm.deploy()
    (web,) = json.loads(root(swarm.hosts[0], "docker", "service", "inspect", "tiny-lab-blue_web"))
    task, update = web["Spec"]["TaskTemplate"], web["Spec"]["UpdateConfig"]
    assert f"{swarm.environment['registry']}@sha256:" in task["ContainerSpec"]["Image"]
    assert (update["Order"], update["FailureAction"]) == ("start-first", "rollback")
    assert (web["Spec"]["EndpointSpec"]["Mode"], task["ContainerSpec"]["ReadOnly"]) == ("dnsrr", True)


def test_secrets_are_objects_of_the_swarm_and_nowhere_else(swarm: Project) -> None:
    swarm.environment |= {"keep": 2, "env": {"LOG_LEVEL": "INFO"}, "secrets": {"GREETING": "env:SWARM_GREETING"}}
    said, kept = [], []
    for number in range(3):
        variables = {"SWARM_GREETING": f"{SECRET} {number} $HOME 'quoted'"}
        done = swarm.invoke(
            "deploy", "--env", "lab", "--json", "--image", swarm.image(str(number % 2 + 1)), variables=variables
        )
        said.append(done.all)
        assert httpx.get(swarm.url(swarm.hosts[2])).json()["greeting"] == variables["SWARM_GREETING"]
        kept.append(root(swarm.hosts[0], "docker", "secret", "ls", "--format", "{{.Name}}").split())
    assert len({*kept[0], *kept[1], *kept[2]}) == 3, "another value is another version"
    assert len(kept[2]) == 2, "versions that no kept release has are pruned"
    assert SECRET not in "".join(said)
    for host in swarm.hosts:
        assert root(host, "bash", "-c", f"grep -rl {SECRET} /home/deploy /tmp || true") == ""
    inspected = root(swarm.hosts[0], "docker", "service", "inspect", "tiny-lab-blue_web", "tiny-lab-green_web")
    assert SECRET not in inspected
    swarm.invoke("rollback", "--env", "lab")
    assert httpx.get(swarm.url()).json()["greeting"].startswith(f"{SECRET} 1")


def test_the_hook_runs_once_as_a_job_with_the_release_s_secrets(swarm: Project) -> None:
    entry = '  web:\n    entrypoint: ["/usr/bin/python3.13"]\n    command: ["service.py"]\n'
    compose = swarm.root / "compose/app.yaml"
    compose.write_text(compose.read_text().replace("  web:\n", entry))
    swarm.environment |= {"env": {}, "secrets": {"GREETING": "env:SWARM_GREETING"}}
    migrate = "import sys; secret = open('/run/secrets/GREETING').read(); sys.exit(f'seen: {len(secret)}')"
    swarm.service["before_switch"] = ["-c", migrate]
    failed = swarm.invoke(
        "deploy", "--env", "lab", "--json", "--image", swarm.image(), variables={"SWARM_GREETING": SECRET}, code=7
    )
    assert failed.data["why"].count(f"seen: {len(SECRET)}") == 1
    assert services(swarm) == {}, "nothing was started, the job is gone"
    swarm.service["before_switch"] = ["-c", "print('migrated')"]
    swarm.invoke("deploy", "--env", "lab", "--image", swarm.image(), variables={"SWARM_GREETING": SECRET})
    assert services(swarm) == {"tiny-lab-blue_web": "3/3", "tiny-lab-blue_worker": "1/1"}


def test_a_container_that_exits_at_start_fails_with_its_last_words_from_whatever_node(swarm: Project) -> None:
    first = swarm.deploy().data["release"]
    swarm.environment["env"] = {"EXIT_AT_START": "1"}
    failed = swarm.deploy(image=swarm.image("2"), code=7)
    assert "not ready in time" not in failed.data["why"], "it was not waited for until the deadline"
    assert "the moon is in the wrong phase" in failed.data["why"]
    assert serving(swarm) == {first}
    wait_until_only(swarm, "blue")


def test_a_release_that_dies_while_it_bakes_is_undone(swarm: Project) -> None:
    first = swarm.deploy().data["release"]
    swarm.environment |= {"env": {"EXIT_AFTER": "5"}, "bake": 80}
    image = swarm.image("2")
    deploying = swarm.start("deploy", "--env", "lab", "--json", "--image", image)
    assert most_workers(swarm, deploying) == 1, "the old one comes back when the new one has ended"
    out, err = deploying.communicate(timeout=30)
    assert deploying.returncode == 7, out + err
    failed = json.loads(out.strip().splitlines()[-1])
    assert "bake" in failed["seconds"]
    assert "the stars are right" in failed["why"]
    assert serving(swarm) == {first}
    wait_until_only(swarm, "blue")


async def test_the_judge_undoes_a_release_that_answers_500(swarm: Project) -> None:
    one, two = swarm.image(), swarm.image("2")
    first = swarm.deploy(image=one).data["release"]
    swarm.environment |= {"env": {"FAILS": "1"}, "bake": 40}
    async with loaded(swarm, [READS]):
        await asyncio.sleep(3)
        failed = await command(swarm, "deploy", "--env", "lab", "--json", "--image", two)
    assert failed.code == 7
    assert "5xx" in failed.data["why"]
    assert serving(swarm) == {first}
    await asyncio.to_thread(wait_until_only, swarm, "blue")


async def test_the_real_service_is_released_to_a_swarm_under_its_own_traffic(swarm: Project, tmp_path: Path) -> None:
    """The links service: its database on one node, migrations as a job, its address with a password as a secret."""
    links = links_project(tmp_path / "links", swarm.lab)
    links.hosts = swarm.hosts
    links.environment |= {"orchestrator": "swarm", "registry": f"{swarm.environment['registry']}-links"}
    links.environment["replicas"] = {"web": 3}
    first = await command(links, "deploy", "--env", "lab", "--json")
    assert first.code == 0, first.all
    with (links.root / "app/main.py").open("a") as file:
        file.write("\n# the next version\n")
    async with load_process(links.url(links.hosts[1]), connections=4) as load:
        second = await command(links, "deploy", "--env", "lab", "--json")
        assert second.code == 0, second.all
        back = await command(links, "rollback", "--env", "lab", "--json")
        assert back.code == 0, back.all
        while load.report.requests < 3000:
            await asyncio.sleep(0.5)
    assert load.report.failed == 0, load.report.failures
    assert "links-lab-blue_web" in await asyncio.to_thread(services, links)


async def test_a_canary_and_a_warm_rollback_where_most_nodes_only_work(one_manager: Project) -> None:
    swarm = one_manager
    one, two = swarm.image(), swarm.image("2")
    # From the first release on: the proxy is reloaded for shares that it doesn't know.
    swarm.environment |= {"canary": [20], "bake": 8, "keep_warm": True}
    first = swarm.deploy(image=one).data["release"]
    async with loaded(swarm, [READS, WRITES]) as reports:
        await asyncio.sleep(3)
        second = await command(swarm, "deploy", "--env", "lab", "--json", "--image", two)
        assert second.code == 0, second.all
        assert "canary of 20 %: judged by" in " ".join(second.data["notes"])
        assert serving(swarm) == {second.data["release"]}
        back = await command(swarm, "rollback", "--env", "lab", "--json")
        assert back.code == 0, back.all
        swarm.environment["env"] = {"FAILS": "1"}
        bad = await command(swarm, "deploy", "--env", "lab", "--json", "--image", two)
        assert bad.code == 7
        assert "5xx" in bad.data["why"]
    assert serving(swarm) == {first}
    lost = failures(reports())
    assert [failure for failure in lost if "500" not in failure] == [], "only the canary's own answers"
    assert len(lost) < total(reports()) / 10


def test_configs_are_objects_of_the_swarm_and_go_with_the_last_release_that_has_them(swarm: Project) -> None:
    swarm.with_configs()
    swarm.environment["keep"] = 2
    rules = swarm.root / "compose/rules.txt"
    read = "/usr/bin/python3.13 -c \"print(open('/etc/rules').read())\""

    def found() -> str:
        return swarm.invoke("exec", "--env", "lab", read).out.strip()

    for text in ("no $SMOKING", "no loitering", "no parking"):
        rules.write_text(text)
        swarm.deploy()
        assert found() == text
    swarm.invoke("rollback", "--env", "lab")
    assert found() == "no loitering"
    assert len(root(swarm.hosts[0], "docker", "config", "ls", "--quiet").split()) == 2


def test_the_worker_is_never_there_twice(swarm: Project) -> None:
    swarm.deploy()
    deploying = swarm.start("deploy", "--env", "lab", "--json", "--image", swarm.image("2"))
    assert most_workers(swarm, deploying) == 1
    assert deploying.returncode == 0
    wait_until_only(swarm, "green")


def most_workers(project: Project, deploying: subprocess.Popen[str]) -> int:
    """How many workers there were at once, at most, until the command was over."""
    most = 0
    while deploying.poll() is None:
        running = [name for host in project.hosts for name in project.containers(host) if "worker" in name]
        most = max(most, len(running))
        time.sleep(0.1)
    return most


def test_monitoring_is_told_of_the_containers_of_each_node(swarm: Project) -> None:
    outcome = swarm.deploy().data
    told = []
    for host in swarm.hosts:
        (watched,) = json.loads(swarm.shell(host, "cat", "/home/deploy/.portside/targets/tiny-lab.json"))
        assert watched["labels"]["release"] == outcome["release"]
        assert watched["targets"] == [f"{name}:8000" for name in swarm.containers(host) if "_web." in name]
        told += watched["targets"]
    assert len(told) == 3
    asks = "import sys, socket; [socket.create_connection(each.split(':'), 5) for each in sys.argv[1:]]"
    for host in swarm.hosts:
        web = next(name for name in swarm.containers(host) if "_web." in name)
        root(host, "docker", "exec", web, "/usr/bin/python3.13", "-c", asks, *told)


def test_an_accessory_on_one_node_is_there_for_all_nodes(swarm: Project) -> None:
    (swarm.root / "compose/accessories.yaml").write_text(
        "services: { store: { image: 'caddy:2.11.7', command: [caddy, respond, --listen, ':9000', --body, kept] } }\n"
    )
    swarm.service["accessories"] = "compose/accessories.yaml"
    swarm.invoke("accessories", "--env", "lab")
    swarm.deploy()
    asks = "import urllib.request as u; print(u.urlopen('http://store:9000', timeout=5).read().decode())"
    for host in swarm.hosts:
        web = next(name for name in swarm.containers(host) if "_web." in name)
        assert root(host, "docker", "exec", web, "/usr/bin/python3.13", "-c", asks).strip() == "kept"


def test_status_plan_and_lock_are_as_on_single_hosts(swarm: Project) -> None:
    image = swarm.image()
    swarm.invoke("plan", "--env", "lab", "--image", image, code=2)
    outcome = swarm.deploy().data
    swarm.invoke("plan", "--env", "lab", "--image", image, code=0)
    assert swarm.deploy().data["outcome"] == "unchanged"
    status = swarm.invoke("status", "--env", "lab", "--json").data["hosts"]
    assert {each["release"] for each in status.values()} == {outcome["release"]}
    assert sum(container["service"] == "web" for each in status.values() for container in each["containers"]) == 3
    swarm.invoke("lock", "--env", "lab", "--message", "database upgrade")
    assert "database upgrade" in swarm.deploy(image=swarm.image("2"), code=6).all
    swarm.invoke("unlock", "--env", "lab")
    assert "web up" in swarm.invoke("logs", "--env", "lab", "--service", "web").out
    assert swarm.invoke("exec", "--env", "lab", "/usr/bin/python3.13 -c 'print(6*7)'").out.strip() == "42"


def test_a_deployer_that_is_killed_leaves_what_the_next_command_undoes(swarm: Project) -> None:
    first = swarm.deploy().data["release"]
    swarm.environment["env"] = {"READY": "never"}
    deploying = swarm.start("deploy", "--env", "lab", "--image", swarm.image("2"))
    wait_until(lambda: "tiny-lab-green_web" in services(swarm), seconds=60, what="the new stack to be there")
    deploying.kill()
    deploying.communicate(timeout=30)
    recovered = wait_until(
        lambda: swarm.invoke("status", "--env", "lab", "--json").data["recovered"], seconds=90, what="an undo"
    )
    assert "was undone" in recovered
    assert serving(swarm) == {first}
    wait_until_only(swarm, "blue")


@pytest.mark.parametrize("victim", [0, 2], ids=["the one that acts", "one that follows"])
async def test_a_node_that_loses_power_during_the_update(swarm: Project, victim: int) -> None:
    """It ends undone or committed on the nodes that are left, which serve all the while; the next one goes out without
    the node, and the one after that brings it up to date."""
    one, two = swarm.image(), swarm.image("2")
    first = swarm.deploy(image=one).data["release"]
    dead, left = swarm.hosts[victim], [host for host in swarm.hosts if host is not swarm.hosts[victim]]
    everyone = swarm.hosts
    swarm.hosts = tuple(left)
    async with loaded(swarm, [READS]) as reports:
        swarm.hosts = everyone
        deploying = asyncio.create_task(command(swarm, "deploy", "--env", "lab", "--json", "--image", two))
        await asyncio.to_thread(started, swarm, left[0])
        await kill(dead)
        ended = await deploying
        assert ended.code in (0, 7), ended.all
        await asyncio.sleep(3)
    lost = failures(reports())
    print(f"{total(reports())} requests at the nodes that are left, {len(lost)} failed: {lost[:3]}")
    assert len(lost) <= 8, "what was under way at the dead node's containers, and no more"
    ended_with = ended.data["release"] if ended.code == 0 else first
    swarm.hosts = tuple(left)
    assert serving(swarm) == {ended_with}
    swarm.hosts = everyone
    again = await command(swarm, "deploy", "--env", "lab", "--json", "--force", "--image", two)
    assert again.code == 0, again.all
    assert f"{dead.name} can't be reached" in again.err
    await boot(dead)
    swarm.environment["env"] = {"GREETING": "all together"}
    last = await command(swarm, "deploy", "--env", "lab", "--json", "--image", two)
    assert last.code == 0, last.all
    assert "Brought up to date" in last.err
    assert serving(swarm) == {last.data["release"]}


def started(project: Project, host: LabHost) -> None:
    """The new stack is on its way."""
    listing = ("docker", "service", "ls", "--format", "{{.Name}}")
    wait_until(lambda: "tiny-lab-green_web" in root(host, *listing), seconds=60, what="the new stack to be there")

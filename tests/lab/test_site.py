"""What stands around a release: accessories, the proxy, the maintenance page, going inside."""

from __future__ import annotations

import asyncio
import json
import signal
import threading
from pathlib import Path
from typing import Any

import httpx

from portside.host.ssh import connect
from portside.proxy_admin import ADMIN_SOCKET, Admin
from tests.lab.project import Project, new_project, wait_until

ACCESSORIES = """
services:
  postgres:
    image: postgres:17
    environment: { POSTGRES_USER: tiny, POSTGRES_DB: tiny, POSTGRES_PASSWORD: }
    volumes: ["postgres:/var/lib/postgresql/data"]
    healthcheck:
      test: ["CMD", "pg_isready", "-U", "tiny", "-d", "tiny"]
      interval: 5s
      start_period: 60s
      start_interval: 300ms
volumes: { postgres: }
"""


def test_an_accessory_survives_ten_deploys_with_its_data(project: Project) -> None:
    (project.root / "compose/accessories.yaml").write_text(ACCESSORIES)
    project.service["accessories"] = "compose/accessories.yaml"
    project.environment["secrets"] = {"POSTGRES_PASSWORD": "generated:POSTGRES_PASSWORD"}
    host = project.hosts[0]

    def sql(statement: str) -> str:
        postgres = "tiny-lab-accessories-postgres-1"
        return project.shell(host, "docker", "exec", postgres, "psql", "-U", "tiny", "-tAc", statement)

    project.deploy()
    sql("create table kept (n int); insert into kept values (42)")
    started = project.shell(host, "docker", "inspect", "-f", "{{.State.StartedAt}}", "tiny-lab-accessories-postgres-1")
    for version in range(10):
        project.environment["env"] = {"GREETING": str(version)}
        project.deploy()
    assert sql("select n from kept") == "42"
    again = project.shell(host, "docker", "inspect", "-f", "{{.State.StartedAt}}", "tiny-lab-accessories-postgres-1")
    assert again == started
    for mishap in (["stop"], ["rm", "--force"]):
        project.shell(host, "docker", *mishap, "tiny-lab-accessories-postgres-1")
        assert "postgres is" in project.invoke("doctor", "--env", "lab", code=1).all
        assert project.invoke("accessories", "--env", "lab", "--json").data["changed"] == [host.name]
        assert sql("select n from kept") == "42"
    assert project.invoke("accessories", "--env", "lab", "--json").data["changed"] == []


def test_maintenance_answers_503_with_a_page_and_back(pair: Project) -> None:
    pair.deploy()
    pair.invoke("maintenance", "--on", "--env", "lab")
    for host in pair.hosts:
        answer = httpx.get(pair.url(host))
        assert answer.status_code == 503
        assert answer.headers["retry-after"]
        assert "back shortly" in answer.text
    pair.invoke("maintenance", "--off", "--env", "lab")
    assert httpx.get(pair.url()).status_code == 200


def test_metrics_are_not_routed_to_the_outside(project: Project) -> None:
    project.deploy()
    assert httpx.get(f"{project.url()}/metrics").status_code == 404


def test_a_domain_gets_tls_and_plain_http_is_redirected(project: Project) -> None:
    project.environment |= {"domain": "tiny.example.com", "https": "0.0.0.0:443", "tls": "internal"}
    release = project.deploy().data["release"]
    address = project.hosts[0].address
    redirected = httpx.get(f"http://{address}/x?y=1", headers={"Host": "tiny.example.com"})
    assert redirected.status_code == 308
    assert redirected.headers["location"] == "https://tiny.example.com/x?y=1"

    def answered() -> httpx.Response | None:
        with httpx.Client(verify=False) as client:  # noqa: S501 - the certificate is of a CA made just now
            try:
                return client.get(
                    f"https://{address}/",
                    headers={"Host": "tiny.example.com"},
                    extensions={"sni_hostname": "tiny.example.com"},
                )
            except httpx.ConnectError:
                return None

    answer = wait_until(answered, what="the proxy to have made its certificate")
    assert answer.json()["release"] == release


def test_what_two_services_change_of_one_proxy_at_once_is_all_in_it(project: Project, tmp_path: Path) -> None:
    both = services(project, tmp_path)
    for each in both:
        each.deploy()
    for number in range(3):
        for each in both:
            each.service["private_paths"] = [f"/private-{number}"]
        deploy_at_once(both, project.image(str(number + 2)))
        for each in both:
            answer = httpx.get(f"{project.url()}/private-{number}", headers={"Host": each.environment["domain"]})
            assert answer.status_code == 404
        kept, running = proxy_config(project)
        assert kept == running


def test_two_services_that_are_the_first_on_a_host_at_once_are_both_served(project: Project, tmp_path: Path) -> None:
    both = services(project, tmp_path)
    deploy_at_once(both, project.image("1"))
    for each in both:
        assert httpx.get(project.url(), headers={"Host": each.environment["domain"]}).status_code == 200
    kept, running = proxy_config(project)
    assert kept == running


def services(project: Project, tmp_path: Path) -> tuple[Project, Project]:
    """The project and another one on its host, told apart by their domains."""
    other = new_project(tmp_path / "other", project.lab, project.hosts, project.images)
    other.service["name"] = "other"
    both = (project, other)
    for number, each in enumerate(both):
        each.environment["domain"] = f"service-{number}.example.com"
    return both


def deploy_at_once(both: tuple[Project, ...], image: str) -> None:
    ends = [each.start("deploy", "--env", "lab", "--json", "--image", image) for each in both]
    for process in ends:
        out, err = process.communicate(timeout=90)
        assert process.returncode == 0, out + err


def proxy_config(project: Project) -> tuple[Any, Any]:
    """Of the first host: what its file says, and what Caddy runs with."""
    base, name = "/home/deploy/.portside", project.hosts[0].name

    async def running() -> Any:
        host = await connect(name, ssh_config=project.lab.ssh_config, known_hosts=None, deadline=10)
        try:
            return await Admin(await host.tunnel(f"{base}/{ADMIN_SOCKET}"), name).configuration()
        finally:
            await host.close()

    kept = project.shell(project.hosts[0], "cat", f"{base}/proxy/config/caddy.json")
    return json.loads(kept), asyncio.run(running())


def test_logs_and_exec_reach_the_release(pair: Project) -> None:
    pair.deploy()
    logs = pair.invoke("logs", "--env", "lab", "--service", "web")
    for host in pair.hosts:
        assert f"{host.name} web-1" in logs.out
    assert "web up" in logs.out
    failed = pair.invoke("exec", "--env", "lab", "/usr/bin/python3.13 -c 'raise SystemExit(5)'", code=5)
    assert "Traceback" not in failed.all


def test_followed_logs_lead_from_one_release_into_the_next(pair: Project) -> None:
    first = pair.deploy().data["release"]
    following = pair.start("logs", "--env", "lab", "--follow")
    heard: list[str] = []

    def listen() -> None:
        heard.extend(following.stdout or ())

    def speaking(release: str) -> set[str]:
        """Who has said something of it: host and container."""
        return {line.partition("|")[0].strip() for line in heard if release in line}

    listening = threading.Thread(target=listen)
    listening.start()
    try:
        everybody = {f"{host.name} {service}" for host in pair.hosts for service in ("web-1", "worker-1")}
        wait_until(lambda: speaking(first) == everybody, what="the first release's logs")
        second = pair.deploy(image=pair.image("2")).data["release"]
        wait_until(lambda: speaking(second) == everybody, what="the second release's logs")
    finally:
        following.send_signal(signal.SIGINT)
        listening.join(20)
    assert following.wait(20) == 130
    noted = following.stderr.read() if following.stderr else ""
    for host in pair.hosts:
        assert f"{host.name}: {first} has ended; {second} serves" in noted


def test_history_tells_who_released_what_and_what_was_undone(project: Project) -> None:
    first = project.deploy().data["release"]
    project.environment["env"] = {"EXIT_AT_START": "1"}
    project.deploy(code=7)
    told = project.invoke("history", "--env", "lab", "--json").data["history"]
    assert [row["outcome"] for row in told] == ["undone", "released"]
    assert told[1]["release"] == first
    assert "exited" in told[0]["reason"] or "restarting" in told[0]["reason"]


def test_a_proxy_that_lost_its_container_comes_back_with_the_next_deploy(project: Project) -> None:
    project.deploy()
    project.shell(project.hosts[0], "docker", "rm", "-f", "portside-proxy-caddy-1")
    release = project.deploy(image=project.image("2")).data["release"]
    assert httpx.get(project.url()).json()["release"] == release

"""The doctor on real hosts: each fault is found, named where it is, and comes with what mends it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.lab.faults import disconnect, reconnect
from tests.lab.project import Project

pytestmark = pytest.mark.hosts


@pytest.fixture
def replicas() -> int:
    return 2


def findings(project: Project, *, code: int = 1) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = project.invoke("doctor", "--env", "lab", "--json", code=code).data["findings"]
    return found


def test_what_is_fine_has_no_findings_and_each_fault_has_one(fleet: Project) -> None:
    release = fleet.deploy().data["release"]
    assert findings(fleet, code=0) == []
    first, second, third = fleet.hosts

    fleet.shell(first, "docker", "stop", "tiny-lab-blue-web-1")
    fleet.shell(second, "bash", "-c", f"echo '{{' >{fleet.site(f'releases/{release}/release.json')}")
    asyncio.run(disconnect(fleet.lab, third))
    fleet.environment["connect_deadline"] = 3
    try:
        found = findings(fleet)
    finally:
        asyncio.run(reconnect(fleet.lab, third))
    by_host = {finding["where"]: finding for finding in found}
    assert set(by_host) == {host.name for host in fleet.hosts}
    assert "1 of 2 web containers" in by_host[first.name]["what"]
    assert fleet.site(f"releases/{release}/release.json") in by_host[second.name]["what"]
    assert all(finding["remedy"] for finding in found)


def test_an_sshd_that_forbids_tunnels_is_told_from_a_proxy_that_is_down(project: Project) -> None:
    project.deploy()
    host = project.hosts[0]
    setting = "/etc/ssh/sshd_config.d/no-tunnels.conf"
    project.shell(host, "bash", "-c", f"echo 'AllowStreamLocalForwarding no' >{setting}; pkill -HUP -o -x sshd")
    try:
        (finding,) = findings(project)
    finally:
        project.shell(host, "bash", "-c", f"rm {setting}; pkill -HUP -o -x sshd")
    assert "doesn't allow tunnels" in finding["what"]
    project.shell(host, "docker", "stop", "portside-proxy-caddy-1")
    (finding,) = findings(project)
    assert "proxy isn't running" in finding["what"]


def test_a_wrong_compose_file_and_a_missing_secret_are_found_beside_what_the_hosts_say(project: Project) -> None:
    project.deploy()
    project.environment["secrets"] = {"TOKEN": "env:NO_SUCH_VARIABLE"}
    project.notify["team"] = {"kind": "slack", "secret": "env:NO_SUCH_ADDRESS"}
    compose = project.root / "compose/app.yaml"
    compose.write_text(compose.read_text().replace("services:", "services:\n  odd: { restrat: always }", 1))
    project.shell(project.hosts[0], "docker", "stop", "tiny-lab-blue-web-1")
    found = findings(project)
    assert any("restrat" in finding["why"] for finding in found)
    assert any("NO_SUCH_VARIABLE" in finding["why"] for finding in found)
    (untold,) = (finding for finding in found if finding["where"].endswith("notify.team.secret"))
    assert "NO_SUCH_ADDRESS is not set" in untold["what"]
    assert any("1 of 2 web" in finding["what"] for finding in found)

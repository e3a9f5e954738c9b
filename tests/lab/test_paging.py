"""From a fault to the page and back, with all that is between: agent, gateway, Prometheus, Alertmanager, receivers.

What is shipped runs on a clock ten times faster: the same rules, scrapes and waits, each duration divided by ten. The
tests share one world, and each leaves it as quiet as it found it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from portside.lab.values import Lab
from tests.lab.paged import Paged, paged

FACTOR = 10
# Windows of 5 minutes, half a minute here, then `for`, then Alertmanager's wait; on a machine with other work to do.
SECONDS = 180.0

pytestmark = [pytest.mark.monitoring, pytest.mark.alone]


@pytest.fixture(scope="module")
def world(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Paged]:
    with paged(tmp_path_factory.mktemp("paged"), lab, factor=FACTOR) as world:
        yield world
        told = ", ".join(f"{alert} {seconds:.0f} s" for alert, seconds in world.seconds.items())
        print(f"from fault to page, on a clock {FACTOR} times faster: {told}")


def critical(world: Paged, alert: str, since: float, **labels: str) -> None:
    """Both are paged, with the right labels and a message that says where and what to type."""
    told = world.page(alert, since=since, within=SECONDS)
    assert told["title"].startswith(f"CRITICAL {alert}: ")
    assert told["color"] == "danger"
    assert f"docs/runbooks/{alert}.md" in told["text"]
    event = world.event(alert, "trigger", since=since, within=SECONDS)
    assert event["routing_key"] == "routing-key"
    details = event["payload"]["custom_details"]
    assert {name: details.get(name) for name in labels} == labels
    for value in labels.values():
        assert value in told["text"]


def warned(world: Paged, alert: str, since: float, **labels: str) -> None:
    """The team is told, and nobody is woken."""
    told = world.page(alert, since=since, within=SECONDS)
    assert told["title"].startswith(f"WARNING {alert}: ")
    for value in labels.values():
        assert value in told["text"]
    woken = [event["payload"]["class"] for event in world.inbox.at("/pagerduty", since) if "payload" in event]
    assert alert not in woken


def test_a_service_that_is_well_pages_nobody(world: Paged) -> None:
    """The machine below the hosts may have a clock that nobody sets, or a disk that fills up: that is told."""
    time.sleep(30)
    titles = [message["attachments"][0]["title"] for message in world.inbox.at("/slack")]
    assert [title for title in titles if "links" in title] == []
    assert [event for event in world.inbox.at("/pagerduty") if event["payload"]["component"]] == []


def test_slow_requests_are_told_to_the_team(world: Paged) -> None:
    began = time.monotonic()
    with world.slow():
        warned(world, "HighLatency", began, **world.labels)
    world.over("HighLatency", since=began, within=SECONDS)


def test_workers_that_die_are_told_to_the_team(world: Paged) -> None:
    began = time.monotonic()
    world.kill_workers(5)
    warned(world, "WorkerDiesRepeatedly", began, **world.labels)
    world.over("WorkerDiesRepeatedly", since=began, within=SECONDS)


def test_a_busy_cpu_is_told_to_the_team(world: Paged) -> None:
    began = time.monotonic()
    with world.busy():
        warned(world, "HostCpuBusy", began, env="lab", host=world.host.name)
    world.over("HostCpuBusy", since=began, within=SECONDS)


def test_a_full_disk_pages(world: Paged) -> None:
    began = time.monotonic()
    with world.full():
        critical(world, "HostDiskFull", began, env="lab", host=world.host.name)
    world.event("HostDiskFull", "resolve", since=began, within=SECONDS)
    world.over("HostDiskFull", since=began, within=SECONDS)


def test_failing_requests_page(world: Paged) -> None:
    began = time.monotonic()
    with world.failing():
        critical(world, "HighErrorRatio", began, **world.labels)
    world.event("HighErrorRatio", "resolve", since=began, within=SECONDS)
    world.over("HighErrorRatio", since=began, within=SECONDS)


def test_stopped_containers_page(world: Paged) -> None:
    began = time.monotonic()
    with world.stopped("links-lab-blue-web"):
        critical(world, "ServiceDown", began, **world.labels)
    world.event("ServiceDown", "resolve", since=began, within=SECONDS)
    world.over("ServiceDown", since=began, within=SECONDS)


def test_an_agent_that_is_gone_pages(world: Paged) -> None:
    began = time.monotonic()
    with world.stopped("portside-agent-prometheus"):
        critical(world, "AgentGone", began, env="lab", host=world.host.name)
    world.event("AgentGone", "resolve", since=began, within=SECONDS)
    world.over("AgentGone", since=began, within=SECONDS)

"""Grafana takes what is provisioned: the data sources, the folder, every page with all its panels."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
from collections.abc import Iterator

import httpx
import pytest
import yaml

from tests.lab.loki import NoImageError, image
from tests.lab.notrun import NO_IMAGE
from tests.lab.pages import pages
from tests.lab.project import wait_until
from tests.lab.world import OBSERVABILITY

pytestmark = pytest.mark.monitoring

GRAFANA = OBSERVABILITY / "grafana"
UP_SECONDS = 90.0


@pytest.fixture(scope="module")
def grafana() -> Iterator[httpx.Client]:
    """Its API, as its administrator. The mounts are those of observability/compose.yaml."""
    try:
        reference = image("GRAFANA_IMAGE")
    except NoImageError:
        pytest.skip(f"{NO_IMAGE}: grafana")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    name, password = f"watched-grafana-{os.getpid()}", secrets.token_hex(16)
    settings = {
        "GF_SERVER_HTTP_ADDR": "127.0.0.1",
        "GF_SERVER_HTTP_PORT": str(port),
        "GF_SECURITY_ADMIN_PASSWORD": password,
        "GF_ANALYTICS_REPORTING_ENABLED": "false",
        "GF_PLUGINS_PREINSTALL_DISABLED": "true",
    }
    mounts = (
        f"--volume={GRAFANA}/provisioning:/etc/grafana/provisioning:ro",
        f"--volume={GRAFANA}/dashboards:/etc/grafana/dashboards:ro",
    )
    variables = (f"--env={variable}={value}" for variable, value in settings.items())
    start = ["docker", "run", "--detach", "--network=host", f"--name={name}", *mounts, *variables, reference]
    try:
        subprocess.run(start, check=True, capture_output=True, timeout=60)
        address = f"http://127.0.0.1:{port}"
        with httpx.Client(base_url=address, auth=("admin", password), timeout=30, trust_env=False) as client:
            wait_until(lambda: _answers(client, "/api/health"), seconds=UP_SECONDS, what="Grafana answers")
            yield client
    finally:
        subprocess.run(["docker", "rm", "--force", "--volumes", name], check=True, capture_output=True, timeout=60)


def test_every_page_is_there_with_all_its_panels(grafana: httpx.Client) -> None:
    wait_until(
        lambda: len(grafana.get("/api/search", params={"type": "dash-db"}).json()) == len(pages()),
        seconds=UP_SECONDS,
        what="all pages are loaded",
    )
    for page in pages():
        answer = grafana.get(f"/api/dashboards/uid/{page['uid']}")
        assert answer.status_code == 200, answer.text
        loaded = answer.json()
        assert loaded["meta"]["folderTitle"] == "Portside" and loaded["meta"]["provisioned"]
        shown = [panel["title"] for panel in loaded["dashboard"]["panels"]]
        assert shown == [panel["title"] for panel in page["panels"]]


def test_every_data_source_is_there_under_its_uid(grafana: httpx.Client) -> None:
    file = GRAFANA / "provisioning/datasources/portside.yaml"
    wanted = {source["uid"]: source["url"] for source in yaml.safe_load(file.read_text())["datasources"]}
    assert {source["uid"]: source["url"] for source in grafana.get("/api/datasources").json()} == wanted


def test_links_from_ids_lead_to_all_lines_that_share_them(grafana: httpx.Client) -> None:
    """What a provisioning file says with $$ reaches the browser with $."""
    fields = grafana.get("/api/datasources/uid/loki").json()["jsonData"]["derivedFields"]
    assert {field["matcherRegex"] for field in fields} == {"request_id", "trace_id"}
    assert all("${__value.raw}" in field["url"] and "$$" not in field["url"] for field in fields)


def _answers(client: httpx.Client, path: str) -> bool:
    try:
        return client.get(path).status_code == 200
    except httpx.TransportError:
        return False

"""What the stack's machine gets: the repository's own files, put together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from dotenv import dotenv_values

from portside.compose import read_compose
from portside.config import Config
from portside.errors import ConfigError
from portside.interpolation import named_variables
from portside.observe.stack import SOURCES, Stack, read_stack, wanted

ROOT = Path(__file__).parents[3]
ALERTMANAGER = {"alertmanager.yml": "route: {}\n"}


def config(**observe: Any) -> Config:
    service = {"name": "links"}
    return Config.model_validate({"root": ROOT, "service": service, "observe": observe, "env": {}})


OPENED = config(ingest="0.0.0.0:9443", ingest_address="10.0.0.7:9443")


def stack(
    of: Config = OPENED, without: tuple[str, ...] = (), secrets: dict[str, str] | None = None, **files: str
) -> Stack:
    images = {name: image for name, image in wanted(of).items() if name not in without}
    return read_stack(of, images, {**ALERTMANAGER, **files}, secrets or {})


def compose(of: Stack) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(of.files["compose.yaml"])
    return loaded


def variables(of: Stack, folder: Path) -> dict[str, str | None]:
    (folder / "env").write_text(of.files["env"])
    return dict(dotenv_values(folder / "env", interpolate=False))


def test_every_variable_of_the_compose_file_is_set(tmp_path: Path) -> None:
    made = stack()
    asked = set(named_variables(compose(made), "compose.yaml"))
    assert asked - set(variables(made, tmp_path)) == {"PORTSIDE_UID", "PORTSIDE_GID"}


def test_the_gateway_is_there_only_where_it_is_opened() -> None:
    assert "ingest" in stack().components
    assert "ingest" not in stack(config()).components
    assert "ingest" not in compose(stack(config()))["services"]


@pytest.mark.parametrize(
    ("address", "host", "name"),
    [
        ("monitor.example.com:9443", "monitor.example.com", "monitor.example.com"),
        ("[2001:db8::5]:9443", "[2001:db8::5]", "2001:db8::5"),
    ],
)
def test_the_gateway_answers_under_the_name_that_its_certificate_has(
    address: str, host: str, name: str, tmp_path: Path
) -> None:
    """Caddy writes an IPv6 address with brackets where there is a port, and without them into the certificate."""
    made = stack(config(ingest="0.0.0.0:9443", ingest_address=address))
    assert {variables(made, tmp_path)[key] for key in ("INGEST_HOST", "INGEST_NAME")} == {host, name}
    caddyfile = made.files["ingest/Caddyfile"]
    assert "default_sni {$INGEST_NAME}\n" in caddyfile
    assert "https://{$INGEST_HOST}:9443 {" in caddyfile
    assert compose(made)["services"]["ingest"]["environment"]["INGEST_NAME"] == "${INGEST_NAME}"


def test_what_has_no_image_is_neither_started_nor_scraped() -> None:
    made = stack(without=("grafana", "loki"))
    assert set(compose(made)["services"]) == {"prometheus", "alertmanager", "ingest"}
    jobs = {job["job_name"] for job in yaml.safe_load(made.files["prometheus/prometheus.yml"])["scrape_configs"]}
    assert jobs == {"prometheus", "alertmanager", "ingest"}
    assert not any(name.startswith(("grafana/", "loki/")) for name in made.files)


def test_every_component_is_scraped_and_watched_over() -> None:
    jobs = {job["job_name"] for job in yaml.safe_load(stack().files["prometheus/prometheus.yml"])["scrape_configs"]}
    assert jobs == set(SOURCES)


def test_a_changed_file_changes_the_fingerprint_of_its_component_alone(tmp_path: Path) -> None:
    before, after = variables(stack(), tmp_path), variables(stack(**{"a.tmpl": "x"}), tmp_path)
    assert {name for name in before if before[name] != after[name]} == {"ALERTMANAGER_CONFIG"}


def test_a_changed_secret_changes_the_fingerprint_and_is_shown_nowhere(tmp_path: Path) -> None:
    one, two = stack(secrets={"key": "hunter2"}), stack(secrets={"key": "hunter3"})
    assert variables(one, tmp_path)["ALERTMANAGER_CONFIG"] != variables(two, tmp_path)["ALERTMANAGER_CONFIG"]
    assert [name for name, text in one.files.items() if "hunter2" in text] == ["secrets/alertmanager/key"]
    assert "hunter2" not in repr(one)


@pytest.mark.parametrize("name", ["grafana", "ingest", "loki", "prometheus"])
def test_no_file_of_a_component_stays_behind(name: str) -> None:
    folder = ROOT / "observability" / name
    there = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    # Read by promtool on this machine alone.
    there = {path for path in there if not path.startswith("tests/")}
    assert {f"{name}/{path}" for path in there} <= set(stack().files)


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_every_container_is_hardened(name: str) -> None:
    service = read_compose(ROOT / "observability/compose.yaml")["services"][name]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["deploy"]["resources"]["limits"]["memory"]
    assert service["logging"]["options"]["max-size"]
    assert service["restart"] == "unless-stopped"
    assert "privileged" not in service
    # These images bring a user of their own; the others would be root, or couldn't read their secrets.
    assert ("user" in service) != (name in {"prometheus", "loki"})
    assert "healthcheck" in service or name == "ingest"


def test_ports_are_published_where_portside_toml_says_and_nowhere_else() -> None:
    services = read_compose(ROOT / "observability/compose.yaml")["services"]
    published = {name: service.get("ports", []) for name, service in services.items()}
    assert published == {
        "prometheus": ["${PROMETHEUS_LISTEN}:9090"],
        "alertmanager": ["${ALERTMANAGER_LISTEN}:9093"],
        "grafana": ["${GRAFANA_LISTEN}:3000"],
        "loki": [],
        "ingest": ["${INGEST_LISTEN}:9443"],
    }


def test_images_are_pinned_to_a_version_in_one_file() -> None:
    named = dotenv_values(ROOT / "observability/versions.env")
    for name, image in named.items():
        assert name.endswith("_IMAGE")
        assert image is not None
        assert image.rpartition(":")[2].count(".") == 2, f"{image} has no exact version"
    for file in ("compose.yaml", "agent.yaml"):
        for service in read_compose(ROOT / "observability" / file)["services"].values():
            assert service["image"].startswith("${")


def test_a_project_without_the_folder_is_told_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"versions\.env") as caught:
        wanted(config().model_copy(update={"root": tmp_path}))
    assert "Copy the folder" in caught.value.remedy

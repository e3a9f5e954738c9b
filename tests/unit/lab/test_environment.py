"""The environment that a lab makes: what `local` was, on the lab's hosts, and nobody's trouble once `local` is gone."""

from __future__ import annotations

from pathlib import Path

import pytest

from portside.config import GENERATED, load_config
from portside.demo.ground import accessory_images
from portside.errors import ConfigError
from portside.lab.values import Lab, LabHost, write_environment
from portside.playground import environment_file, environment_settings, lab_down_command, lab_text, lab_up_command

SERVICE = '[service]\nname = "links"\n'
PROD = '[env.prod]\nhosts = ["web-1"]\n'
LOCAL = """
[env.local]
bake = 2
ssh_config = "mine"
env = { GREETING = "grüße \U0001f600", URL = "postgresql://links:${PASSWORD}@db" }
secrets = { PASSWORD = "generated:PASSWORD" }
"""


def write_lab(root: Path) -> None:
    settings = environment_settings(load_config(root)) | {"keep": 7}
    write_environment(lab_in(root), environment_file(root, "lab"), "lab", settings)


def lab_in(root: Path) -> Lab:
    hosts = tuple(LabHost(name=f"lab-{n}", address=f"192.0.2.{n}", public_key="ssh-ed25519 AAAA") for n in (1, 2))
    return Lab(name="lab", network="lab", subnet="192.0.2.0/24", gateway="192.0.2.1", hosts=hosts, state_dir=root)


def test_it_is_what_local_was_on_its_own_hosts_with_a_database_on_each(tmp_path: Path) -> None:
    (tmp_path / "portside.toml").write_text(SERVICE + LOCAL)
    write_lab(tmp_path)
    config = load_config(tmp_path)
    lab, local = config.environment("lab"), config.environment("local")
    assert (lab.env, lab.secrets, lab.bake) == (local.env, local.secrets, local.bake)
    assert (lab.hosts, lab.accessory_hosts) == (("lab-1", "lab-2"), ("lab-1", "lab-2"))
    assert (lab.http, lab.keep, lab.ssh_config) == ("0.0.0.0:80", 7, tmp_path / "ssh_config")


MONITORED = """
url = "http://localhost:8080"
[env.local.observe]
retention = "1d"
slo = { latency = 95.5 }
[env.local.observe.receivers.ops]
kind = "email"
to = "ops@example.com"
from = "links@example.com"
smarthost = "mail.example.com:25"
"""


@pytest.mark.parametrize("own", [MONITORED, "[env.local.observe]\n"])
def test_it_has_the_monitoring_that_local_had_at_an_address_of_its_own(tmp_path: Path, own: str) -> None:
    (tmp_path / "portside.toml").write_text(SERVICE + '[observe]\nhost = "monitor"\n[env.local]\n' + own)
    write_lab(tmp_path)
    config = load_config(tmp_path)
    assert config.seen_from("lab").observe == config.seen_from("local").observe
    assert config.seen_from("lab").observe.host is None
    assert config.environment("lab").url is None


@pytest.mark.parametrize("then", [PROD, PROD + '[env.local]\nextends = "prod"\n'])
def test_no_environment_is_locked_out_when_local_is_gone_or_another_one(tmp_path: Path, then: str) -> None:
    (tmp_path / "portside.toml").write_text(SERVICE + LOCAL)
    write_lab(tmp_path)
    (tmp_path / "portside.toml").write_text(SERVICE + then)
    assert load_config(tmp_path).environment("prod").hosts == ("web-1",)


@pytest.mark.parametrize("then", [PROD, PROD + '[env.local]\nextends = "prod"\n'])
def test_a_project_without_such_a_local_may_have_a_lab(tmp_path: Path, then: str) -> None:
    (tmp_path / "portside.toml").write_text(SERVICE + then)
    write_lab(tmp_path)
    assert load_config(tmp_path).environment("lab").hosts == ("lab-1", "lab-2")


@pytest.mark.parametrize("table", ["env.local", "defaults"])
def test_the_images_of_a_demo_may_be_named_by_what_its_environment_will_have(tmp_path: Path, table: str) -> None:
    service = SERVICE + 'accessories = "accessories.yaml"\n'
    (tmp_path / "portside.toml").write_text(f'{service}{PROD}[{table}]\nenv = {{ PG_VERSION = "16" }}\n')
    (tmp_path / "accessories.yaml").write_text("services: {db: {image: 'postgres:${PG_VERSION}'}}\n")
    assert accessory_images(load_config(tmp_path)) == ("postgres:16",)


DEFAULTS = {
    "https": 'https = "0.0.0.0:443"\n',
    "a signature": 'require_signature = true\n[signing]\npublic_key = "cosign.pub"\n',
    "a scan": "require_scan = true\n",
    "a Swarm": 'orchestrator = "swarm"\n',
    "hosts": 'accessory_hosts = ["web-1"]\n',
}
ALL_OF_IT = PROD + 'registry = "registry.example.com/links"\ndomain = "links.example.com"\n'


@pytest.mark.parametrize("wanted", DEFAULTS)
def test_what_the_defaults_want_of_prod_is_not_wanted_of_a_lab(tmp_path: Path, wanted: str) -> None:
    (tmp_path / "portside.toml").write_text(f"{SERVICE}[defaults]\nbake = 3\n{DEFAULTS[wanted]}{ALL_OF_IT}")
    write_lab(tmp_path)
    lab = load_config(tmp_path).environment("lab")
    assert (lab.https, lab.registry, lab.orchestrator, lab.bake) == (None, "none", "compose", 3)
    assert not lab.require_signature
    assert not lab.require_scan


@pytest.mark.parametrize("wanted", DEFAULTS)
def test_what_the_defaults_want_later_makes_no_lab_wrong(tmp_path: Path, wanted: str) -> None:
    (tmp_path / "portside.toml").write_text(SERVICE + PROD)
    write_lab(tmp_path)
    before = load_config(tmp_path).environment("lab")
    (tmp_path / "portside.toml").write_text(f"{SERVICE}[defaults]\n{DEFAULTS[wanted]}{ALL_OF_IT}")
    assert load_config(tmp_path).environment("lab") == before


def test_defaults_that_are_no_environment_are_refused_before_a_host_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    docker = tmp_path / "docker"
    docker.write_text(f"#!/bin/sh\ntouch {tmp_path}/asked\n")
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "portside.toml").write_text(f"{SERVICE}[defaults]\nbake = 0\ncanary = [5]\n{PROD}bake = 9\n")
    with pytest.raises(SystemExit) as ended:
        lab_up_command(hosts="1", machine=True)
    assert ended.value.code == ConfigError.exit_code
    assert not (tmp_path / "asked").exists()
    said = "".join(capsys.readouterr())
    assert "canary needs a bake" in said
    assert "add an [env.local]" in said


@pytest.mark.parametrize(
    "mistake",
    [
        "keep = 1",
        'extends = "nobody"',
        "require_signature = true",
        'orchestrator = "swarm"',
        'orchestrator = "swarm"\nhosts = ["lab-1"]',
        'orchestrator = "swarm"\nhosts = ["a", "b"]\naccessory_hosts = ["a", "b"]\nregistry = "r.example.com/links"',
    ],
)
def test_what_is_wrong_in_its_file_is_said_of_its_file(tmp_path: Path, mistake: str) -> None:
    (tmp_path / "portside.toml").write_text(SERVICE + PROD)
    (tmp_path / GENERATED).mkdir(parents=True)
    (tmp_path / GENERATED / "lab.toml").write_text(f"[env.lab]\n{mistake}\n")
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path)
    assert caught.value.where.startswith(str(GENERATED / "lab.toml"))
    assert "invoke lab-down" in caught.value.remedy


def test_a_lab_is_removed_whatever_portside_toml_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    docker = tmp_path / "docker"
    docker.write_text("#!/bin/sh\n")
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "portside.toml").write_text(SERVICE + PROD)
    write_lab(tmp_path)
    (tmp_path / "portside.toml").write_text("keep = ")
    lab_down_command(machine=True)
    assert not environment_file(tmp_path, "lab").exists()


@pytest.mark.parametrize("accessories", [None, Path("compose/queue.yaml")])
def test_only_accessories_that_there_are_are_told_of(tmp_path: Path, accessories: Path | None) -> None:
    said = lab_text(lab_in(tmp_path), accessories)
    assert ("Each has the accessories (compose/queue.yaml) for itself" in said) == (accessories is not None)
    assert "PostgreSQL" not in said and "link" not in said

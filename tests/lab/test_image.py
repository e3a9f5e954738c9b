"""Images, built and moved for real: against this machine's Engine, a registry, and a lab host."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import tarfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from portside.command import Result, run_command
from portside.errors import BuildError
from portside.host.ssh import SSHHost, connect
from portside.image.bases import default_ca_bundle, ensure_image
from portside.image.build import BuildSpec, BuiltImage, build_image, inspect_image
from portside.image.layers import chain_ids
from portside.image.registry import PASSWORD, USERNAME, push_image
from portside.image.transport import present_chains, send_image
from portside.lab.hosts import start_hosts, stop_hosts, wait_until_up
from portside.lab.values import Lab

ROOT = Path(__file__).parents[2]
BUILDER = "python:3.13-slim-trixie"
RUNTIME = "gcr.io/distroless/python3-debian13:nonroot"
MEGABYTE = 1_000_000
# htpasswd line for pushing with the password "not-a-secret".
HTPASSWD = "pusher:$2b$05$abcdefghijklmnopqrstuuVPNOToLP9MHdthRCXkVoiIF0qNKnk2G\n"


async def docker(*argv: str, timeout: float = 120.0) -> Result:
    return await run_command(["docker", *argv], timeout=timeout)


def docker_now(*argv: str) -> Result:
    return asyncio.run(docker(*argv))


@dataclass(frozen=True)
class Tree:
    """A copy of the service that a test may change, and the image built from it."""

    spec: BuildSpec
    image: BuiltImage
    marker: str

    async def build(self) -> BuiltImage:
        return await build_image(self.spec, revision="0123abc-dirty", version="9.9", say=print)


def copy_service(target: Path) -> None:
    shutil.copytree(ROOT / "app", target / "app", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Dockerfile", ".dockerignore", "pyproject.toml", "uv.lock"):
        shutil.copy2(ROOT / name, target / name)


def remove_images(name: str) -> None:
    found = docker_now("image", "ls", "--quiet", "--no-trunc", "--filter", f"reference={name}").text.split()
    if found:
        docker_now("image", "rm", "--force", *set(found))


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tree]:
    """Built with a CA bundle that can be recognised, and with a dependency layer of its own."""
    folder = tmp_path_factory.mktemp("service")
    copy_service(folder)
    marker = f"portside-ca-{secrets.token_hex(16)}"
    # A comment changes what the installing step depends on, and nothing of what it installs: it runs again.
    with (folder / "pyproject.toml").open("a") as file:
        file.write(f"\n# {marker[:20]}\n")
    trusted = default_ca_bundle(None, os.environ) or Path("/etc/ssl/certs/ca-certificates.crt")
    bundle = tmp_path_factory.mktemp("ca") / "bundle.pem"
    bundle.write_text(f"{trusted.read_text() if trusted.exists() else ''}\n# {marker}\n")
    name = f"test-image-{os.getpid()}-{secrets.token_hex(3)}"
    spec = BuildSpec(folder, folder / "Dockerfile", name, BUILDER, RUNTIME, ca_bundle=bundle)
    image = asyncio.run(build_image(spec, revision="0123abc", version="9.9", say=print))
    yield Tree(spec, image, marker)
    remove_images(f"{name}*")


@pytest.fixture
def container() -> Iterator[str]:
    name = f"test-image-{secrets.token_hex(6)}"
    yield name
    docker_now("rm", "--force", "--volumes", name)


async def wait_for(question: list[str], expected: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while (answer := await docker(*question)).text != expected:
        assert time.monotonic() < deadline, answer
        await asyncio.sleep(0.1)


# What is in the image


def test_the_image_is_small(tree: Tree) -> None:
    assert tree.image.size <= 110 * MEGABYTE


def test_the_image_has_no_shell_and_no_package_manager(tree: Tree) -> None:
    for program in ("/bin/sh", "/bin/bash", "/usr/bin/apt-get", "/usr/bin/dpkg", "/opt/venv/bin/pip"):
        result = docker_now("run", "--rm", "--entrypoint", program, tree.image.reference)
        assert result.exit_code == 127, program
        assert b"no such file" in result.stderr


def test_the_image_says_where_it_comes_from(tree: Tree) -> None:
    answer = docker_now("image", "inspect", "--format", "{{json .Config}}", tree.image.reference)
    config = json.loads(answer.text)
    labels = config["Labels"]
    assert labels["org.opencontainers.image.revision"] == "0123abc"
    assert labels["org.opencontainers.image.version"] == "9.9"
    assert labels["org.opencontainers.image.created"]
    assert config["User"] == "65532:65532"
    assert config["Healthcheck"]["Test"][0] == "CMD"


def test_the_image_is_named_after_its_id(tree: Tree) -> None:
    assert tree.image.reference.endswith(f":sha-{tree.image.id.removeprefix('sha256:')[:12]}")


def test_no_layer_holds_the_ca_or_a_credential(tree: Tree, tmp_path: Path) -> None:
    saved = tmp_path / "image.tar"
    assert docker_now("save", "--output", str(saved), tree.image.reference).exit_code == 0
    suspicious = {".netrc", "pip.conf", "uv.toml", ".pypirc", ".env", "id_rsa", "id_ed25519", ".git-credentials"}
    certificates: set[bytes] = set()
    layers = 0
    with tarfile.open(saved) as outer:
        for member in outer.getmembers():
            file = outer.extractfile(member)
            if file is None:
                continue
            content = file.read()
            assert tree.marker.encode() not in content, member.name
            if content[257:262] != b"ustar":
                continue
            layers += 1
            with tarfile.open(fileobj=outer.extractfile(member)) as layer:
                for entry in layer:
                    path = Path(entry.name)
                    assert path.name not in suspicious, entry.name
                    assert not entry.name.startswith(("root/", "build/")), entry.name
                    if path.suffix in {".crt", ".pem"} and entry.isfile():
                        certificates.add(str(path).encode())
    assert layers >= 3
    # One bundle: the runtime's own.
    assert certificates == {b"etc/ssl/certs/ca-certificates.crt"}
    assert tree.marker.encode() not in docker_now("history", "--no-trunc", tree.image.reference).stdout


# How it runs


async def test_the_service_is_healthy_without_any_privilege(tree: Tree, container: str) -> None:
    started = await docker(
        "run", "--detach", "--name", container, "--read-only", "--cap-drop", "ALL",
        "--security-opt", "no-new-privileges", "--tmpfs", "/tmp", tree.image.reference,
    )  # fmt: skip
    assert started.exit_code == 0, started
    await wait_for(["inspect", "--format", "{{.State.Health.Status}}", container], "healthy", 30)
    who = await docker("exec", container, "/opt/venv/bin/python", "-c", "import os; print(os.getuid(), os.getgid())")
    assert who.text == "65532 65532"
    await docker("stop", container)
    stopped = await docker("inspect", "--format", "{{.State.ExitCode}}", container)
    assert stopped.text == "0"


async def test_nothing_is_compiled_when_the_service_starts(tree: Tree) -> None:
    """Half a second in every container and tens of milliseconds in every health check, were it."""
    result = await docker("run", "--rm", tree.image.reference, "-v", "-c", "import app.asgi, app.healthcheck")
    said = result.stderr.decode()
    assert result.exit_code == 0, said[-2000:]
    assert "code object from '/srv/app/__pycache__/asgi.cpython-313.pyc'" in said
    assert [line for line in said.splitlines() if "is stale" in line or "code object from /" in line] == []


async def test_every_extension_of_the_dependencies_loads_after_stripping(tree: Tree) -> None:
    script = (
        "import pathlib, importlib, sys\n"
        "site = pathlib.Path('/opt/venv/lib/python3.13/site-packages')\n"
        "names = ['.'.join((*p.relative_to(site).parent.parts, p.name.split('.')[0])) for p in site.rglob('*.so')]\n"
        "import uvloop, asyncpg, sqlalchemy, orjson, httptools, greenlet\n"
        "for name in names: importlib.import_module(name)\n"
        "print(len(names))\n"
    )
    result = await docker("run", "--rm", tree.image.reference, "-c", script)
    assert result.exit_code == 0, result.stderr.decode()
    assert int(result.text) > 5


# How it is built


async def test_an_unchanged_tree_gives_the_same_image(tree: Tree) -> None:
    # Times of files differ from one checkout to the next.
    for path in tree.spec.context.rglob("*"):
        os.utime(path, (1, 1))
    again = await build_image(tree.spec, revision="0123abc", version="9.9", say=print)
    assert again.id == tree.image.id


async def test_another_revision_changes_no_layer(tree: Tree) -> None:
    other = await build_image(tree.spec, revision="4567def", version="9.10", say=print)
    assert other.id != tree.image.id
    assert other.layers == tree.image.layers


async def test_a_code_change_rebuilds_the_last_layer_only(tree: Tree) -> None:
    module = tree.spec.context / "app" / "asgi.py"
    before = module.read_text()
    try:
        module.write_text(f"{before}\n# changed\n")
        changed = await tree.build()
    finally:
        module.write_text(before)
    assert changed.layers[:-1] == tree.image.layers[:-1]
    assert changed.layers[-1] != tree.image.layers[-1]


async def test_the_dependency_layer_is_the_same_when_it_is_installed_again(tree: Tree) -> None:
    config = tree.spec.context / "pyproject.toml"
    before = config.read_text()
    try:
        config.write_text(f"{before}\n# {secrets.token_hex(8)}\n")
        again = await build_image(tree.spec, revision="0123abc", version="9.9", say=print)
    finally:
        config.write_text(before)
    assert again.id == tree.image.id


async def test_a_failing_build_names_the_step(tree: Tree, tmp_path: Path) -> None:
    broken = tmp_path / "Dockerfile"
    broken.write_text(f"FROM {BUILDER}\nRUN echo the-reason >&2 && exit 7\n")
    spec = replace(tree.spec, dockerfile=broken)
    with pytest.raises(BuildError) as caught:
        await build_image(spec, revision="x", version="1", say=print)
    assert "RUN echo the-reason" in caught.value.what
    assert "the-reason" in caught.value.why


# Base images


async def test_an_image_that_nobody_can_supply_is_named_with_what_to_do() -> None:
    with pytest.raises(BuildError) as caught:
        await ensure_image("registry.invalid/team/thing:1", say=print)
    assert "registry.invalid/team/thing:1" in caught.value.what
    assert "docker load" in caught.value.remedy


async def test_the_same_image_asked_for_at_once_is_made_once(tmp_path: Path) -> None:
    said: list[str] = []
    answers = await asyncio.gather(*(ensure_image(RUNTIME, say=said.append) for _ in range(4)))
    assert len(set(answers)) == 1
    assert len(said) <= 1


async def test_caddy_runs(container: str) -> None:
    await ensure_image("caddy:2.11.7", say=print)
    version = await docker("run", "--rm", "caddy:2.11.7", "caddy", "version")
    assert version.text.startswith("v2.")
    started = await docker("run", "--detach", "--name", container, "caddy:2.11.7")
    assert started.exit_code == 0
    fetch = "import urllib.request, sys; print(urllib.request.urlopen('http://127.0.0.1:80', timeout=1).status)"
    ask = ["run", "--rm", "--network", f"container:{container}", "--entrypoint", "/usr/bin/python3.13", RUNTIME]
    await wait_for([*ask, "-c", fetch], "200", 60)


async def test_postgres_keeps_its_data_and_stops_cleanly(container: str, tmp_path: Path) -> None:
    await ensure_image("postgres:17", say=print)
    secret = tmp_path / "password"
    secret.write_text("pass word'\n")
    secret.chmod(0o644)
    started = await docker(
        "run", "--detach", "--name", container, "--volume", f"{secret}:/run/secrets/password:ro",
        "--env", "POSTGRES_PASSWORD_FILE=/run/secrets/password", "--env", "POSTGRES_USER=links",
        "--env", "POSTGRES_DB=my-links", "postgres:17",
    )  # fmt: skip
    assert started.exit_code == 0, started
    address = (await docker("inspect", "--format", "{{.NetworkSettings.IPAddress}}", container)).text
    ready = ["exec", container, "pg_isready", "--quiet", "--host", address, "--username", "links"]
    await wait_for_success(ready, 30)

    async def query(sql: str, password: str = "pass word'") -> Result:  # noqa: S107
        return await docker(
            "exec", "--env", f"PGPASSWORD={password}", container, "psql", "--host", address, "--username",
            "links", "--dbname", "my-links", "--tuples-only", "--no-align", "--command", sql,
        )  # fmt: skip

    assert (await query("select 1", password="wrong")).exit_code != 0
    assert (await query("create table kept as select 42 as answer")).exit_code == 0
    await docker("stop", container)
    ended = await docker("inspect", "--format", "{{.State.ExitCode}}", container)
    assert ended.text == "0", "it is told to stop as it understands, and not killed after ten seconds"
    await docker("start", container)
    address = (await docker("inspect", "--format", "{{.NetworkSettings.IPAddress}}", container)).text
    ready[ready.index("--host") + 1] = address
    await wait_for_success(ready, 30)
    assert (await query("select answer from kept")).text == "42"
    who = await docker("exec", container, "stat", "--format", "%u %a", "/var/lib/postgresql/data")
    assert who.text == "999 700"
    await docker("stop", container)
    logs = await docker("logs", container)
    assert b"database system is shut down" in logs.stdout + logs.stderr
    assert (await docker("inspect", "--format", "{{.State.ExitCode}}", container)).text == "0"


async def wait_for_success(question: list[str], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while (answer := await docker(*question)).exit_code != 0:
        assert time.monotonic() < deadline, answer
        await asyncio.sleep(0.1)


# Registries


async def start_registry(container: str, *options: str) -> str:
    await ensure_image("registry:2", say=print)
    started = await docker(
        "run", "--detach", "--name", container, "--publish", "127.0.0.1::5000", *options, "registry:2"
    )
    assert started.exit_code == 0, started
    port = (await docker("port", container, "5000")).text.splitlines()[0].rpartition(":")[2]
    deadline = time.monotonic() + 60
    ask = ["curl", "--silent", f"http://127.0.0.1:{port}/v2/"]
    while (answer := await run_command(ask, timeout=60)).exit_code != 0:
        assert time.monotonic() < deadline, answer
        await asyncio.sleep(0.1)
    return f"127.0.0.1:{port}"


async def test_a_pushed_image_can_be_pulled_by_its_digest(tree: Tree, container: str) -> None:
    registry = await start_registry(container)
    target = f"{registry}/team/links:1"
    pinned = await push_image(tree.image.reference, target, say=print, environ={})
    try:
        assert pinned.startswith(f"{registry}/team/links@sha256:")
        assert pinned.endswith((await inspect_image(target)).manifest_digest)
        assert (await docker("pull", "--quiet", pinned)).exit_code == 0
        assert (await inspect_image(pinned)).id == tree.image.id
        assert await push_image(tree.image.reference, target, say=print, environ={}) == pinned
    finally:
        await docker("image", "rm", target, pinned)


async def test_a_registry_with_a_password_is_logged_in_to_and_forgotten(
    tree: Tree, container: str, tmp_path: Path
) -> None:
    (tmp_path / "htpasswd").write_text(HTPASSWD)
    registry = await start_registry(
        container, "--volume", f"{tmp_path}:/auth:ro", "--env", "REGISTRY_AUTH=htpasswd",
        "--env", "REGISTRY_AUTH_HTPASSWD_REALM=test", "--env", "REGISTRY_AUTH_HTPASSWD_PATH=/auth/htpasswd",
    )  # fmt: skip
    target = f"{registry}/team/links:1"
    try:
        with pytest.raises(BuildError, match="refused"):
            await push_image(tree.image.reference, target, say=print, environ={})
        with pytest.raises(BuildError) as caught:
            await push_image(
                tree.image.reference, target, say=print, environ={USERNAME: "pusher", PASSWORD: "wrong-one"}
            )
        assert "wrong-one" not in str(caught.value)
        environ = {USERNAME: "pusher", PASSWORD: "not-a-secret"}
        assert "@sha256:" in await push_image(tree.image.reference, target, say=print, environ=environ)
        config = Path(os.environ.get("DOCKER_CONFIG", Path.home() / ".docker")) / "config.json"
        assert not config.exists() or registry not in config.read_text()
        with pytest.raises(BuildError, match="refused"):
            await push_image(tree.image.reference, target, say=print, environ={})
    finally:
        await docker("image", "rm", target)


async def test_an_unreachable_registry_is_tried_again_and_then_named(tree: Tree) -> None:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    target = "127.0.0.1:1/team/links:1"
    try:
        with pytest.raises(BuildError, match="could not be pushed") as caught:
            await push_image(tree.image.reference, target, say=print, environ={}, sleep=sleep)
    finally:
        await docker("image", "rm", target)
    assert caught.value.where == "127.0.0.1:1"
    assert pauses == [1.0, 3.0, 9.0]


# Without a registry: over the host's own connection


@pytest.fixture(scope="module")
def lab_host(lab_name: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One host of these tests' own, for they count its layers."""
    name = f"{lab_name}-image"
    try:
        yield asyncio.run(start_hosts(1, name=name, state_dir=tmp_path_factory.mktemp("state"), say=print))
    finally:
        asyncio.run(stop_hosts(name))


async def ssh(lab: Lab) -> SSHHost:
    return await connect(lab.hosts[0].name, ssh_config=lab.ssh_config, known_hosts=lab.known_hosts, deadline=15)


async def test_a_host_is_sent_what_it_lacks_and_no_more(tree: Tree, lab_host: Lab, tmp_path: Path) -> None:
    host = await ssh(lab_host)
    whole = await send_image(host, tree.image, present_layers=await present_chains(host), say=print, cache=tmp_path)
    assert whole.layers == len(set(tree.image.layers))
    assert whole.bytes < tree.image.size / 2

    nothing = await send_image(
        host, tree.image.reference, present_layers=await present_chains(host), say=print, cache=tmp_path
    )
    assert (nothing.bytes, nothing.layers) == (0, 0)

    module = tree.spec.context / "app" / "asgi.py"
    before = module.read_text()
    try:
        module.write_text(f"{before}\n# sent {secrets.token_hex(4)}\n")
        changed = await tree.build()
    finally:
        module.write_text(before)
    part = await send_image(host, changed, present_layers=await present_chains(host), say=print, cache=tmp_path)
    print(f"whole image {whole.bytes} bytes, code change {part.bytes} bytes")
    assert part.layers == 1
    assert part.bytes < MEGABYTE
    runs = await host.run(["docker", "run", "--rm", changed.reference, "-c", "import app; print('runs')"], timeout=60)
    assert runs.text == "runs", runs

    # A host that has lost its layers since it was asked gets all of them.
    claimed = frozenset(chain_ids(changed.layers))
    (await host.run(["docker", "image", "rm", changed.reference, tree.image.reference], timeout=60)).check()
    again = await send_image(host, changed, present_layers=claimed, say=print, cache=tmp_path)
    assert again.layers == len(set(changed.layers))
    await host.close()


async def test_the_cache_is_private_and_bounded(tree: Tree, lab_host: Lab, tmp_path: Path) -> None:
    host = await ssh(lab_host)
    present = await present_chains(host)
    await send_image(host, tree.image, present_layers=present, say=print, cache=tmp_path)
    assert (tmp_path / "images").stat().st_mode & 0o777 == 0o700
    size = sum(path.stat().st_size for path in (tmp_path / "images").iterdir())
    assert size < tree.image.size / 2
    assert not list((tmp_path / "images").glob("*.tar"))
    await host.close()


def test_an_assembled_base_is_marked() -> None:
    assembled = asyncio.run(ensure_image(RUNTIME, say=print))
    labels = docker_now("image", "inspect", "--format", "{{json .Config.Labels}}", RUNTIME).text
    assert assembled == ("dev.portside.assembled" in labels)


async def test_an_engine_that_keeps_images_in_containerd_is_served_and_builds_as_well(
    tree: Tree, lab_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There an image is known by its manifest, and layers are blobs: what arrived stays usable for the next."""
    name = f"{lab_name}-containerd"
    try:
        lab = await start_hosts(1, name=name, state_dir=tmp_path / "state", say=print)
        machine = lab.hosts[0].name
        settings = json.dumps({"features": {"containerd-snapshotter": True}}).encode()
        write = ["docker", "exec", "--interactive", machine, "install", "-D", "/dev/stdin", "/etc/docker/daemon.json"]
        (await run_command(write, timeout=30, stdin=settings)).check()
        (await docker("restart", machine)).check()
        await wait_until_up(machine)
        host = await ssh(lab)
        driver = await host.run(["docker", "info", "--format", "{{.Driver}}"], timeout=30)
        assert driver.text == "overlayfs"

        whole = await send_image(host, tree.image, present_layers=await present_chains(host), say=print, cache=tmp_path)
        assert whole.layers == len(set(tree.image.layers))
        other = await build_image(tree.spec, revision="89abcde", version="9.11", say=print)
        part = await send_image(host, other, present_layers=await present_chains(host), say=print, cache=tmp_path)
        assert part.bytes < MEGABYTE
        again = await send_image(host, other, present_layers=await present_chains(host), say=print, cache=tmp_path)
        assert again.bytes == 0
        runs = ["docker", "run", "--rm", other.reference, "-c", "import app; print('runs')"]
        assert (await host.run(runs, timeout=60)).text == "runs"

        context = tmp_path / "context"
        context.mkdir()
        (context / "Dockerfile").write_text("ARG BUILDER RUNTIME\nFROM $RUNTIME\nCOPY Dockerfile /\n")
        spec = BuildSpec(context, context / "Dockerfile", "built-there", other.reference, other.reference)
        with monkeypatch.context() as there:
            there.setenv("DOCKER_HOST", f"unix://{await host.tunnel('/var/run/docker.sock')}")
            built, again_built = [await build_image(spec, revision="1", version="1", say=print) for _ in range(2)]
        assert built == again_built
        known = await host.run(["docker", "image", "inspect", "--format", "{{.Id}}", built.reference], timeout=30)
        assert known.text == built.id
        await host.close()
    finally:
        await stop_hosts(name)

"""Start and stop lab hosts."""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import asyncssh

from portside.command import Result, run_command
from portside.errors import CommandError, ConfigError, HostError
from portside.lab.image import ensure_lab_image
from portside.lab.values import KEY, Lab, LabHost, new_state_dir

LABEL = "portside.lab"
DOCKER_SECONDS = 60.0
BOOT_SECONDS = 60
FIRST_HOST = 11
NETWORK_ATTEMPTS = 10
STOP_SECONDS = 30
REMOVE_SECONDS = 20.0
# A `docker run` that was cancelled may still be creating its container: cleaning up waits for that.
SETTLE_SECONDS = 0.5

PRIVILEGED = ("--privileged",)
# What dockerd, and the containers it starts, need where --privileged is refused: a machine that is itself
# a container without CAP_SYS_RESOURCE, for instance.
CAPABILITIES = (
    *(f"--cap-add={name}" for name in (
        "AUDIT_CONTROL", "AUDIT_WRITE", "DAC_READ_SEARCH", "IPC_LOCK", "LINUX_IMMUTABLE", "MKNOD",
        "NET_ADMIN", "NET_RAW", "SYSLOG", "SYS_ADMIN", "SYS_CHROOT", "SYS_MODULE", "SYS_NICE",
        "SYS_PTRACE", "SYS_TIME",
    )),
    "--security-opt=seccomp=unconfined",
    "--security-opt=apparmor=unconfined",
    "--security-opt=systempaths=unconfined",
    "--device-cgroup-rule=a *:* rwm",
    "--cgroupns=host",
    "--volume=/sys/fs/cgroup:/sys/fs/cgroup:rw",
)  # fmt: skip


async def start_hosts(count: int, *, name: str, state_dir: Path, say: Callable[[str], None]) -> Lab:
    """Start `count` hosts, `<name>-1` and on, and wait until sshd and the Docker Engine of each answer.

    `state_dir` (0700) gets the client's key, known_hosts, ssh_config and lab.json. A lab of the same name
    is an error; whatever goes wrong, nothing is left running. Raises ConfigError, BuildError or HostError.
    """
    if await _labelled(name, ["ps", "--all"]):
        raise ConfigError(
            f"a lab named {name} is already there", where="docker", remedy="stop it first: invoke lab-down"
        )
    image = await ensure_lab_image(say=say)
    say(f"starting {count} lab host{'s' if count > 1 else ''}")
    try:
        return await _start(count, name=name, state_dir=state_dir, image=image)
    except BaseException:
        await asyncio.sleep(SETTLE_SECONDS)
        await stop_hosts(name)
        raise


async def stop_hosts(name: str) -> None:
    """Remove every container, volume and network of the lab. Finds them by label, not by its state files.

    May run twice at once. Raises HostError when something can't be removed.
    """
    await _remove(name, ["ps", "--all"], ["rm", "--force", "--volumes"])
    await _remove(name, ["volume", "ls"], ["volume", "rm", "--force"])
    await _remove(name, ["network", "ls"], ["network", "rm"])


async def running_labs() -> tuple[str, ...]:
    """The names of all labs of this machine."""
    listed = await _docker("ps", "--all", f"--filter=label={LABEL}", f'--format={{{{.Label "{LABEL}"}}}}')
    return tuple(sorted(set(listed.text.splitlines())))


async def wait_until_up(container: str, *, seconds: int = BOOT_SECONDS) -> str:
    """Wait until the host's sshd and Docker Engine answer; return its public SSH key. Raises HostError.

    The key comes through Docker, so that nobody on the network can put theirs in its place.
    """
    ready = await run_command(
        ["docker", "exec", container, "lab-host-ready", str(seconds)], timeout=seconds + DOCKER_SECONDS
    )
    if ready.exit_code != 0:
        logs = await run_command(["docker", "logs", "--tail=15", container], timeout=DOCKER_SECONDS)
        raise HostError(
            "the lab host did not come up",
            where=container,
            why="\n".join(part for part in (ready.stderr.decode(errors="replace").strip(), _log(logs)) if part),
            remedy=f"its whole log: docker logs {container}",
        )
    kind, key, *_ = ready.text.split()
    return f"{kind} {key}"


async def _start(count: int, *, name: str, state_dir: Path, image: str) -> Lab:
    state_dir = new_state_dir(state_dir)
    public_key, subnet, privileges = await asyncio.gather(
        _make_key(state_dir, name), _create_network(name), _privileges(image)
    )
    addresses = [str(subnet[FIRST_HOST + index]) for index in range(count)]
    names = [f"{name}-{index + 1}" for index in range(count)]
    shared = [
        "--network", name, "--label", f"{LABEL}={name}", "--env", f"AUTHORIZED_KEY={public_key}",
        "--tmpfs", "/run:exec", "--tmpfs", "/tmp:exec",  # noqa: S108
        "--stop-timeout", str(STOP_SECONDS), *privileges,
    ]  # fmt: skip
    starts: list[asyncio.Task[str]] = []
    try:
        async with asyncio.TaskGroup() as group:
            for host, address in zip(names, addresses, strict=True):
                disk = f"type=volume,src={host},dst=/var/lib/docker,volume-label={LABEL}={name}"
                own = ["--name", host, "--hostname", host, "--ip", address, "--mount", disk]
                run = [*shared, *own, image, f"--insecure-registry={subnet}"]
                starts.append(group.create_task(_start_host(host, run)))
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None
    hosts = tuple(
        LabHost(name=host, address=address, public_key=start.result())
        for host, address, start in zip(names, addresses, starts, strict=True)
    )
    lab = Lab(
        name=name,
        network=name,
        subnet=str(subnet),
        gateway=str(subnet[1]),
        hosts=hosts,
        state_dir=state_dir,
    )
    lab.write()
    return lab


async def _start_host(container: str, run: Sequence[str]) -> str:
    await _docker("run", "--detach", *run)
    return await wait_until_up(container)


async def _make_key(state_dir: Path, name: str) -> str:
    """A new client key; its public half."""
    key = asyncssh.generate_private_key("ssh-ed25519", comment=f"lab {name}")
    path = state_dir / KEY
    path.touch(mode=0o600)
    path.write_bytes(key.export_private_key())
    path.with_suffix(".pub").write_bytes(key.export_public_key())
    return key.export_public_key().decode().strip()


async def _create_network(name: str) -> ipaddress.IPv4Network:
    """A network on a subnet that the Engine found free, fixed so that hosts keep their addresses.

    The Engine gives fixed addresses only on subnets that were asked for by name: so let it choose one,
    then ask for that one. Somebody may be quicker in between, hence the attempts.
    """
    label = f"--label={LABEL}={name}"
    for _ in range(NETWORK_ATTEMPTS):
        await _docker("network", "create", label, name)
        chosen = await _docker("network", "inspect", "--format={{(index .IPAM.Config 0).Subnet}}", name)
        await _docker("network", "rm", name)
        argv = ["docker", "network", "create", label, f"--subnet={chosen.text}", name]
        if (await run_command(argv, timeout=DOCKER_SECONDS)).exit_code == 0:
            return ipaddress.IPv4Network(chosen.text)
    raise HostError("no free network could be had for the lab", where="docker network create")


async def _privileges(image: str) -> tuple[str, ...]:
    """How a container may run a Docker Engine here: found out by trying."""
    argv = ["docker", "run", "--rm", *PRIVILEGED, "--network=none", "--entrypoint=true", image]
    tried = await run_command(argv, timeout=DOCKER_SECONDS)
    return PRIVILEGED if tried.exit_code == 0 else CAPABILITIES


async def _docker(*arguments: str) -> Result:
    """Ask this machine's Engine; raises HostError with its answer."""
    try:
        return (await run_command(["docker", *arguments], timeout=DOCKER_SECONDS)).check()
    except CommandError as error:
        raise HostError(
            error.what,
            where="this machine's Docker Engine",
            why=error.why,
            remedy="is it running? `docker version` should show a client and a server",
        ) from error


async def _labelled(name: str, listing: Sequence[str]) -> list[str]:
    return (await _docker(*listing, "--quiet", f"--filter=label={LABEL}={name}")).text.split()


async def _remove(name: str, listing: Sequence[str], removal: Sequence[str]) -> None:
    """Remove what is listed until nothing is: somebody else may be removing the same, or still be leaving."""
    deadline = time.monotonic() + REMOVE_SECONDS
    while left := await _labelled(name, listing):
        try:
            await _docker(*removal, *left)
        except HostError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.1)


def _log(logs: Result) -> str:
    return (logs.stdout + logs.stderr).decode(errors="replace").strip()

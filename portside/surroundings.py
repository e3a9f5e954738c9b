"""What a release needs around it on a host and never changes itself: the proxy, the accessories."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from portside import steps
from portside.command import Result
from portside.config import Config, Environment
from portside.delivery import Delivery
from portside.doors import address_of, alone, doors_of, upstreams_of, with_doors, without_site
from portside.errors import HostError, PortsideError, PreflightError, UnfinishedError
from portside.facts import State
from portside.fleet import everywhere, read_states, settle
from portside.host.base import Host
from portside.host.script import script_argv
from portside.journal import Operation
from portside.making import Accessories, ProxyFiles, read_accessories, read_proxy
from portside.markers import as_served, site_url
from portside.operators import operator
from portside.orders import run_step
from portside.plan import Desired
from portside.proxy import Address, Door, digest, with_site
from portside.proxy_admin import ADMIN_SOCKET, Admin
from portside.proxy_ports import PROXY_FILE, by_hand, setting, unpublished
from portside.release import Release, Slot
from portside.report import timed
from portside.site import Site, operation_id
from portside.steps import Target
from portside.undoing import by_host

PROXY_DEADLINE = 30
# What proxy.sh and proxy_config.sh end with when the file is another one by now; they print it.
CHANGED_MEANWHILE = 74
# How often a change is made again from a file that another site's release has changed meanwhile.
OVERTAKEN = 5
ACCESSORIES_DEADLINE = 180


@dataclass(frozen=True)
class Surroundings:
    """The proxy and the accessories of one environment, as they should be."""

    config: Config
    environment: Environment
    accessories: Accessories | None
    # What hosts that are alike are told is made once: each of them twice costs a hundred hosts a second.
    _made: dict[tuple[Any, ...], str] = field(default_factory=dict, repr=False, compare=False)
    _proxies: dict[str, ProxyFiles] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    async def read(cls, config: Config, environment: Environment) -> Surroundings:
        accessories = await read_accessories(config, environment)
        return cls(config, environment, accessories)

    def desired(self, release: Release, site: Site, *, moves: bool = True) -> Desired:
        """`moves`: as after a deploy, with the site asked by what the environment says; else as after a bootstrap."""
        kept = {name: None if moves else self._answered(state) for name, state in site.states.items()}
        return Desired(
            release,
            {name: self._proxy(state).fingerprint for name, state in site.states.items()},
            {name: self._configuration(state, release, None, kept[name]) for name, state in site.states.items()},
            dict.fromkeys(self._accessory_hosts(site), self.accessories.fingerprint) if self.accessories else {},
            {name: self._urls(state) for name, state in site.states.items() if moves and self._changes_port(state)},
        )

    async def ensure(
        self,
        site: Site,
        targets: Sequence[Target],
        release: Release,
        delivery: Delivery,
        *,
        apply: bool = False,
    ) -> None:
        """Start what is missing. What is there is left alone, unless `apply`, which is for a bootstrap: it may restart
        the proxy, and moves no address either.
        """

        async def one(target: Target) -> None:
            await self._ensure_proxy(target, release, delivery, apply)
            if self.accessories and target.host.name in self._accessory_hosts(site):
                await self._ensure_accessories(target, delivery, apply=False)

        if not apply:
            # A host may be set up before it is anybody's node.
            await self._ensure_network(targets[0])
        await everywhere(targets, one, at_once=self.environment.max_parallel)

    async def ensure_proxies(self, targets: Sequence[Target], release: Release, delivery: Delivery) -> None:
        """A proxy that knows the site, on hosts where none runs or where it runs for others."""
        await everywhere(targets, lambda target: self._ensure_proxy(target, release, delivery, apply=False))

    def check_ports(self, states: Mapping[str, State]) -> None:
        """Raise PreflightError for hosts (host name to state) where the site's address is about to change, to ports
        that the proxy which runs doesn't publish: no release restarts one.
        """
        wanted, site = Address.of(self.environment), self.config.site(self.environment)

        def elsewhere(state: State) -> bool:
            before, after = self._urls(state)
            return address_of(state.proxy_config, site) != wanted or before != after

        moving = {host: state for host, state in states.items() if state.has_proxy and elsewhere(state)}
        lacking = [
            f"{host}: {port} isn't published"
            for host, state in moving.items()
            for port in unpublished(self.environment, state.proxy_compose)
        ]
        if lacking and not by_hand(self.config.root / PROXY_FILE):
            raise PreflightError(
                "the proxy doesn't publish what the site would be asked at",
                where=f"portside.toml: env.{self.environment.name}",
                why="\n".join(lacking),
                remedy=self._publishing(list(moving.values())),
            )

    def _publishing(self, states: Sequence[State]) -> str:
        """How ports come to be published that a proxy lacks: a bootstrap publishes those of portside.toml, which a
        rollback to a host where nothing serves needs others than, until a deploy has moved the site to them.
        """
        bootstrap = f"invoke host-bootstrap --env {self.environment.name}, which restarts the proxy"
        stated = self.config.environment(self.environment.name)
        beyond = {
            port
            for state in states
            for port in unpublished(self.environment, state.proxy_compose)
            if port not in unpublished(stated, state.proxy_compose)
        }
        if not beyond:
            return f"Type first: {bootstrap}."
        return (
            "Other hosts serve there, and portside.toml has another port, to which no deploy has moved the site yet. "
            "Roll back one of those hosts at a time with --host; or put back "
            f"{' and '.join(map(setting, sorted(beyond)))}, and type first: {bootstrap}."
        )

    def moving(self, targets: Sequence[Target]) -> list[Target]:
        """The hosts where `move` has something to do."""
        return [target for target in targets if self._moving(target.state)]

    async def move(self, site: Site, targets: Sequence[Target], release: Release) -> None:
        """Once `release` is committed: have it asked by what the environment says, where that was something else.

        Raises UnfinishedError naming the hosts where that failed.
        """

        async def one(target: Target) -> None:
            states = await read_states([target.host], target.site, full=False)
            now = replace(target, state=states[target.host.name])
            make = partial(self._configuration, release=release, taken=None, kept=None)
            with timed(site.reporter, target.host.name, "proxy"):
                await reload(now, make(now.state), make)

        failures = by_host(await settle(self.moving(targets), one))
        if failures:
            raise UnfinishedError(
                f"{release.id} serves, but on {', '.join(failures)} not yet by its new domain",
                where=self.environment.name,
                why="\n".join(map(str, failures.values())),
                remedy=f"Mend the cause and type: invoke deploy --env {self.environment.name}",
            )

    async def ensure_accessories(self, site: Site, targets: Sequence[Target], delivery: Delivery) -> list[str]:
        """Bring the accessories to what their file says, where they run; the hosts on which that changed something."""
        mine = [target for target in targets if target.host.name in self._accessory_hosts(site)]
        for target in mine[:1]:
            await self._ensure_network(target)
        changed = await everywhere(mine, lambda target: self._ensure_accessories(target, delivery, apply=True))
        return [target.host.name for target, done in zip(mine, changed, strict=True) if done]

    async def _ensure_network(self, target: Target) -> None:
        """Of a Swarm, whose tasks, proxies and accessories share it: a manager makes it. Other hosts have their own."""
        if self.environment.swarm:
            argv = script_argv("swarm_network", target.site, target.token)
            (await target.host.run(argv, timeout=30 + steps.GRACE)).check("the Swarm's network could not be made")

    def _accessory_hosts(self, site: Site) -> list[str]:
        return accessory_hosts(self.environment, site.hosts)

    def _proxy(self, state: State) -> ProxyFiles:
        """What is published stays so where other sites share the host's proxy, or this one is asked there until the
        next deploy has moved it.
        """
        staying = not self._moving(state) and not self._changes_port(state)
        free = staying and alone(state.proxy_config, self.config.site(self.environment))
        present = "" if free else state.proxy_compose
        if present not in self._proxies:
            self._proxies[present] = read_proxy(self.config, self.environment, present)
        return self._proxies[present]

    def _answered(self, state: State) -> Address | None:
        """What the site is asked by until a release is committed; None where nothing serves yet.

        What serves has to be found where it was, until the commit and after an undo, which leaves the proxy as it is.
        """
        return address_of(state.proxy_config, self.config.site(self.environment)) if state.current else None

    def _moving(self, state: State) -> bool:
        """Whether what serves is asked by something else than the environment says by now."""
        wanted = Address.of(self.environment)
        return (self._answered(state) or wanted) != wanted

    def _changes_port(self, state: State) -> bool:
        """Whether what serves is at its address, but at another port than the environment says by now. Its proxy needs
        no telling once both are published; monitoring does, and is told with the commit.
        """
        before, after = self._urls(state)
        stays = self._answered(state) == Address.of(self.environment)
        return stays and before != after and not by_hand(self.config.root / PROXY_FILE)

    def _urls(self, state: State) -> tuple[str, str]:
        """Where people find the site on a host, and where they are to."""
        served = as_served(self.config, self.environment, state)
        return site_url(served), site_url(self.environment)

    def configuration(self, state: State, release: Release, taken: Slot) -> str:
        """What a host's proxy runs with while `release` goes to the slot `taken`, until the commit."""
        return self._configuration(state, release, taken, self._answered(state))

    def _configuration(self, state: State, release: Release, taken: Slot | None, kept: Address | None) -> str:
        """The proxy's file for a host, where `release` is about to take the slot `taken`, if any; `kept`: with_site."""
        site = self.config.site(self.environment)
        # Never fewer than the proxy knows already: a release that is pruned is no reason to reload it.
        known = upstreams_of(state.proxy_config, site)
        replicas = max(known, release.replicas, *(other.replicas for other in state.releases.values()))
        doors = self._doors(state, release, taken)
        alike = (state.proxy_config, replicas, kept, *sorted(doors.items()))
        if alike not in self._made:
            made = with_site(state.proxy_config, self.config, self.environment, replicas, doors, kept=kept)
            self._made[alike] = made
        return self._made[alike]

    def _doors(self, state: State, release: Release, taken: Slot | None) -> dict[Slot, Door]:
        """Each slot is asked where the release in it listens, which isn't where the next one does."""
        known = dict(doors_of(state.proxy_config, self.config.site(self.environment)))
        serves = state.releases.get(state.current.release) if state.current else None
        if serves and state.serving:
            known[state.serving] = Door.of(serves)
        if taken:
            known[taken] = Door.of(release)
        both: tuple[Slot, ...] = ("blue", "green")
        return {slot: known.get(slot, Door.of(release)) for slot in both}

    async def _ensure_proxy(self, target: Target, release: Release, delivery: Delivery, apply: bool) -> None:
        state = target.state
        taken = None if apply else target.operation.slot
        make = partial(self._configuration, release=release, taken=taken, kept=self._answered(state))
        configuration = make(state)
        if not state.has_proxy or (apply and state.proxy and state.proxy.fingerprint != self._proxy(state).fingerprint):
            await delivery.provide_named(target.host, self.config.images.proxy, named_in="portside.toml")
            with timed(delivery.reporter, target.host.name, "proxy"):
                await self._start_proxy(target, configuration, make)
        elif state.proxy_config != configuration.rstrip("\n"):
            await reload(target, configuration, make)

    async def _start_proxy(self, target: Target, configuration: str, make: Callable[[State], str]) -> None:
        for _ in range(OVERTAKEN):
            proxy = self._proxy(target.state)
            arguments = (proxy.fingerprint, str(PROXY_DEADLINE), digest(target.state.proxy_config))
            argv = script_argv("proxy", target.site, target.token, *arguments)
            files = proxy.archive(configuration)
            result = await target.host.run(argv, stdin=files, timeout=PROXY_DEADLINE + steps.GRACE)
            if _overtaken(target, result) is None:
                break
            # By another site's release, which may have published ports of its own, too.
            states = await read_states([target.host], target.site, full=False)
            target = replace(target, state=states[target.host.name])
            configuration = make(target.state)
        if result.exit_code != 0:
            raise HostError(
                "the proxy did not start",
                where=target.host.name,
                why=result.stderr.decode(errors="replace").strip(),
            )
        if result.text:
            # Another site's release had started it, and it runs with that one's file still.
            await reload(_with_proxy_config(target, configuration), configuration, make)

    async def _ensure_accessories(self, target: Target, delivery: Delivery, *, apply: bool) -> bool:
        """Whether that changed something. With `apply` also what somebody has stopped or removed runs afterwards; what
        runs as its file says is left alone.
        """
        state = target.state
        if self.accessories is None or (state.accessories_fingerprint and not apply):
            return False
        for image in self.accessories.images:
            await delivery.provide_named(target.host, image, named_in=str(self.config.service.accessories))
        with timed(delivery.reporter, target.host.name, "accessories"):
            step = steps.accessories(
                self.accessories.files,
                self.accessories.fingerprint,
                ACCESSORIES_DEADLINE,
                swarm=self.environment.swarm,
            )
            operation = Operation(id=operation_id(), kind="accessories", owner=operator())
            await run_step(Target(target.host, target.site, target.token, state, operation), step)
        down = any(state.accessories.get(name) != "running" for name in self.accessories.services)
        return down or state.accessories_fingerprint != self.accessories.fingerprint


def accessory_hosts(environment: Environment, hosts: Sequence[Host]) -> list[str]:
    """Where accessories run: as configured, else on the first host alone, so that there is one database. Also while
    that one can't be reached, which a Swarm's release doesn't wait for."""
    if environment.accessory_hosts is None:
        return list(environment.hosts[:1]) or [hosts[0].name]
    return list(environment.accessory_hosts)


async def lead_to(targets: Sequence[Target], release: Release) -> None:
    """Before a rollback: the proxy of each host asks the slot that `release` goes to where that listens."""

    async def one(target: Target) -> None:
        def made(state: State) -> str:
            return with_doors(state.proxy_config, target.site, {target.operation.slot: Door.of(release)})

        if target.state.proxy_config and made(target.state).rstrip("\n") != target.state.proxy_config:
            await reload(target, made(target.state), made)

    await everywhere(targets, one)


async def leave(targets: Sequence[Target]) -> None:
    """The proxy of each host forgets the site; one that doesn't run is not to know it when it is started again."""

    async def one(target: Target) -> None:
        def made(state: State) -> str:
            return without_site(state.proxy_config, target.site)

        if address_of(target.state.proxy_config, target.site) is None:
            return
        if target.state.has_proxy:
            await reload(target, made(target.state), made)
        else:
            kept = await _keep(target, made(target.state))
            kept.check(
                "the proxy's configuration could not be kept", remedy="Nothing was removed there. Type it again."
            )

    await everywhere(targets, one)


async def _keep(target: Target, configuration: str) -> Result:
    digests = digest(target.state.proxy_config), digest(configuration.rstrip("\n"))
    argv = script_argv("proxy_config", target.site, target.token, *digests)
    return await target.host.run(argv, stdin=configuration.encode(), timeout=30 + steps.GRACE)


async def reload(target: Target, configuration: str, make: Callable[[State], str]) -> None:
    """Load `configuration` into a host's proxy and keep it; made anew from what another site has put there."""
    admin = Admin(await target.host.tunnel(f"{target.state.base}/{ADMIN_SOCKET}"), target.host.name)
    for _ in range(OVERTAKEN):
        await admin.load(configuration)
        result = await _keep(target, configuration)
        overtaken = _overtaken(target, result)
        if overtaken is None:
            break
        # By a release of another site. What was just loaded is without it; this is with both.
        target = overtaken
        try:
            configuration = make(target.state)
        except PortsideError:
            await admin.load(target.state.proxy_config)
            raise
    else:
        await admin.load(target.state.proxy_config)
    result.check("the proxy's configuration could not be kept")


def _overtaken(target: Target, result: Result) -> Target | None:
    """The host as it is after another site's release has changed its proxy; None where none did."""
    if result.exit_code != CHANGED_MEANWHILE or not result.stdout.strip():
        return None
    return _with_proxy_config(target, result.stdout.decode())


def _with_proxy_config(target: Target, text: str) -> Target:
    kept = "\n".join(line for line in text.split("\n") if line.strip())
    return replace(target, state=replace(target.state, proxy_config=kept))

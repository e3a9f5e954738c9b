"""What a release would change, per host: a value that can be printed, confirmed, or be empty. No I/O."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field

from portside.facts import State
from portside.release import Release


@dataclass(frozen=True)
class Change:
    """One thing that would be different.

    `what` is image, compose, env, web, port, readiness, proxy, proxy route, address, accessories or release.
    `released`: a release makes it; else `after` names the command that does.
    """

    what: str
    before: str
    after: str
    released: bool = True


@dataclass(frozen=True)
class Plan:
    """Changes by host name. Empty lists: everything is as it would be."""

    release: str
    hosts: Mapping[str, tuple[Change, ...]]

    @property
    def changes(self) -> bool:
        return any(self.hosts.values())

    @property
    def releases(self) -> bool:
        """Whether a release would change anything."""
        return any(change.released for changes in self.hosts.values() for change in changes)


@dataclass(frozen=True)
class Desired:
    """What there should be: the release, and fingerprints of what stands around it on a host."""

    release: Release
    proxy_fingerprint: Mapping[str, str]
    proxy_config: Mapping[str, str]
    accessories_fingerprint: Mapping[str, str]
    # Where people find the site, and where they are to, of hosts where only the port that is asked differs.
    ports: Mapping[str, tuple[str, str]] = field(default_factory=dict)


def make_plan(desired: Desired, states: Mapping[str, State]) -> Plan:
    """Compare what each host (host name to state) has with what it should have."""
    return Plan(
        desired.release.id,
        {host: tuple(_changes(desired, host, state)) for host, state in states.items()},
    )


def _changes(desired: Desired, host: str, state: State) -> list[Change]:
    release = desired.release
    current = state.releases.get(state.current.release) if state.current else None
    found = []
    if current is None:
        found.append(Change("release", "none", release.id))
        found.append(Change("image", "none", release.image.reference))
    else:
        if current.image.reference != release.image.reference:
            found.append(Change("image", current.image.reference, release.image.reference))
        if without_identity(current) != without_identity(release):
            found.append(Change("compose", "", diff(without_identity(current), without_identity(release))))
        found.extend(_env_changes(current, release))
        for what, before, after in (
            ("web", current.web, release.web),
            ("port", str(current.port), str(release.port)),
            ("readiness", current.readiness, release.readiness),
        ):
            if before != after:
                found.append(Change(what, before, after))
    found.extend(_proxy_changes(desired, host, state))
    fingerprint = desired.accessories_fingerprint.get(host, "")
    if fingerprint and not state.accessories_fingerprint:
        found.append(Change("accessories", "none", "would be started"))
    elif fingerprint and fingerprint != state.accessories_fingerprint:
        how = "by `invoke accessories`, not by a release"
        found.append(Change("accessories", "another file or value", how, released=False))
    return found


def _proxy_changes(desired: Desired, host: str, state: State) -> list[Change]:
    found = []
    if state.proxy is None:
        found.append(Change("proxy", "none", "would be started"))
    elif not state.proxy.running:
        found.append(Change("proxy", "stopped", "would be started"))
    elif state.proxy.fingerprint != desired.proxy_fingerprint.get(host):
        how = "by `invoke host-bootstrap`, not by a release"
        found.append(Change("proxy", "another image, port or setting", how, released=False))
    wanted = desired.proxy_config[host]
    if state.proxy is not None and state.proxy_config != wanted.rstrip("\n"):
        found.append(Change("proxy route", "", "would be changed, which closes idle keep-alive connections"))
    if host in desired.ports:
        found.append(Change("address", *desired.ports[host]))
    return found


def _env_changes(current: Release, release: Release) -> list[Change]:
    before, after = set(current.env_names), set(release.env_names)
    found = [Change("env", "", f"{name} is added") for name in sorted(after - before)]
    found += [Change("env", f"{name} is removed", "") for name in sorted(before - after)]
    if current.env_digest == release.env_digest:
        return found
    known = before & after & set(current.env_digests)
    changed = sorted(name for name in known if current.env_digests[name] != release.env_digests.get(name))
    found += [Change("env", "", f"{name} changes") for name in changed]
    if not found:
        found.append(Change("env", "", "values changed"))
    return found


def without_identity(release: Release) -> str:
    """The release's Compose file without what differs between any two releases."""
    return release.compose.replace(release.id, "<release>").replace(release.image.reference, "<image>")


def differs_in_image_only(before: Release, after: Release) -> bool:
    """Whether the two are the same but for id and image: the release that follows a commit, usually."""
    return without_identity(before) == without_identity(after) and before.env_digest == after.env_digest


def diff(before: str, after: str) -> str:
    """A unified diff of two Compose files, one line of context."""
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), "before", "after", lineterm="", n=1)
    return "\n".join(lines)

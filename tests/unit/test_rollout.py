"""How a release ends that is lost at its commit, and where an older one is read from. The scripts are the real ones."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import tarfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from io import BytesIO
from typing import cast

import pytest

from portside import operations
from portside.cli import Terminal
from portside.command import Result
from portside.config import Config
from portside.delivery import Delivery
from portside.errors import HostError, InterruptionError, LockError, PortsideError, ReleaseError, UnfinishedError
from portside.facts import Proxy
from portside.host.base import Channel, Host, Input
from portside.host.local import LocalHost
from portside.journal import Kind, Phase
from portside.judge.watching import Watching
from portside.lock import Lease
from portside.notices import Notices
from portside.operations import _accounted, _finished, _holder, _interruption, rollback
from portside.outcome import Outcome
from portside.plan import Plan
from portside.proxy import Door, with_site
from portside.recovery import recover
from portside.release import Current, Role
from portside.releasing import _show_outcome, outcome_data
from portside.rollout import Rollout
from portside.site import Site, opened
from portside.steps import Target
from tests.unit import builders
from tests.unit.standing_host import SITE, Said, StandingHost

CONFIG = builders.config(bake=0)
OLD = builders.config(bake=0, domain="old.example.com", http="0.0.0.0:80")
NEW = builders.config(bake=0, domain="new.example.com", http="0.0.0.0:80", https="0.0.0.0:443")
ENVIRONMENT = CONFIG.environment("prod")
R2 = builders.release("r2", roles=(Role(name="web", replicas=1, stop_first=False),))


class LosingHost(LocalHost):
    """Its connection is lost at the commit, before that has come or before its answer."""

    def __init__(self, name: str, *, arrives: bool) -> None:
        super().__init__()
        self.name = name
        self._arrives = arrives

    async def run(self, argv: Sequence[str], *, stdin: Input | None = None, timeout: float) -> Result:
        commits = "portside-commit" in argv
        if commits and not self._arrives:
            raise HostError("gone", where=self.name)
        result = await super().run(argv, stdin=stdin, timeout=timeout)
        if commits:
            raise HostError("gone", where=self.name)
        return result


class RefusingHost(LocalHost):
    """It doesn't switch."""

    async def run(self, argv: Sequence[str], *, stdin: Input | None = None, timeout: float) -> Result:
        if "portside-switch" in argv:
            raise HostError("no", where=self.name)
        return await super().run(argv, stdin=stdin, timeout=timeout)


class InterruptedHost(LocalHost):
    """Somebody types Ctrl-C while it is at a step."""

    def __init__(self, step: str) -> None:
        super().__init__()
        self._step = step
        self.whole: asyncio.Task[Outcome] | None = None

    async def run(self, argv: Sequence[str], *, stdin: Input | None = None, timeout: float) -> Result:
        if f"portside-{self._step}" in argv and self.whole:
            self.whole.cancel()
        return await super().run(argv, stdin=stdin, timeout=timeout)


@pytest.fixture
async def home(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[StandingHost]:
    folder = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("PATH", f"{folder}/bin:/usr/bin:/bin")
    made = StandingHost(folder)
    async with made.listening():
        yield made


def rollout(
    *hosts: Host,
    config: Config = CONFIG,
    kind: Kind = "rollback",
    proxy_config: str = "",
    current: Current | None = None,
    move: Callable[[], Awaitable[None]] | None = None,
    only: str | None = None,
) -> Rollout:
    """Of a release that is warm: nothing is left but the switch, and the commit."""
    operation = builders.operation(kind=kind, release="r2", previous=None, warm=True, fresh=False, route="blue")
    state = builders.state(proxy_config=proxy_config, current=current)
    targets = [Target(host, SITE, "1", state, operation) for host in hosts]
    environment = config.environment("prod")
    nothing = cast(Delivery, None)
    return Rollout(config, environment, R2, targets, Said(), files=None, delivery=nothing, move=move, only=only)


def phases(home: StandingHost) -> list[tuple[str, str]]:
    """What a host's journal has: phases and their events."""
    lines = map(json.loads, (home.site / "journal.jsonl").read_text().splitlines())
    return [(line["phase"], line["event"]) for line in lines]


def routed(config: Config) -> str:
    door = Door.of(R2)
    return with_site("", config, config.environment("prod"), 1, {"blue": door, "green": door})


def asked(home: StandingHost) -> list[str]:
    """What monitoring asks for the site."""
    (group,) = json.loads((home.base / "targets" / f"{SITE}.site.json").read_text())
    targets: list[str] = group["targets"]
    return targets


@pytest.mark.parametrize("arrives", [False, True])
async def test_where_no_host_says_that_it_committed_nobody_claims_it(home: StandingHost, arrives: bool) -> None:
    lost = rollout(LosingHost("a", arrives=arrives), LosingHost("b", arrives=arrives))
    with pytest.raises(UnfinishedError, match="nobody knows whether release r2 is committed"):
        await lost.run()
    assert lost.outcome.outcome == "unfinished"
    assert (home.site / "current.json").exists() == arrives, "the next command finds out"


async def test_one_host_that_committed_is_enough(home: StandingHost) -> None:
    half = rollout(home.host, LosingHost("b", arrives=False))
    with pytest.raises(UnfinishedError, match="release r2 is committed, but not recorded on b"):
        await half.run()
    assert half.outcome.outcome == "released"


async def test_a_committed_release_is_released(home: StandingHost) -> None:
    whole = rollout(home.host)
    assert (await whole.run()).outcome == "released"


@pytest.mark.parametrize("error", [None, UnfinishedError("not yet by its new domain")], ids=["done", "fails"])
async def test_an_address_moves_before_what_served_has_drained_and_the_release_stands_if_it_can_t(
    home: StandingHost, error: UnfinishedError | None
) -> None:
    before: list[tuple[str, str]] = []

    async def move() -> None:
        before.extend(phases(home))
        if error:
            raise error

    moving = rollout(home.host, kind="deploy", move=move)
    assert (await moving.run()).outcome == "released"
    assert before[-1] == ("commit", "end")
    assert phases(home)[-1] == ("retire", "end")
    assert moving.outcome.unmoved is error


@pytest.mark.parametrize(
    ("step", "said", "outcome"),
    [
        ("switch", "interrupted; release r2 was undone; nothing serves, as before", "undone"),
        ("commit", "interrupted; release r2 is committed and serves", "released"),
        ("retire", "interrupted; release r2 is committed and serves", "released"),
    ],
)
async def test_who_interrupts_a_release_is_told_whether_it_stands(
    home: StandingHost, step: str, said: str, outcome: str
) -> None:
    error = await interrupted_at(step)
    assert error.what == said
    assert "invoke deploy" not in error.remedy, "no address has changed"
    assert outcome_data(error)["outcome"] == outcome
    assert (home.site / "current.json").exists() == (outcome == "released")


@contextlib.asynccontextmanager
async def opening(site: Site) -> AsyncIterator[Site]:
    yield site


async def interrupted_at(step: str, move: Callable[[], Awaitable[None]] | None = None) -> InterruptionError:
    host = InterruptedHost(step)
    interrupted = rollout(host, kind="deploy" if move else "rollback", move=move)
    host.whole = asyncio.create_task(finished(interrupted, host))
    return await interruption_of(host.whole)


async def finished(release: Rollout, host: Host) -> Outcome:
    """As `invoke` has it."""
    async with _accounted(opening(Site(CONFIG, ENVIRONMENT, [host], {}, {}, Said()))) as site:
        return await _finished(release, site)


async def interruption_of(whole: asyncio.Task[Outcome]) -> InterruptionError:
    with pytest.raises(InterruptionError) as caught:
        await whole
    return caught.value


async def test_who_interrupts_a_judge_that_is_done_before_the_commit_undoes(home: StandingHost) -> None:
    interrupted = rollout(home.host, kind="deploy")

    class Ending(Watching):
        async def end(self) -> None:
            if interrupted.outcome.outcome == "failed":
                whole.cancel()
                await asyncio.sleep(0)
            await super().end()

    targets = interrupted._targets
    interrupted._judge = Ending(CONFIG, ENVIRONMENT, R2, targets, Said().say)
    whole = asyncio.create_task(finished(interrupted, home.host))
    error = await interruption_of(whole)
    assert error.what == "interrupted; release r2 was undone; nothing serves, as before"
    assert phases(home)[-1] == ("undo", "end")
    assert not (home.site / "current.json").exists()


UNMOVED = UnfinishedError("r2 serves, but on a not yet by its new domain", why="a: the proxy says no")


@pytest.mark.parametrize(
    ("step", "fails", "why"),
    [
        ("commit", None, "r2 may still be asked at its old address"),
        ("retire", UNMOVED, "r2 serves, but on a not yet by its new domain\na: the proxy says no"),
    ],
)
async def test_who_interrupts_a_release_before_its_address_has_moved_is_told_what_moves_it(
    home: StandingHost, step: str, fails: PortsideError | None, why: str
) -> None:
    async def move() -> None:
        if fails:
            raise fails

    error = await interrupted_at(step, move)
    assert error.why == why
    assert "The address moves with the next deploy: invoke deploy --env prod" in error.remedy


async def test_who_interrupts_a_release_after_its_address_has_moved_is_told_nothing_of_that(home: StandingHost) -> None:
    async def move() -> None: ...

    error = await interrupted_at("retire", move)
    assert (error.why, "invoke deploy" in error.remedy) == ("", False)


async def test_a_commit_that_is_lost_says_what_moves_the_address(home: StandingHost) -> None:
    async def move() -> None: ...

    half = rollout(home.host, LosingHost("b", arrives=False), kind="deploy", move=move)
    with pytest.raises(UnfinishedError, match="not recorded on b") as caught:
        await half.run()
    assert "invoke deploy --env prod" in caught.value.remedy


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    ("kind", "only", "again"),
    [
        ("deploy", None, "invoke deploy --env prod"),
        ("deploy", "web-2", "invoke deploy --env prod --host web-2"),
        ("rollback", None, "invoke rollback --env prod --to r2"),
        ("rollback", "web-2", "invoke rollback --env prod --to r2 --host web-2"),
    ],
)
async def test_who_mended_the_cause_types_the_same_again(kind: Kind, only: str | None, again: str) -> None:
    with pytest.raises(ReleaseError) as caught:
        await rollout(RefusingHost(), kind=kind, only=only).run()
    assert caught.value.remedy == f"Mend the cause and type: {again}"


async def test_an_error_carries_what_came_of_the_release() -> None:
    outcome = Outcome("r2", "r1", "undone")
    with pytest.raises(ReleaseError) as caught:
        async with _accounted(opening(Site(CONFIG, ENVIRONMENT, [], {}, {}, Said(), outcome=outcome))):
            raise ReleaseError("r2 was undone")
    assert outcome_data(caught.value)["outcome"] == "undone"


async def test_who_interrupts_while_the_hosts_are_left_is_told_what_came_of_the_release(home: StandingHost) -> None:
    config = builders.config(hosts=[], bake=0)
    environment = config.environment("prod")

    async def whole() -> None:
        async with _accounted(opened(config, environment, Said(), operation="deploy", full=False)) as site:
            site.outcome = Outcome("r2", "r1", "released")
            this = asyncio.current_task()
            assert this is not None
            this.cancel()

    with pytest.raises(InterruptionError, match="interrupted; release r2 is committed and serves") as caught:
        await asyncio.create_task(whole())
    assert outcome_data(caught.value)["outcome"] == "released"


@pytest.mark.parametrize(
    ("kind", "previous", "back"),
    [
        ("deploy", "r1", "invoke rollback --env prod"),
        ("rollback", "r3", "invoke rollback --env prod --to r3"),
        ("rollback", None, ""),
    ],
)
def test_the_way_back_leads_to_what_served_before_and_after_a_rollback_not_further_back(
    capsys: pytest.CaptureFixture[str], kind: Kind, previous: str | None, back: str
) -> None:
    outcome = replace(rollout(LocalHost(), kind=kind).outcome, previous=previous, outcome="released")
    _show_outcome(Terminal(machine=False), outcome, "prod")
    assert capsys.readouterr().out.partition("→ Back again: ")[2].strip() == back
    assert _interruption(outcome, "prod").remedy.partition(". To go back: ")[2] == back


@pytest.mark.parametrize(
    ("kind", "url"), [("rollback", "http://old.example.com/readiness"), ("deploy", "https://new.example.com/readiness")]
)
async def test_monitoring_asks_the_site_where_the_proxy_has_it_and_only_a_deploy_moves_that(
    home: StandingHost, kind: Kind, url: str
) -> None:
    current = builders.current("r1")
    await rollout(home.host, config=NEW, kind=kind, proxy_config=routed(OLD), current=current).run()
    assert asked(home) == [url]


async def test_where_nothing_served_a_rollback_is_asked_as_it_was_told_and_not_as_something_undone_was(
    home: StandingHost,
) -> None:
    await rollout(home.host, config=OLD, proxy_config=routed(NEW)).run()
    assert asked(home) == ["http://old.example.com/readiness"]


@pytest.mark.parametrize("left", [("commit", "begin"), ("commit", "end"), ("retire", "begin")])
async def test_what_a_dead_deployer_committed_is_asked_where_the_proxy_has_it_until_a_deploy_moves_that(
    home: StandingHost, left: tuple[Phase, str]
) -> None:
    home.serves(R2)
    home.runs_proxy(routed(OLD))
    (home.base / "targets").mkdir()
    (home.base / "targets" / f"{SITE}.site.json").write_text('[{"targets": ["https://new.example.com/readiness"]}]\n')
    last = builders.entry(*left, builders.operation("op-0", release="r2", previous=None))
    (home.site / "journal.jsonl").write_text(last.model_dump_json() + "\n")
    await recovered(home.host, await home.target())
    assert asked(home) == ["http://old.example.com/readiness"]


class BusyHost(LocalHost):
    """A step of a dead deployer is at work there: no script gets the work lock, or waits a minute for it."""

    async def run(self, argv: Sequence[str], *, stdin: Input | None = None, timeout: float) -> Result:
        return await super().run([arg.replace("flock -w 60", "flock -n") for arg in argv], stdin=stdin, timeout=timeout)


@pytest.mark.parametrize(
    ("token", "error", "said"),
    [("1", LockError, "is still working on links-prod"), ("0", HostError, "was lost to another deployer")],
    ids=["busy", "overtaken"],
)
async def test_where_monitoring_can_t_be_told_recovery_ends_as_at_any_other_step(
    home: StandingHost, token: str, error: type[PortsideError], said: str
) -> None:
    home.serves(R2)
    home.runs_proxy(routed(OLD))
    last = builders.entry("retire", "begin", builders.operation("op-0", release="r2", previous=None))
    (home.site / "journal.jsonl").write_text(last.model_dump_json() + "\n")
    target = await home.target()
    with (home.site / "work.lock").open("w") as lock:
        if error is LockError:
            fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(error, match=said):
            await recovered(BusyHost(), replace(target, token=token))


async def recovered(host: Host, target: Target) -> None:
    environment = NEW.environment("prod")
    await recover(
        {"localhost": Lease(host, target.token, cast(Channel, None))},
        {"localhost": target.state},
        SITE,
        config=NEW,
        environment=environment,
        reporter=Said(),
        notices=Notices(NEW, environment, Said()),
    )


class AskedHost(LocalHost):
    """Keeps what it was asked to run."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.asked: list[Sequence[str]] = []

    async def run(self, argv: Sequence[str], *, stdin: Input | None = None, timeout: float) -> Result:
        self.asked.append(argv)
        return await super().run(argv, stdin=stdin, timeout=timeout)


async def test_a_rollback_leaves_a_host_alone_that_serves_the_release_already(
    home: StandingHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead, behind = AskedHost("deploy@a"), AskedHost("deploy@b")
    r3 = builders.release("r3", previous="r2")
    serving = builders.state(
        current=builders.current("r2"),
        route="blue",
        releases={"r2": R2},
        containers=(builders.container("r2", "blue"),),
        proxy=Proxy(True, "p1", "caddy:2"),
        proxy_config=routed(CONFIG).rstrip("\n"),
    )
    # Here `r2` is warm: nothing is left but the switch, and the commit.
    went = replace(
        serving,
        current=builders.current("r3", "green", previous="r2", committed=builders.NOW.replace(day=24)),
        route="green",
        releases={"r2": R2, "r3": r3},
    )
    states = {ahead.name: went, behind.name: serving}
    leases = {host.name: Lease(host, "1", cast(Channel, None)) for host in (ahead, behind)}
    site = Site(CONFIG, ENVIRONMENT, [ahead, behind], leases, states, Said())
    monkeypatch.setattr(operations, "opened", lambda *_, **__: opening(site))
    shown: list[Plan] = []

    async def agreed(plan: Plan) -> bool:
        shown.append(plan)
        return True

    outcome = await rollback(CONFIG, ENVIRONMENT, Said(), to=None, confirm=agreed)
    assert isinstance(outcome, Outcome)
    assert (outcome.release, outcome.previous, outcome.outcome) == ("r2", "r3", "released")
    assert ahead.asked
    assert behind.asked == []
    assert list(shown[0].hosts) == [ahead.name, behind.name]
    assert shown[0].hosts[behind.name] == ()


async def test_a_release_is_read_from_a_host_that_is_not_rolled_back(home: StandingHost) -> None:
    home.serves(R2)
    new, states = LocalHost(), {"localhost": (await home.target()).state, "new": builders.state()}
    new.name = "new"
    site = Site(CONFIG, ENVIRONMENT, [new, home.host], {}, states, Said())
    holder = _holder(site, R2)
    assert holder is not None and holder[0] is home.host
    target = Target(new, SITE, "1", states["new"], builders.operation())
    reading = Rollout(
        CONFIG, ENVIRONMENT, R2, [target], Said(), files=None, delivery=cast(Delivery, None), holder=holder
    )
    with tarfile.open(fileobj=BytesIO(await reading._read_elsewhere())) as tar:
        assert "./release.json" in tar.getnames()

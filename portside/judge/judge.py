"""The judge itself: fed with looks, asked for a verdict after each. No clock, no host: both come in as arguments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from portside.config import Judge as Settings
from portside.judge import rules
from portside.judge.criteria import Baseline, Comparison, Record
from portside.judge.findings import OF_REQUESTS, Finding, Verdict, concluded
from portside.judge.looks import Lines, Look
from portside.judge.requests import Routes, merged, routes, whole
from portside.judge.samples import Counters, Sample, added, increase

# 5xx, p50, p99, error lines: each may spend an equal part of `significance`.
CRITERIA = 4
# No release is committed before this many seconds: what shows up later than at once is what a bake is for.
EARLY_SECONDS = 10

Looks = Mapping[str, Look]
Totals = dict[str, dict[str, Counters]]


class Judge:
    """One release at its hosts: `before` each look until the switch, then `after` each look.

    With a canary, each of its steps is a stage of its own, and the switch the last one: `begin` them.
    `warm`: the release ran before all this, and what it had counted by its first look is no news.
    """

    def __init__(self, settings: Settings, hosts: Sequence[str], *, stages: int = 1, warm: bool = False) -> None:
        self._settings, self._warm = settings, warm
        self._share = settings.significance / CRITERIA / stages
        self._side_by_side = False
        self._at_begin: Totals = {}
        self._hosts = tuple(hosts)
        self._before: list[Looks] = []
        self._after: list[Looks] = []
        self._first: Totals = {host: {} for host in hosts}
        self._last: Totals = {host: {} for host in hosts}
        self._new: Totals = {host: {} for host in hosts}
        self._records = {host: Record() for host in ("", *hosts)}
        self._comparisons: dict[str, Comparison] = {}
        self._lines: Lines | None = None
        self._new_lines: list[Lines] = []

    def before(self, looks: Looks) -> None:
        """A look while the previous release serves. A warm new release is there too: what it counted isn't its own."""
        self._before.append(looks)
        for host, look in looks.items():
            for name, counters in look.old.counters.items():
                self._first[host].setdefault(name, counters)
                self._last[host][name] = counters
            self._new[host] |= look.new.counters
            self._count_old_lines(look)

    def begin(self, *, side_by_side: bool) -> None:
        """A new stage. `side_by_side`: both releases get requests, and are compared over the same seconds."""
        self._side_by_side = side_by_side
        self._at_begin = {}
        self._comparisons = {}
        self._after, self._new_lines = [], []
        self._records = {host: Record() for host in ("", *self._hosts)}

    def after(self, looks: Looks, seconds: float) -> Verdict:
        """A look `seconds` after the switch, and what follows from all so far."""
        if not self._comparisons or self._side_by_side:
            self._update_baseline(looks)
        self._after.append(looks)
        warm = seconds > self._settings.warm_up
        seen: dict[str, Routes] = {}
        for host, look in looks.items():
            counters = look.new.counters
            new = [
                increase(self._new[host].get(name, {}), counted)
                for name, counted in counters.items()
                if name in self._new[host] or not self._warm
            ]
            self._new[host] |= counters
            seen[host] = routes(added(new), self._settings)
            self._records[host].add(seen[host], warm=warm)
            if look.new.lines:
                self._new_lines.append(look.new.lines)
        self._records[""].add(merged(seen.values()), warm=warm)
        return concluded(self.findings(), early=self._settings.early and seconds >= EARLY_SECONDS)

    def findings(self) -> list[Finding]:
        found = self._comparisons[""].findings(self._records[""])
        if len(self._hosts) > 1:
            found = self._located(found)
        lines = rules.error_lines(self._lines, self._new_lines, self._share)
        return [*found, *rules.readiness(self._after), *rules.saturation(self._before, self._after), lines]

    def _located(self, found: Sequence[Finding]) -> list[Finding]:
        """The findings with the hosts that they are from, where those aren't all, and what only one host shows."""
        asked = [host for host in self._hosts if whole(self._records[host].total).requests]
        alone = {
            host: {finding.criterion: finding for finding in self._comparisons[host].findings(self._records[host])}
            for host in asked
        }
        located = []
        for finding in found:
            worse = [host for host in asked if alone[host][finding.criterion].state == "worse"]
            if finding.state == "worse":
                located.append(replace(finding, where=", ".join(worse) if len(worse) < len(asked) else ""))
            else:
                located.append(finding)
                located += [replace(alone[host][finding.criterion], where=host) for host in worse]
        return located

    def summary(self, seconds: float) -> str:
        """What was seen, and where the judge abstained, in a line or two."""
        if not self._comparisons:
            return "the judge abstains: no host told anything while the release baked"
        findings = self.findings()
        seen = ", ".join(finding.brief for finding in findings if finding.state in ("fine", "unclear"))
        if missing := self._missing_metrics():
            judged = f"no worse in {seconds:.0f} s; {seen}" if seen else ""
            others = [finding for finding in findings if finding.criterion not in OF_REQUESTS]
            abstained = [missing, *_abstentions(others)]
        else:
            requests = whole(self._records[""].total).requests
            judged = f"judged by {requests:,.0f} requests in {seconds:.0f} s{f': no worse; {seen}' if seen else ''}"
            abstained = _abstentions(findings)
        abstains = f"the judge abstains on {'; '.join(abstained)}" if abstained else ""
        return "\n".join(filter(None, [judged, abstains]))

    def _missing_metrics(self) -> str:
        """Why nothing is known of requests, however many there were: the new release tells no metrics, or others."""
        containers = [each for looks in self._after for look in looks.values() for each in look.new.containers.values()]
        if not containers:
            return ""
        if all(each.sample is None for each in containers):
            return f"requests: no metrics at {self._settings.path} (`path` under [judge] in portside.toml)"
        # Where the previous release had these names, the new one may just not have been asked for anything yet.
        if any(self._last.values()) or any(each.sample not in (None, Sample()) for each in containers):
            return ""
        names = f"{self._settings.requests} nor {self._settings.duration}"
        keys = "`requests` and `duration` under [judge] in portside.toml"
        return f"requests: {self._settings.path} has neither {names} ({keys})"

    def _update_baseline(self, looks: Looks) -> None:
        """The previous release's last word so far: requests that it was at when the switch came are in it."""
        for host, look in looks.items():
            for name, counters in look.old.counters.items():
                self._first[host].setdefault(name, counters)
                self._last[host][name] = counters
            self._count_old_lines(look)
        if self._side_by_side and not self._at_begin:
            self._at_begin = {host: dict(counters) for host, counters in self._last.items()}
        several = len(self._hosts) > 1
        baselines = {host: self._baseline(host) for host in self._hosts}
        together = Baseline(
            merged(baseline.life for baseline in baselines.values()),
            merged(baseline.recent for baseline in baselines.values()),
        )
        self._comparisons[""] = self._compared(together, self._share / 2 if several else self._share)
        for host, baseline in baselines.items():
            self._comparisons[host] = self._compared(baseline, self._share / 2 / len(self._hosts))

    def _compared(self, baseline: Baseline, error: float) -> Comparison:
        return Comparison(baseline, self._settings, error, side_by_side=self._side_by_side)

    def _baseline(self, host: str) -> Baseline:
        last = self._last[host]
        if self._side_by_side:
            since = self._at_begin.get(host, {})
            beside = [increase(since[name], counters) for name, counters in last.items() if name in since]
            return Baseline(routes(added(beside), self._settings))
        recent = [increase(self._first[host][name], counters) for name, counters in last.items()]
        return Baseline(routes(added(last.values()), self._settings), routes(added(recent), self._settings))

    def _count_old_lines(self, look: Look) -> None:
        if look.old.lines:
            self._lines = (self._lines or Lines(0, 0.0)) + look.old.lines


def _abstentions(findings: Sequence[Finding]) -> list[str]:
    return [finding.text for finding in findings if finding.state == "abstains"]

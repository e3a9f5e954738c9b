"""The judge itself: fed with looks, asked for a verdict after each. No clock, no host: both come in as arguments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from portside.config import Judge as Settings
from portside.judge import rules
from portside.judge.criteria import Baseline, Comparison, Record
from portside.judge.findings import Finding, Verdict, concluded, percent
from portside.judge.looks import Lines, Look
from portside.judge.requests import Routes, merged, routes, whole
from portside.judge.samples import Counters, added, increase

# 5xx, p50, p99, error lines: each may spend an equal part of `significance`.
CRITERIA = 4
# No release is committed before this many seconds: what shows up later than at once is what a bake is for.
EARLY_SECONDS = 10

Looks = Mapping[str, Look]
Totals = dict[str, dict[str, Counters]]


class Judge:
    """One release at its hosts. `before` each look until the switch, then `after` each look."""

    def __init__(self, settings: Settings, hosts: Sequence[str]) -> None:
        self._settings = settings
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

    def after(self, looks: Looks, seconds: float) -> Verdict:
        """A look `seconds` after the switch, and what follows from all so far."""
        if not self._comparisons:
            self._close_baseline(looks)
        self._after.append(looks)
        warm = seconds > self._settings.warm_up
        seen: dict[str, Routes] = {}
        for host, look in looks.items():
            counters = look.new.counters
            new = [increase(self._new[host].get(name, {}), counted) for name, counted in counters.items()]
            self._new[host] |= counters
            seen[host] = routes(added(new), self._settings)
            self._records[host].add(seen[host], warm=warm)
            if look.new.lines:
                self._new_lines.append(look.new.lines)
        self._records[""].add(merged(seen.values()), warm=warm)
        return concluded(self.findings(), early=self._settings.early and seconds >= EARLY_SECONDS)

    def findings(self) -> list[Finding]:
        groups = ("", *self._hosts) if len(self._hosts) > 1 else ("",)
        found = []
        for group in groups:
            for finding in self._comparisons[group].findings(self._records[group]):
                # Of one host alone, only what is wrong is worth a word.
                if not group or finding.state == "worse":
                    found.append(Finding(finding.criterion, finding.state, finding.text, group))
        lines = rules.error_lines(self._lines, self._new_lines, self._settings.significance / CRITERIA)
        return [*found, *rules.readiness(self._after), *rules.saturation(self._before, self._after), lines]

    def summary(self, seconds: float) -> str:
        """What was seen, and where the judge abstained, in a line or two."""
        if not self._comparisons:
            return "the judge abstains: no host told anything while the release baked"
        findings = self.findings()
        abstained = [finding.text for finding in findings if finding.state == "abstains"]
        judged = [str(finding) for finding in findings if finding.state in ("fine", "unclear")]
        total = whole(self._records[""].total)
        failed = percent(total.failed / total.requests) if total.requests else "none"
        text = f"judged by {total.requests:,.0f} requests in {seconds:.0f} s, {failed} failed"
        text = f"{text}; no worse: {', '.join(judged)}" if judged else text
        return f"{text}\nthe judge abstains on {'; '.join(abstained)}" if abstained else text

    def _close_baseline(self, looks: Looks) -> None:
        """The previous release's last word: requests that it was at when the switch came are in it."""
        for host, look in looks.items():
            for name, counters in look.old.counters.items():
                self._first[host].setdefault(name, counters)
                self._last[host][name] = counters
            self._count_old_lines(look)
        share = self._settings.significance / CRITERIA
        several = len(self._hosts) > 1
        baselines = {host: self._baseline(host) for host in self._hosts}
        together = Baseline(
            merged(baseline.life for baseline in baselines.values()),
            merged(baseline.recent for baseline in baselines.values()),
        )
        self._comparisons[""] = Comparison(together, self._settings, share / 2 if several else share)
        for host, baseline in baselines.items():
            self._comparisons[host] = Comparison(baseline, self._settings, share / 2 / len(self._hosts))

    def _baseline(self, host: str) -> Baseline:
        last, first = self._last[host], self._first[host]
        recent = [increase(first[name], counters) for name, counters in last.items()]
        return Baseline(routes(added(last.values()), self._settings), routes(added(recent), self._settings))

    def _count_old_lines(self, look: Look) -> None:
        if look.old.lines:
            self._lines = (self._lines or Lines(0, 0.0)) + look.old.lines

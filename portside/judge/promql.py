"""The project's own PromQL as criteria: asked of the central Prometheus while a release bakes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from string import Template
from urllib.parse import quote

from portside.config import Config
from portside.errors import HostError, PortsideError
from portside.host.base import Host
from portside.judge.findings import Finding
from portside.observe.ask import ask, stack

# What Prometheus knows is as old as its last scrape; before two of them, it knows nothing of the new release.
FIRST_AFTER = 10.0
ASK_EVERY = 5.0
TIMES = 2


class Queries:
    """The queries of one release. `watch` asks them, `findings` is what came of it so far."""

    def __init__(
        self, config: Config, hosts: Sequence[Host], names: Mapping[str, str], note: Callable[[str], None]
    ) -> None:
        self._config, self._hosts, self._note = config, hosts, note
        self._queries = {key: filled(text, names) for key, text in config.judge.prometheus.items()}
        self._answered = dict.fromkeys(self._queries, 0)
        self._wrong = dict.fromkeys(self._queries, 0)
        self._first: dict[str, str] = {}
        self._told: set[str] = set()

    @property
    def any(self) -> bool:
        return bool(self._queries)

    @property
    def quiet(self) -> bool:
        """Each was asked as often as it takes, and answered nothing the last time."""
        return all(self._answered[key] >= TIMES and not self._wrong[key] for key in self._queries)

    @property
    def findings(self) -> list[Finding]:
        return [
            Finding(
                "prometheus",
                "worse",
                f"the query {key} of judge.prometheus answered {self._first[key]}, {wrong} times in a row",
            )
            for key, wrong in self._wrong.items()
            if wrong >= TIMES
        ]

    @property
    def abstained(self) -> list[str]:
        """Which could not be judged by, as texts."""
        return [
            f"the query {key}: answered {times} times while it baked, a verdict needs {TIMES}"
            for key, times in self._answered.items()
            if times < TIMES
        ]

    async def watch(self) -> None:
        """Ask until cancelled. What fails is said once, and undoes nothing."""
        await asyncio.sleep(FIRST_AFTER)
        while True:
            try:
                async with stack(self._config.observe, self._hosts) as host:
                    while True:
                        for key in self._queries:
                            await self._ask(host, key)
                        await asyncio.sleep(ASK_EVERY)
            except PortsideError as error:
                self._tell("", f"the central Prometheus can't be asked: {_words(error)}")
                await asyncio.sleep(ASK_EVERY)

    async def _ask(self, host: Host, key: str) -> None:
        path = f"/api/v1/query?query={quote(self._queries[key], safe='')}"
        try:
            found = first_value(await ask(host, self._config.observe.prometheus, "GET", path))
        except HostError as error:
            self._tell(key, f"the query {key} of judge.prometheus failed: {_words(error)}")
            return
        self._answered[key] += 1
        self._wrong[key] = self._wrong[key] + 1 if found else 0
        if found:
            self._first[key] = found

    def _tell(self, key: str, text: str) -> None:
        if key not in self._told:
            self._told.add(key)
            self._note(f"The judge abstains: {text}.")


def filled(query: str, names: Mapping[str, str]) -> str:
    """`$env` and the like replaced; any other `$` stays: PromQL has it in regular expressions."""
    return Template(query).safe_substitute(names)


def first_value(answer: str) -> str:
    """The first series of an answer and its value, "" when it is empty. Raises HostError for what is no vector."""
    try:
        data = json.loads(answer)["data"]
        if data["resultType"] != "vector":
            raise HostError(f"it answers a {data['resultType']}; compare with something, so that it answers a vector")
        if not data["result"]:
            return ""
        series = data["result"][0]
        labels = ", ".join(f"{name}={value}" for name, value in sorted(series["metric"].items()))
        return f"{series['value'][1]}{f' for {labels}' if labels else ''}"
    except (ValueError, KeyError, IndexError, TypeError):
        raise HostError("Prometheus' answer makes no sense", why=answer[:200]) from None


def _words(error: PortsideError) -> str:
    return f"{error.what}{': ' + error.where if error.where else ''}"

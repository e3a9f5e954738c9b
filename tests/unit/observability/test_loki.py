"""Loki's configuration and its log alerts, as far as they can be judged without Loki.

With it: tests/lab/test_loki.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.observability.test_alloy import LABELS, METADATA

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "observability/loki"
RULES = FOLDER / "rules"
VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")
UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "M": 2**20, "G": 2**30}
SEVERITIES = {"critical", "warning"}

SELECTOR = re.compile(r"\{([^{}]*)\}")
MATCHER = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)\s*[\"`]")
FILTER = re.compile(r"\|\s*(\w+)\s*(?:=~|!~|!=|=)\s*[\"`]")
GROUPED = re.compile(r"\bby\s*\(([^)]*)\)")
QUOTED = re.compile(r"`[^`]*`|\"(?:[^\"\\]|\\.)*\"")
USED = re.compile(r"\$labels\.(\w+)")

Json = dict[str, Any]


def configuration() -> Json:
    found: Json = yaml.safe_load((FOLDER / "loki.yml").read_text())
    return found


def compose() -> Json:
    found: Json = yaml.safe_load((ROOT / "observability/compose.yaml").read_text())["services"]["loki"]
    return found


def bytes_of(text: str) -> int:
    number, unit = re.fullmatch(r"(\d+)([A-Z]+)", text).groups()  # type: ignore[union-attr]
    return int(number) * UNITS[unit]


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner)
    elif isinstance(value, str):
        yield value


def alerts() -> list[Json]:
    files = sorted(RULES.glob("*/*.yml"))
    return [rule for file in files for group in yaml.safe_load(file.read_text())["groups"] for rule in group["rules"]]


def names() -> list[str]:
    return [rule["alert"] for rule in alerts()]


every_alert = pytest.mark.parametrize("rule", alerts(), ids=names())


def test_retention_has_every_setting_that_it_needs() -> None:
    loki = configuration()
    (schema,) = loki["schema_config"]["configs"]

    assert loki["compactor"]["retention_enabled"] is True
    assert loki["compactor"]["delete_request_store"] == schema["object_store"] == "filesystem"
    assert VARIABLE.fullmatch(loki["limits_config"]["retention_period"]).groups() == ("LOG_RETENTION", "7d")  # type: ignore[union-attr]
    assert schema["index"]["period"] == "24h"


def test_retention_is_shown_as_a_metric() -> None:
    loki = configuration()

    assert loki["target"] == "all,overrides-exporter"
    assert loki["runtime_config"]["file"] == "/etc/loki/overrides.yml"
    assert yaml.safe_load((FOLDER / "overrides.yml").read_text()) == {"overrides": {}}


def test_lines_may_have_structured_metadata() -> None:
    loki = configuration()
    (schema,) = loki["schema_config"]["configs"]

    assert (schema["store"], schema["schema"]) == ("tsdb", "v13")
    assert loki["limits_config"]["allow_structured_metadata"] is True
    assert loki["limits_config"]["max_label_names_per_series"] >= len(LABELS)
    assert loki["limits_config"]["discover_service_name"] == []


def test_alerts_go_to_alertmanager_and_their_source_opens_in_grafana() -> None:
    ruler = configuration()["ruler"]
    sources = yaml.safe_load((ROOT / "observability/grafana/provisioning/datasources/portside.yaml").read_text())

    assert VARIABLE.fullmatch(ruler["alertmanager_url"]).groups() == ("ALERTMANAGER_URL", "http://alertmanager:9093")  # type: ignore[union-attr]
    assert ruler["storage"] == {"type": "local", "local": {"directory": "/etc/loki/rules"}}
    assert ruler["datasource_uid"] in {source["uid"] for source in sources["datasources"] if source["type"] == "loki"}


def test_rules_are_where_the_only_tenant_looks_for_them() -> None:
    assert configuration()["auth_enabled"] is False
    assert [folder.name for folder in RULES.iterdir()] == ["fake"]
    assert sorted(RULES.glob("fake/*.yml")) == sorted(path for path in RULES.rglob("*") if path.is_file())


def test_nothing_is_told_to_strangers() -> None:
    assert configuration()["analytics"] == {"reporting_enabled": False}


def test_it_writes_to_its_volume_alone_and_listens_where_everybody_asks() -> None:
    loki = configuration()
    paths = [text for text in texts(loki) if text.startswith("/")]

    assert {path.split("/")[1] for path in paths} == {"loki", "etc"}
    assert all(path.startswith(("/loki", "/etc/loki/")) for path in paths)
    assert loki["common"]["path_prefix"] == "/loki"
    assert loki["server"]["http_listen_port"] == 3100
    assert loki["server"]["grpc_listen_address"] == "127.0.0.1"


def test_compose_gives_it_what_it_asks_for() -> None:
    asked = {name for text in texts(configuration()) for name, _ in VARIABLE.findall(text)}
    service = compose()

    assert asked == {"LOG_RETENTION", "ALERTMANAGER_URL", "GRAFANA_URL"}
    assert asked <= set(service["environment"])
    assert "-config.expand-env=true" in service["command"]
    assert any(str(volume).startswith("./loki:/etc/loki") for volume in service["volumes"])
    assert any(str(volume).endswith(":/loki") for volume in service["volumes"])


def test_what_it_may_hold_fits_into_its_memory_limit() -> None:
    loki = configuration()
    limit = bytes_of(compose()["deploy"]["resources"]["limits"]["memory"])
    replay = bytes_of(loki["ingester"]["wal"]["replay_memory_ceiling"])
    cache = loki["query_range"]["results_cache"]["cache"]["embedded_cache"]["max_size_mb"] * UNITS["MB"]

    assert replay + cache < limit / 2


@pytest.mark.parametrize(
    "limit",
    [
        *("ingestion_rate_mb", "ingestion_burst_size_mb", "per_stream_rate_limit", "max_global_streams_per_user"),
        *("max_line_size", "max_entries_limit_per_query", "max_query_series", "max_query_parallelism"),
        *("max_query_bytes_read", "query_timeout", "reject_old_samples_max_age"),
    ],
)
def test_a_small_machine_is_protected_from(limit: str) -> None:
    assert configuration()["limits_config"][limit]


def test_an_alert_has_one_name() -> None:
    assert len(names()) == len(set(names())) >= 4


@every_alert
def test_an_alert_says_all_that_a_page_needs(rule: Json) -> None:
    assert rule.keys() <= {"alert", "expr", "for", "labels", "annotations"}
    assert rule["labels"]["severity"] in SEVERITIES
    assert rule["annotations"].keys() == {"summary", "description", "command", "runbook"}
    assert "invoke logs --env {{ $labels.env }} " in rule["annotations"]["command"]
    assert {"service", "env", "host"} <= set(USED.findall(rule["annotations"]["summary"]))
    assert "$value" in rule["annotations"]["description"]


@every_alert
def test_an_alert_uses_labels_that_alloy_sets(rule: Json) -> None:
    expression = rule["expr"]
    inside, grouped = SELECTOR.findall(QUOTED.sub('""', expression)), GROUPED.findall(expression)
    selected = {name for text in inside for name in MATCHER.findall(text)}
    filtered = set(FILTER.findall(expression))
    kept = {name.strip() for text in grouped for name in text.split(",")}

    assert selected, "a stream selector is needed"
    assert selected <= LABELS
    assert filtered <= LABELS | METADATA
    assert {"service", "env", "host"} <= kept <= LABELS | {"release"}
    assert set(USED.findall(" ".join(rule["annotations"].values()))) <= kept


@every_alert
def test_a_caller_cant_trip_an_alert_with_what_he_sends(rule: Json) -> None:
    """Paths and user agents are in the proxy's lines, and in access lines: `info` or `warning`, logger `access`."""
    expression = rule["expr"]
    levels = re.search(r'level=~"([^"]*)"', expression)
    without_access = 'logger != "access"' in expression or (
        levels is not None and not {"info", "warning"} & set(levels[1].split("|"))
    )

    if re.search(r"}\s*\|[=~]", expression):
        assert without_access
        assert 'service!="portside-proxy"' in expression


@every_alert
def test_an_alert_has_a_runbook_that_starts_with_a_command(rule: Json) -> None:
    runbook = ROOT / rule["annotations"]["runbook"]
    assert runbook == ROOT / f"docs/runbooks/{rule['alert']}.md"
    title, first, *_ = re.split(r"^#+ ", runbook.read_text(), flags=re.MULTILINE)[1:]

    assert title.strip().startswith(rule["alert"])
    assert "```bash\n" in first


def test_a_burst_of_the_proxy_s_lines_is_looked_at_where_they_are() -> None:
    (rule,) = (each for each in alerts() if each["alert"] == "LogErrorBurst")
    proxy, service = re.split(r"{{- else -}}", rule["annotations"]["command"])
    runbook = (ROOT / "docs/runbooks/LogErrorBurst.md").read_text()

    assert 'if eq $labels.service "portside-proxy"' in proxy
    assert "ssh {{ $labels.host }} docker logs --since 10m portside-proxy-caddy-1" in proxy
    assert "ssh web-1 docker logs --since 10m portside-proxy-caddy-1\n" in runbook
    assert "invoke logs --env {{ $labels.env }} --since 10m" in service

"""What a line has when it leaves Alloy, read out of its configuration: for tests that have no Alloy."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from tests.unit.observability.alloy_syntax import FILE, Block, evaluated, parse

CONTAINER = "__meta_docker_container_"


@dataclass(frozen=True)
class Shape:
    """One line as it is sent: stream labels, structured metadata."""

    labels: dict[str, str]
    metadata: dict[str, str]


@cache
def component(name: str) -> Block:
    """Ours of this kind; there is one of each."""
    return parse(FILE.read_text()).only(name)


def stages() -> Block:
    return component("loki.process")


def target_labels(name: str, labels: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str] | None:
    """The labels of a container with this name and these Docker labels; None when its lines are not kept.

    Relabelling as in https://prometheus.io/docs/prometheus/latest/configuration/configuration/#relabel_config,
    with the defaults of a rule there.
    """
    found = {f"{CONTAINER}name": f"/{name}"}
    found |= {f"{CONTAINER}label_{re.sub(r'[^A-Za-z0-9_]', '_', key)}": value for key, value in labels.items()}
    for rule in component("discovery.relabel").all("rule"):
        settings = {key: evaluated(value, environ) for key, value in rule.attributes.items()}
        joined = ";".join(found.get(source, "") for source in settings.get("source_labels", ()))
        matched = re.fullmatch(settings.get("regex", "(.*)"), joined, re.DOTALL)
        match settings.get("action", "replace"):
            case "keep":
                if not matched:
                    return None
            case "replace":
                if matched:
                    replacement = re.sub(r"\$(\d)", r"\\g<\1>", settings.get("replacement", "$1"))
                    found[settings["target_label"]] = matched.expand(replacement)
            case action:
                raise ValueError(f"no action {action}")
    return {label: value for label, value in found.items() if not label.startswith("__") and value}


def shape(target: Mapping[str, str], line: str) -> Shape:
    """What the stages make of a line of a container with these labels."""
    fields = _fields(line)
    chosen = {
        stage: {
            label: str(fields[source])
            for label, source in stages().only(f"stage.{stage}").attributes["values"].items()
            if fields.get(source) is not None
        }
        for stage in ("labels", "structured_metadata")
    }
    return Shape(labels={**target, **chosen["labels"]}, metadata=chosen["structured_metadata"])


def timestamp(line: str) -> str | None:
    """The time that the line itself names."""
    return _fields(line).get(stages().only("stage.timestamp").attributes["source"])


def _fields(line: str) -> dict[str, Any]:
    """The extracted values; each expression is one key, plain or quoted."""
    try:
        data = json.loads(line)
    except ValueError:
        return {}
    if not isinstance(data, dict):
        return {}
    expressions: dict[str, str] = stages().only("stage.json").attributes["expressions"]
    return {name: data.get(expression.strip('"')) for name, expression in expressions.items()}

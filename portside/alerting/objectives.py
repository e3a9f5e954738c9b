"""The promises of [observe.slo] as a rule file, so that each number is written down once."""

from __future__ import annotations

import yaml

from portside.config import Slo

# Beside the rule files of observability/prometheus/rules, which read what it records.
FILE = "rules/objectives.yml"


def objectives(slo: Slo) -> str:
    """Prometheus' rule file that records the objectives, as shares, and the bucket that tells fast from slow."""
    bucket = {"le": repr(slo.latency_threshold)}  # as Prometheus 3 and its clients write a bucket's bound
    rules = [
        {"record": "slo:availability:objective", "expr": f"{slo.availability / 100:.6g}"},
        {"record": "slo:latency:objective", "expr": f"{slo.latency / 100:.6g}"},
        {"record": "slo:latency:bucket", "expr": f"vector({slo.latency_threshold!r})", "labels": bucket},
    ]
    text = yaml.safe_dump({"groups": [{"name": "objectives", "rules": rules}]}, sort_keys=False)
    return f"# Read by the central Prometheus. Made from [observe.slo] of portside.toml by `invoke observe`.\n{text}"

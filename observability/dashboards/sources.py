"""The data sources that dashboards name: what observability/grafana/provisioning/datasources sets up."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Source:
    """`kind` is the plugin's name, `uid` what dashboards and links call the data source."""

    kind: str
    uid: str

    def as_json(self) -> dict[str, str]:
        return {"type": self.kind, "uid": self.uid}


PROMETHEUS = Source("prometheus", "prometheus")
LOKI = Source("loki", "loki")

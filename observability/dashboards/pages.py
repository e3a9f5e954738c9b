"""All dashboards, in the order in which one opens them."""

from __future__ import annotations

from observability.dashboards import deploys, hosts, logs, service, slo

PAGES = (service.PAGE, slo.PAGE, deploys.PAGE, hosts.PAGE, logs.PAGE)

"""What the engine's judge reads of the metrics that the service shows."""

from __future__ import annotations

import pytest

from app.metrics import Metrics
from app.request_metrics import RequestMetrics
from portside.config import Judge
from portside.judge.requests import routes
from portside.judge.samples import sample

NAMES = Judge()


def test_the_service_s_own_metrics_are_what_the_judge_asks_for() -> None:
    """Not a copy of their names: the service counts, and the judge reads what it shows."""
    shown = Metrics(labels={"service": "links", "env": "prod", "release": "r1"})
    counting = RequestMetrics(shown.registry)
    for status, seconds in ((200, 0.02), (200, 0.3), (500, 0.02), (404, 0.001)):
        counting.begin()
        counting.end("GET", "/{slug}", status, seconds)
    counting.begin()
    read = sample(shown.render().decode(), NAMES)
    assert read.in_flight == 1
    found = routes(read.counters, NAMES)
    route = found["GET", "/{slug}"]
    assert (route.requests, route.failed, route.answers) == (4, 1, 4)
    assert route.seconds == pytest.approx(0.341)
    assert (route.longer[0.01], route.longer[0.1], route.longer[0.5]) == (3, 1, 0)

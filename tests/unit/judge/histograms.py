"""What a service would have counted: routes with log-normal latencies in the service's own buckets."""

from __future__ import annotations

import math

from portside.judge.requests import Route

EDGES = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 10.0, 30.0)


def answered(requests: float, *, failed: float = 0, median: float = 0.08, spread: float = 0.6) -> Route:
    """Exactly what is expected of `requests` answers: no chance in it."""

    def longer(edge: float) -> float:
        return 0.5 * math.erfc(math.log(edge / median) / spread / math.sqrt(2))

    mean = median * math.exp(spread**2 / 2)
    return Route(requests, failed, requests, requests * mean, {edge: requests * longer(edge) for edge in EDGES})


def metrics(
    routes: dict[str, Route], *, release: str = "r1", in_flight: int = 0, in_use: int = 0, capacity: int = 10
) -> str:
    """The same as the service's /metrics would show it."""
    lines = ["# HELP http_requests_total Requests.", "# TYPE http_requests_total counter"]
    for name, route in routes.items():
        site = f'env="prod",handler="{name}",method="GET",release="{release}"'
        lines += [
            f'http_requests_total{{{site},status="200"}} {route.requests - route.failed}',
            f'http_requests_total{{{site},status="500"}} {route.failed}',
            *(
                f'http_request_duration_seconds_bucket{{{site},le="{edge}",status="200"}} {route.answers - longer}'
                for edge, longer in route.longer.items()
            ),
            f'http_request_duration_seconds_bucket{{{site},le="+Inf",status="200"}} {route.answers}',
            f'http_request_duration_seconds_count{{{site},status="200"}} {route.answers}',
            f'http_request_duration_seconds_sum{{{site},status="200"}} {route.seconds}',
        ]
    lines += [
        f'http_requests_in_flight{{env="prod"}} {in_flight}',
        f'db_pool_connections{{env="prod",state="in_use"}} {in_use}',
        f'db_pool_connections{{env="prod",state="idle"}} {capacity - in_use}',
        f'db_pool_capacity{{env="prod"}} {capacity}',
    ]
    return "\n".join(lines) + "\n"

"""PromQL about requests: how many, how many of them failed, how long they took."""

from __future__ import annotations


def rate(selector: str, *by: str, over: str = "$__rate_interval") -> str:
    """Requests per second."""
    return f"sum{_by(*by)} (rate(http_requests_total{{{selector}}}[{over}]))"


def errors(selector: str, *by: str, over: str = "$__rate_interval") -> str:
    """Share of requests that were answered with a 5xx status; 0 where none was, nothing where nobody asked."""
    failed = rate(f'{selector},status=~"5.."', *by, over=over)
    asked = rate(selector, *by, over=over)
    return f"({failed} or {asked} * 0) / ({asked} > 0)"


def duration(selector: str, *by: str, quantile: float = 0.99, over: str = "$__rate_interval") -> str:
    """Seconds within which `quantile` of the requests were answered."""
    buckets = f"rate(http_request_duration_seconds_bucket{{{selector}}}[{over}])"
    return f"histogram_quantile({quantile:g}, sum{_by('le', *by)} ({buckets}))"


def _by(*labels: str) -> str:
    return f" by ({', '.join(labels)})" if labels else ""

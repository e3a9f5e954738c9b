"""What is tried again, and what isn't."""

from __future__ import annotations

import pytest

from portside.image.registry import worth_repeating


@pytest.mark.parametrize(
    "output",
    [
        'Put "https://r/v2/x": dial tcp 10.0.0.1:443: i/o timeout',
        "received unexpected HTTP status: 503 Service Unavailable",
        "read tcp 10.0.0.2:1->10.0.0.1:443: read: connection reset by peer",
        "toomanyrequests: Rate exceeded",
        "unexpected EOF",
    ],
)
def test_a_failure_that_may_pass_is_tried_again(output: str) -> None:
    assert worth_repeating(output)


@pytest.mark.parametrize(
    "output",
    [
        "denied: requested access to the resource is denied",
        "unauthorized: authentication required",
        "no basic auth credentials",
        "name invalid: Invalid repository name",
        "An image does not exist locally with the tag: x",
    ],
)
def test_a_refusal_is_final(output: str) -> None:
    assert not worth_repeating(output)

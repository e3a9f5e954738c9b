"""What the stack goes without when an image can't be brought to its machine, and what it doesn't."""

from __future__ import annotations

from pathlib import Path

import pytest

from portside.delivery import Delivery
from portside.errors import BuildError, HostError, PortsideError
from portside.host.base import Host
from portside.host.local import LocalHost
from portside.observing import _provide
from tests.unit import builders
from tests.unit.notify.test_endings import Said

IMAGES = {"prometheus": "prom/prometheus:v3", "grafana": "grafana/grafana:13"}


class Failing(Delivery):
    """A stand-in for one whose network fails it in a given way for a given image."""

    def __init__(self, root: Path, image: str, error: PortsideError) -> None:
        config = builders.config(root)
        super().__init__(config, config.environment("prod"), Said(), [])
        self._image, self._error = image, error

    async def provide_named(self, host: Host, reference: str) -> None:
        if reference == self._image:
            raise self._error


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (BuildError("not there", why="dial tcp: lookup: no such host"), "no such host"),
        (HostError("`docker pull` did not finish within 600 s"), "did not finish within 600 s"),
    ],
)
async def test_dashboards_that_do_not_arrive_hold_up_nothing(tmp_path: Path, error: PortsideError, reason: str) -> None:
    left_out = await _provide(Failing(tmp_path, IMAGES["grafana"], error), LocalHost(), IMAGES)
    assert set(left_out) == {"grafana"}
    assert reason in left_out["grafana"]


async def test_without_prometheus_there_is_no_stack(tmp_path: Path) -> None:
    with pytest.raises(HostError):
        await _provide(Failing(tmp_path, IMAGES["prometheus"], HostError("lost")), LocalHost(), IMAGES)

"""The fast part of the fault matrix: every fault once, spread over every phase, on two hosts. All: `nox -s faults`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from portside.lab.values import Lab
from tests.faults import report
from tests.faults.cases import HOSTS, Case, fewest
from tests.faults.ground import Ground, left, prepared
from tests.faults.running import run_case
from tests.faults.table import matrix
from tests.lab.servers import Registry


@pytest.fixture(scope="module")
def ground(lab: Lab, registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    made = asyncio.run(prepared(lab, registry, tmp_path_factory.mktemp("faults") / "project"))
    yield made
    asyncio.run(left(made))


@pytest.mark.parametrize("case", fewest(matrix((min(HOSTS),))), ids=str)
def test_whatever_goes_wrong_in_a_release_every_promise_is_kept(ground: Ground, case: Case) -> None:
    result = asyncio.run(run_case(ground, case))
    if result.broken:
        asyncio.run(ground.clean())
    assert result.broken == (), report.line(result)

"""What the serving benchmark makes of its measurements, and what it says where it can't measure."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.serving.load import require_wrk
from bench.serving.measure import Route, Turn
from portside.errors import ConfigError


def test_without_wrk_it_says_what_to_type(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="apt-get install wrk"):
        require_wrk()


def test_ratios_pair_the_rounds_and_more_is_better_in_both() -> None:
    # Slow for both in the second round: no round's ratio says so.
    ours, theirs = [Turn(90, 110), Turn(9, 1100), Turn(90, 110)], [Turn(100, 100), Turn(10, 1000), Turn(100, 100)]
    route = Route("/", "", production=ours, bare=theirs)
    assert route.ratio == pytest.approx(0.9)
    assert route.processor_ratio == pytest.approx(100 / 110)

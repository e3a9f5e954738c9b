"""PromQL of the project's own: what is filled in, and what an answer means."""

from __future__ import annotations

import json

import pytest

from portside.errors import HostError
from portside.judge.promql import filled, first_value


def test_names_are_filled_in_and_other_dollars_stay() -> None:
    query = 'up{env="$env",path=~"/a$",release="${release}"} == 0'
    assert filled(query, {"env": "prod", "release": "r1"}) == 'up{env="prod",path=~"/a$",release="r1"} == 0'


def vector(*values: str) -> str:
    result = [{"metric": {"host": "a"}, "value": [1.0, value]} for value in values]
    return json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}})


def test_the_first_series_is_shown_and_nothing_is_nothing() -> None:
    assert first_value(vector("7", "8")) == "7 for host=a"
    assert first_value(vector()) == ""


@pytest.mark.parametrize("answer", ["", "{}", "[]", '{"data": {"resultType": "vector", "result": [1]}}', "<html>"])
def test_an_answer_that_makes_no_sense_is_one_clear_error(answer: str) -> None:
    with pytest.raises(HostError, match="makes no sense"):
        first_value(answer)

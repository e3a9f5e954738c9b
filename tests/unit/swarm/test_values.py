"""An environment's values in a Swarm."""

from __future__ import annotations

import base64

from portside.swarm.values import divided, plain_file, secret_lines

DIGESTS = {"A": "1", "TOKEN": "2", "EMPTY": "3", "LINES": "4"}
VALUES = {"A": "plain # $x 'y'", "TOKEN": "se\ncret", "EMPTY": "", "LINES": "one\ntwo"}


def test_what_holds_a_secret_or_several_lines_becomes_an_object() -> None:
    made = divided(VALUES, {"A", "LINES"}, DIGESTS, site="links-prod")
    assert set(made.secrets) == {"TOKEN", "LINES"} == set(made.objects)
    assert made.plain == {"A": "plain # $x 'y'", "EMPTY": ""}


def test_a_value_is_never_shown() -> None:
    made = divided(VALUES, {"A"}, DIGESTS, site="links-prod")
    assert "cret" not in repr(made)
    assert "TOKEN" in repr(made)


def test_the_env_file_takes_values_as_they_are() -> None:
    assert plain_file({"B": "2", "A": "plain # $x 'y'"}) == "A=plain # $x 'y'\nB=2\n"


def test_each_secret_is_one_line_whatever_is_in_it() -> None:
    made = divided(VALUES, {"A", "LINES"}, DIGESTS, site="links-prod")
    lines = dict(line.split(" ") for line in secret_lines(made).decode().splitlines())
    assert {name: base64.b64decode(value).decode() for name, value in lines.items()} == {
        made.objects["TOKEN"]: "se\ncret",
        made.objects["LINES"]: "one\ntwo",
    }

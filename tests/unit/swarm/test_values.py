"""An environment's values in a Swarm."""

from __future__ import annotations

import base64

from portside.swarm.values import divided, object_lines, plain_file

DIGESTS = {"A": "1", "TOKEN": "2", "EMPTY": "3", "LINES": "4"}
CONFIGS = {"banner": "hello\nworld"}
VALUES = {"A": "plain # $x 'y'", "TOKEN": "se\ncret", "EMPTY": "", "LINES": "one\ntwo"}


def test_what_holds_a_secret_becomes_an_object_and_nothing_else_does() -> None:
    made = divided(VALUES, {"A", "LINES"}, DIGESTS, configs=CONFIGS, site="links-prod")
    assert set(made.secrets) == {"TOKEN"} == set(made.objects)
    assert made.plain == {"A": "plain # $x 'y'", "EMPTY": "", "LINES": "one\ntwo"}


def test_what_has_several_lines_is_none_of_the_env_file_which_would_cut_it_off() -> None:
    made = divided(VALUES | {"BACK": "a\rb"}, {"A", "LINES", "BACK"}, DIGESTS, configs=CONFIGS, site="links-prod")
    assert made.lines == {"LINES": "one\ntwo", "BACK": "a\rb"}
    assert plain_file(made.plain) == "A=plain # $x 'y'\nEMPTY=\n"


def test_a_value_is_never_shown() -> None:
    made = divided(VALUES, {"A"}, DIGESTS, configs=CONFIGS, site="links-prod")
    assert "cret" not in repr(made)
    assert "TOKEN" in repr(made)


def test_the_env_file_takes_values_as_they_are() -> None:
    assert plain_file({"B": "2", "A": "plain # $x 'y'"}) == "A=plain # $x 'y'\nB=2\n"


def test_each_secret_and_config_is_one_line_whatever_is_in_it() -> None:
    made = divided(VALUES, {"A", "LINES"}, DIGESTS, configs=CONFIGS, site="links-prod")
    lines = [line.split(" ") for line in object_lines(made).decode().splitlines()]
    assert [(kind, name, base64.b64decode(value).decode()) for kind, name, value in lines] == [
        ("secret", made.objects["TOKEN"], "se\ncret"),
        ("config", made.config_objects["banner"], "hello\nworld"),
    ]

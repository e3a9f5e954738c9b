"""Compose files as YAML: read as Compose reads them, and written so that it reads the same.

Compose reads YAML 1.2 with a few leftovers of 1.1 (https://github.com/go-yaml/yaml/blob/v3/resolve.go). PyYAML reads
1.1, where `on` is true, NO is false and 12:30 is 750; and it writes the text 01089 as if it were a number.
"""

from __future__ import annotations

import math
import re
from typing import Any

import yaml

INTEGER, FLOAT = "tag:yaml.org,2002:int", "tag:yaml.org,2002:float"
OCTAL = re.compile(r"[-+]?0[0-7]+")
# A date is a text here: Compose would hand 2026-01-02 to a service as "2026-01-02 00:00:00 +0000 UTC".
PLAIN = [
    ("tag:yaml.org,2002:null", re.compile(r"(?:~|null|Null|NULL|)\Z")),
    ("tag:yaml.org,2002:bool", re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z")),
    ("tag:yaml.org,2002:merge", re.compile(r"<<\Z")),
    (
        INTEGER,
        re.compile(
            r"[-+]?(?:0[bB]_*[01][01_]*|0[oO]_*[0-7][0-7_]*|0[xX]_*[\da-fA-F][\da-fA-F_]*|0[0-7_]*|[1-9][\d_]*)\Z",
            re.ASCII,
        ),
    ),
    (
        FLOAT,
        re.compile(
            r"(?:[-+]?(?:\.\d+|\d[\d_]*(?:\.[\d_]*)?)(?:[eE][-+]?\d+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z",
            re.ASCII,
        ),
    ),
]


def load(text: str) -> Any:
    """What `text` holds; yaml.YAMLError, ValueError, TypeError or RecursionError where it is no YAML."""
    return yaml.load(text, Loader=_Reader)  # noqa: S506 - it is a SafeLoader


def dump(data: Any) -> str:
    return yaml.dump(data, Dumper=_Writer, sort_keys=False, width=110)


def _integer(reader: _Reader, node: yaml.ScalarNode) -> int:
    digits = reader.construct_scalar(node).replace("_", "")
    return int(digits, 8 if OCTAL.fullmatch(digits) else 0)


def _float(reader: _Reader, node: yaml.ScalarNode) -> float | str:
    value: float = reader.construct_yaml_float(node)
    # 12e4567, the beginning of a commit's hash, is no number to Compose either.
    return node.value if math.isinf(value) and node.value[-1].isdecimal() else value


class _Reader(yaml.SafeLoader):
    # None: whatever character a plain text begins with.
    yaml_implicit_resolvers = {None: PLAIN}  # noqa: RUF012 - PyYAML's own way to say it
    yaml_constructors = yaml.SafeLoader.yaml_constructors | {INTEGER: _integer, FLOAT: _float}


class _Writer(yaml.SafeDumper):
    """Quotes what either YAML would take for something else than text."""

    yaml_implicit_resolvers = yaml.SafeDumper.yaml_implicit_resolvers | {None: PLAIN}

"""A licence that is forbidden is found however a package names it beside others."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from portside.config import Scan
from portside.scan.licenses import forbidden

PATTERNS = Scan().forbidden_licenses


@pytest.mark.parametrize(
    "name",
    [
        "AGPL-3.0-only",
        "agpl-3.0",
        "(AGPL-3.0-or-later)",
        "MIT AND AGPL-3.0-only",
        "MIT and agpl-3.0-only",
        "MIT AND (Apache-2.0 OR BSD-3-Clause) AND SSPL-1.0",
        "AGPL-3.0-only OR SSPL-1.0",
        "MIT AND (AGPL-3.0-only OR BUSL-1.1)",
        "AGPL-3.0-only WITH Classpath-exception-2.0",
        "AGPL-3.0-only WITH Classpath-exception-2.0 AND MIT",
        "AGPL-3.0 or later",
        "SSPL-1.0 Or Later",
        "BUSL-1.1 OR LATER WITH Classpath-exception-2.0",
        "AGPL-3.0 or newer",
        "AGPL-3.0 or higher",
        "AGPL-3.0 or Greater",
        "AGPL-3.0 or above",
        "AGPL-3.0 or any later",
        "AGPL-3.0 or any later version",
        "AGPL-3.0 or later versions AND MIT",
        "MIT AND (AGPL-3.0 or later OR SSPL-1.0)",
    ],
)
def test_what_can_only_be_had_under_a_forbidden_licence_is_forbidden(name: str) -> None:
    assert forbidden(name, PATTERNS)


@pytest.mark.parametrize(
    "name",
    [
        "MIT",
        "LGPL-2.1-only AND MIT",
        "MIT OR AGPL-3.0-only",
        "(MIT OR AGPL-3.0-only) AND BSD-3-Clause",
        "AGPL-3.0-only AND MIT OR Apache-2.0",
        "MIT OR Apache-2.0 AND AGPL-3.0+ OR AGPL-3.0-only",
        "GPL-2.0-only WITH Classpath-exception-2.0",
        "LicenseRef-scancode-public-domain",
        "GPL-2.0 or later",
        "AGPL-3.0 or later OR MIT",
        "MIT or AGPL-3.0 or later",
        "MIT or AGPL-3.0 or any later version",
        "GPL-2.0 or higher",
    ],
)
def test_what_can_be_had_under_another_is_not(name: str) -> None:
    assert not forbidden(name, PATTERNS)


@pytest.mark.parametrize(
    "name",
    [
        "MIT, AGPL-3.0-only",
        "MIT/AGPL-3.0-only",
        "AGPL-3.0-only OR",
        "(MIT OR AGPL-3.0",
        "MIT or AGPL-3.0)",
        "AGPL-3.0 version 3",
        "(AGPL-3.0) or later",
        "MIT or AGPL-3.0 or, at your option, any later version",
    ],
)
def test_of_what_is_no_expression_every_licence_in_it_counts(name: str) -> None:
    assert forbidden(name, PATTERNS)


def test_a_name_in_words_is_matched_as_a_whole() -> None:
    assert forbidden("GNU Affero General Public License v3", ["gnu affero*"])


def test_a_pattern_may_be_about_later_versions_as_spdx_writes_them() -> None:
    assert forbidden("GPL-2.0 or later", ["GPL-2.0-or-later"])
    assert not forbidden("GPL-2.0", ["GPL-2.0-or-later"])


def test_a_pattern_may_be_about_an_exception() -> None:
    name = "GPL-2.0-only WITH Classpath-exception-2.0"
    assert forbidden(name, ["GPL-*"])
    assert forbidden(name, ["* WITH Classpath-*"])


@given(st.text(alphabet="()AMW ,+-3", max_size=30), st.sampled_from(["AND", "OR", "WITH"]))
@example("(" * 5_000, "AND")
def test_whatever_a_package_calls_its_licence_there_is_a_verdict(name: str, word: str) -> None:
    forbidden(f"{name} {word} {name}", PATTERNS)

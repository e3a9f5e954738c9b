"""Is a licence forbidden? Trivy names them as SPDX expressions where a package has more than one.

https://spdx.github.io/spdx-spec/v2.3/SPDX-license-expressions/ (AND binds tighter than OR). Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase

_TOKEN = re.compile(r"[()]|[^\s()]+")
_IDENTIFIER = re.compile(r"[\w.+:-]+")
# "AGPL-3.0 or later" is no choice between two licences.
_LATER = ("later", "newer", "higher", "greater", "above")
_OR_LATER = re.compile(rf"or (any )?({'|'.join(_LATER)})( versions?)?(?= |$)", re.IGNORECASE)
_WORDS = ("(", ")", "and", "or", "with", *_LATER)


def forbidden(name: str, patterns: Sequence[str]) -> bool:
    """Whether one can't have what is licensed as `name` without a licence that one of `patterns` matches.

    All of an AND has to be complied with, of an OR one may choose. Of what is no such expression, everything in it that
    could be a licence counts: a gate doesn't guess in favour of what it can't read.
    """

    def matches(licence: str) -> bool:
        return any(fnmatchcase(licence.lower(), pattern.lower()) for pattern in patterns)

    try:
        return _Expression(name, matches).verdict()
    except (ValueError, RecursionError):
        return any(map(matches, (name, *_IDENTIFIER.findall(name))))


class _Expression:
    """One walk over an expression, from left to right. Raises ValueError where it is none."""

    def __init__(self, text: str, matches: Callable[[str], bool]) -> None:
        self._ahead: list[str] = _TOKEN.findall(text)
        self._matches = matches

    def verdict(self) -> bool:
        found = self._any_of()
        if self._ahead:
            raise ValueError(f"{self._ahead[0]} is too much")
        return found

    def _any_of(self) -> bool:
        found = [self._all_of()]
        while self._take("or"):
            found.append(self._all_of())
        return all(found)

    def _all_of(self) -> bool:
        found = [self._one()]
        while self._take("and"):
            found.append(self._one())
        return any(found)

    def _one(self) -> bool:
        if self._take("("):
            found = self._any_of()
            if not self._take(")"):
                raise ValueError("a parenthesis stays open")
            return found
        licence = self._identifier()
        if not self._take("with"):
            return self._matches(licence)
        # How much of its licence an exception takes back is not for a pattern to know.
        excepted = f"{licence} WITH {self._identifier()}"
        return self._matches(licence) or self._matches(excepted)

    def _take(self, word: str) -> bool:
        if not self._ahead or self._ahead[0].lower() != word:
            return False
        del self._ahead[0]
        return True

    def _identifier(self) -> str:
        if not self._ahead or self._ahead[0].lower() in _WORDS or not _IDENTIFIER.fullmatch(self._ahead[0]):
            raise ValueError("a licence is missing")
        licence = self._ahead.pop(0)
        if said := _OR_LATER.match(" ".join(self._ahead[:4])):
            del self._ahead[: len(said[0].split())]
            licence += "-or-later"
        return licence

"""What sshd is to be set to, the file that says so, and what a host's files come to together.

sshd takes the first value it reads, and reads sshd_config.d in the order of names: ours comes before what a provider
put there (50-cloud-init.conf lets passwords in), and a file that sorts before ours is the owner's last word.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch

MAIN = "/etc/ssh/sshd_config"
DROP_IN = "/etc/ssh/sshd_config.d/00-portside.conf"
STRICTER_ROOT = ("no", "forced-commands-only")
HEAD = f"""\
# Written by `invoke host-bootstrap` of Portside, so that this host takes keys only and drops who is gone.
# Another value of your own: in a file beside this one whose name sorts before {DROP_IN.rpartition("/")[2]}.
"""


@dataclass(frozen=True)
class Setting:
    """A keyword, our value, why, and which values of somebody else's are as good."""

    keyword: str
    value: str
    why: str
    accepts: Callable[[str], bool]
    unset_is_good: bool = False


def _one_of(*values: str) -> Callable[[str], bool]:
    return lambda value: value.lower() in values


def _between(least: int, most: int) -> Callable[[str], bool]:
    return lambda value: least <= _seconds(value) <= most


# docs/decisions/0014-hosts-that-are-hard-to-get-into.md has where each number comes from.
SETTINGS = (
    Setting("PermitRootLogin", "prohibit-password", "root comes in by key, or not at all",
            _one_of("prohibit-password", "without-password", *STRICTER_ROOT)),
    Setting("PubkeyAuthentication", "yes", "the way in", _one_of("yes")),
    Setting("PasswordAuthentication", "no", "a password can be guessed from anywhere", _one_of("no")),
    Setting("KbdInteractiveAuthentication", "no", "PAM asks for the same password this way", _one_of("no")),
    Setting("PermitEmptyPasswords", "no", "an account without a password is open", _one_of("no")),
    Setting("MaxAuthTries", "6", "each key of somebody's agent is a try, so fewer would turn honest people away",
            _between(1, 6)),
    Setting("LoginGraceTime", "30", "whoever says nothing holds a place that others wait for", _between(1, 30)),
    Setting("MaxStartups", "30:30:100", "guessers at the door don't keep a deploy out",
            lambda value: _seconds(value.partition(":")[0]) >= 10),
    Setting("MaxSessions", "32", "a release runs its commands side by side on one connection",
            _between(10, 1000)),
    Setting("ClientAliveInterval", "10", "a deployer that is gone is noticed", _between(1, 10)),
    Setting("ClientAliveCountMax", "3", "and dropped after 30 s, as its lock is", _between(1, 3)),
    Setting("X11Forwarding", "no", "a way from the host to the screen of who logs in", _one_of("no")),
    Setting("AllowAgentForwarding", "no", "root on the host could use the keys of who logs in", _one_of("no")),
    Setting("AllowStreamLocalForwarding", "local", "the proxy is asked through a tunnel to its socket",
            _one_of("local", "yes", "all")),
    Setting("DisableForwarding", "no", "it forbids the tunnel to the proxy's socket, whatever else is said",
            _one_of("no"), unset_is_good=True),
)  # fmt: skip


@dataclass(frozen=True)
class Value:
    text: str
    file: str


@dataclass(frozen=True)
class Effective:
    """What holds for a connection that no Match block is about, by keyword in small letters; and what those say.

    `included`: the files that are read for every connection.
    """

    values: Mapping[str, Value]
    matched: tuple[tuple[str, Value], ...] = ()
    included: frozenset[str] = frozenset()

    def of(self, keyword: str) -> Value | None:
        return self.values.get(keyword.lower())


def drop_in(files: Mapping[str, str]) -> str:
    """The text of our file. `files`: what there is by path; a root login that somebody closed stays closed."""
    others = effective({path: text for path, text in files.items() if path != DROP_IN} | {DROP_IN: ""})
    root = others.of("PermitRootLogin")
    lines = []
    for setting in SETTINGS:
        value = setting.value
        if setting.keyword == "PermitRootLogin" and root and root.text.lower() in STRICTER_ROOT:
            value = root.text.lower()
        lines.append(f"\n# {setting.why[0].upper()}{setting.why[1:]}.\n{setting.keyword} {value}\n")
    return HEAD + "".join(lines)


def effective(files: Mapping[str, str]) -> Effective:
    """What sshd makes of its files. `files`: each file's text by its path, MAIN among them."""
    values: dict[str, Value] = {}
    matched: list[tuple[str, Value]] = []
    included: set[tuple[str, bool]] = set()
    for file, keyword, text, conditional in _settings(files, MAIN, conditional=False, included=included):
        if conditional:
            matched.append((keyword, Value(text, file)))
        else:
            values.setdefault(keyword, Value(text, file))
    always = frozenset(file for file, conditional in included if not conditional)
    return Effective(values, tuple(matched), always)


def weak(found: Effective) -> list[tuple[Setting, Value | None]]:
    """The settings that aren't as good as ours, each with what holds instead; None where nothing is set."""
    held = ((setting, found.of(setting.keyword)) for setting in SETTINGS)
    return [(setting, value) for setting, value in held if not _good(setting, value)]


def _good(setting: Setting, value: Value | None) -> bool:
    return setting.unset_is_good if value is None else setting.accepts(value.text)


def _settings(
    files: Mapping[str, str], path: str, *, conditional: bool, included: set[tuple[str, bool]]
) -> Iterator[tuple[str, str, str, bool]]:
    """(file, keyword, value, whether only some connections are meant), in sshd's order. A Match ends with its file.

    `included`: each file that was read, with whether only some connections are meant.
    """
    included.add((path, conditional))
    within = conditional
    for line in files.get(path, "").splitlines():
        keyword, text = _words(line)
        if keyword == "include":
            for pattern in text.split():
                wanted = pattern if pattern.startswith("/") else f"/etc/ssh/{pattern}"
                for each in sorted(file for file in files if fnmatch(file, wanted)):
                    if (each, conditional) not in included:
                        yield from _settings(files, each, conditional=conditional, included=included)
        elif keyword == "match":
            # What a Match block includes stays within it, whatever stands there.
            conditional = within or text.lower() != "all"
        elif keyword:
            yield path, keyword, text, conditional


def _words(line: str) -> tuple[str, str]:
    found = re.match(r'\s*([A-Za-z0-9]+)[\s=]+"?(.*?)"?\s*(?:#.*)?$', line)
    if not found:
        return "", ""
    keyword = found[1].lower()
    # The name it had until OpenSSH 8.7.
    return ("kbdinteractiveauthentication" if keyword == "challengeresponseauthentication" else keyword), found[2]


def _seconds(value: str) -> int:
    """sshd's way to write a time, or a plain number; -1 for what is neither."""
    found = re.fullmatch(r"(\d+)([smhSMH]?)", value)
    return int(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[found[2].lower()] if found else -1

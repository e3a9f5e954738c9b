"""Lines of authorized_keys: what a key may do once it is let in. docs/decisions/0014-*.md says what that is worth."""

from __future__ import annotations

import re
from dataclasses import dataclass

from portside.proxy_admin import ADMIN_SOCKET

ENGINE_SOCKET = "/var/run/docker.sock"
# As in portside/host/scripts/lib.sh.
BASE = ".portside"

# A release runs commands and opens a tunnel to the proxy's unix socket, which sshd counts as port forwarding; the
# doctor tries Docker's too. `permitopen` compares a socket's path as if it were a host, which its manual doesn't say
# (tests/lab/test_hardening.py does). For listening there is no "none": port 1, which only root may have, comes to it.
HOME = "~"
TUNNELS = (f"{HOME}/{BASE}/{ADMIN_SOCKET}", ENGINE_SOCKET)
# A person also wants a terminal, and tunnels: to Grafana, or to hosts behind this one (ProxyJump).
FOR_A_PERSON = "restrict,port-forwarding,pty"

KEY = re.compile(
    r"(?:^|\s)(?P<kind>(?:ssh|ecdsa|sk-ssh|sk-ecdsa)-[\w.@-]+)\s+(?P<blob>[A-Za-z0-9+/=]+)(?:\s+(?P<comment>.*))?$"
)


@dataclass(frozen=True)
class Line:
    """One key that may log in. `options` as they are written; `head` is all of its line but the comment."""

    head: str
    options: str
    blob: str
    comment: str

    @property
    def name(self) -> str:
        """What a person calls it."""
        return self.comment or f"{self.blob[-12:]}"

    @property
    def words(self) -> frozenset[str]:
        """The options' names, in small letters."""
        bare = re.sub(r'"(?:\\.|[^"\\])*"', "", self.options)
        return frozenset(word.strip().rstrip("=").lower() for word in bare.split(",") if word.strip())

    @property
    def restricted(self) -> bool:
        """It can do no more than a person's key."""
        return "restrict" in self.words and not self.words & {"agent-forwarding", "x11-forwarding"}


def parse(text: str) -> Line | None:
    """A line of authorized_keys; None for a comment or what is none."""
    if text.lstrip().startswith("#"):
        return None
    found = KEY.search(text)
    if not found:
        return None
    return Line(
        head=text[: found.end("blob")],
        options=text[: found.start()].strip(),
        blob=found["blob"],
        comment=(found["comment"] or "").strip(),
    )


def options(home: str, *, person: bool) -> str:
    """What is to stand before a public key that is let in. `home`: the user's, or HOME for the host to fill in."""
    if person:
        return FOR_A_PERSON
    opened = (f'permitopen="[{path.replace(HOME, home)}]:*"' for path in TUNNELS)
    return ",".join(["restrict", "port-forwarding", *opened, 'permitlisten="localhost:1"'])


def corrected(there: Line, key: str, home: str, *, person: bool) -> str:
    """What the line is to be instead; "" where it may stay. Options of somebody's own are never replaced."""
    ours = there.options in ("", options(home, person=False))
    enough = there.restricted and (not person or "pty" in there.words)
    return f"{options(home, person=person)} {key}" if ours and not enough else ""

"""Security updates that install themselves: the file that says which, and what apt makes of all its files."""

from __future__ import annotations

import re
from collections.abc import Sequence

PACKAGE = "unattended-upgrades"
# After the package's own 50unattended-upgrades; what sorts after it is the owner's last word.
FILE = "/etc/apt/apt.conf.d/52portside-upgrades"
SYSTEMS = ("debian", "ubuntu")
ORIGINS = {
    "debian": ("origin=Debian,codename=${distro_codename}-security,label=Debian-Security",),
    "ubuntu": (
        "origin=Ubuntu,archive=${distro_codename}-security,label=Ubuntu",
        "origin=UbuntuESM,archive=${distro_codename}-infra-security",
        "origin=UbuntuESMApps,archive=${distro_codename}-apps-security",
    ),
}
# Hosts restart one after the other: releases are on all of them, so that the rest serves meanwhile.
REBOOT_APART_MINUTES = 15
# Their upgrade restarts all containers where live-restore isn't on.
DOCKERS_OWN = ("docker", "containerd", "runc")


def settings(system: str, *, reboot: str = "", live_restore: bool = True) -> str:
    """The text of our file for `system`. `reboot`: at which time of day, when an update asks for it; "": never."""
    origins = "\n".join(f'  "{origin}";' for origin in ORIGINS[system])
    held = "" if live_restore else "\n".join(
        ["", "// Without live-restore these would restart every container: a person's to upgrade.",
         "Unattended-Upgrade::Package-Blacklist {", *(f'  "^{name}";' for name in DOCKERS_OWN), "};", ""]
    )  # fmt: skip
    when = f'"true";\nUnattended-Upgrade::Automatic-Reboot-Time "{reboot}"' if reboot else '"false"'
    return f"""\
// Written by `invoke host-bootstrap` of Portside: security updates install themselves, and nothing else does.
// Another value of your own: in a file beside this one whose name sorts after it.
APT::Periodic::Update-Package-Lists "1";
APT::Periodic::Unattended-Upgrade "1";
APT::Periodic::AutocleanInterval "7";
#clear Unattended-Upgrade::Origins-Pattern;
#clear Unattended-Upgrade::Allowed-Origins;
Unattended-Upgrade::Origins-Pattern {{
{origins}
}};
Unattended-Upgrade::Automatic-Reboot {when};
{held}"""


def reboot_time(at: str | None, position: int) -> str:
    """When the host at `position` of its environment may restart; "": never."""
    if at is None:
        return ""
    hours, minutes = map(int, at.split(":"))
    total = (hours * 60 + minutes + position * REBOOT_APART_MINUTES) % (24 * 60)
    return f"{total // 60:02}:{total % 60:02}"


def option(dump: Sequence[str], name: str) -> str:
    """The value of an option in the lines of `apt-config dump`; "" where it isn't set."""
    found = [match[1] for line in dump if (match := re.fullmatch(rf'{re.escape(name)} "(.*)";', line))]
    return found[-1] if found else ""


def takes_security(dump: Sequence[str]) -> bool:
    """Whether some pattern takes security updates."""
    pattern = r'Unattended-Upgrade::(Origins-Pattern|Allowed-Origins):: "(.*)";'
    return any(match and "security" in match[2].lower() for line in dump if (match := re.fullmatch(pattern, line)))

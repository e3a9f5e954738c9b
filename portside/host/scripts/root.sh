# shellcheck shell=bash
# What a script that runs as root on a host starts with. It takes a step's name and that step's own arguments; every
# step may be repeated.
set -euo pipefail
umask 022
# A user's PATH may lack where dockerd, sshd and nft are.
export DEBIAN_FRONTEND=noninteractive LC_ALL=C PATH="$PATH:/usr/sbin:/sbin"

fail() {
  printf '%s\n' "$*" >&2
  exit 75
}

has() {
  command -v "$1" >/dev/null 2>&1
}

systemd() {
  [ -d /run/systemd/system ]
}

# apt-get, waiting for another one at work (unattended-upgrades at first boot), not for ever.
quiet_apt() {
  apt-get --quiet --option DPkg::Lock::Timeout=300 --option Acquire::Retries=3 "$@"
}

home_of() {
  getent passwd "$1" | cut -d: -f6
}

# packages PACKAGE … [-- PATH TEXT …]: files for apt first, then what is to be installed, if anything.
packages() {
  local wanted=()
  while [ "$#" -gt 0 ] && [ "$1" != -- ]; do
    wanted+=("$1")
    shift
  done
  [ "$#" = 0 ] || shift
  while [ "$#" -gt 1 ]; do
    install -D -m 0644 /dev/null "$1"
    printf '%s' "$2" >"$1"
    shift 2
  done
  [ "${#wanted[@]}" -gt 0 ] || return 0
  local log
  log=$(mktemp)
  # A list that can't be had explains a package that isn't found, but doesn't stop what needs no new list. Whoever is not
  # waited for any more must not leave a package half installed. Nothing is removed for it: that is somebody's.
  (
    trap '' HUP INT TERM
    quiet_apt update >"$log" 2>&1 || true
    quiet_apt install --yes --no-remove --no-install-recommends "${wanted[@]}" >>"$log" 2>&1
  ) || {
    tail -n 15 "$log" >&2
    fail "apt-get could not install ${wanted[*]}"
  }
  rm -f "$log"
}

# start_engine LOG ARGUMENT …: the Engine, where there is no systemd to do it. It must outlive this connection.
start_engine() {
  local log="$1"
  shift
  setsid dockerd "$@" </dev/null >>"$log" 2>&1 &
}

# engine_answers SECONDS LOG: wait for the Engine, or fail with what it said.
engine_answers() {
  local deadline=$((SECONDS + $1))
  until timeout 15 docker version >/dev/null 2>&1; do
    if [ "$SECONDS" -ge "$deadline" ]; then
      { if systemd; then journalctl -u docker -n 15 --no-pager; else tail -n 15 "$2"; fi; } >&2 || true
      return 1
    fi
    sleep 0.2
  done
}

# none_in_trial SECONDS FILE: fail while what FILE stands for is on trial. One that is older than any trial of so many
# seconds stays behind: whoever was to end that one is gone.
none_in_trial() {
  [ ! -e "$2" ] || [ "$((EPOCHSECONDS - $(stat -c %Y "$2")))" -gt "$(($1 + 30))" ] ||
    fail "somebody else's settings are on trial: wait half a minute and type it again"
}

# in_trial SECONDS FUNCTION FILE: call it when the time is over, unless the trial was ended by then: what it takes back
# is what may have locked out whoever would end it. FILE is there as long as the trial lasts; one that was made anew is
# a later trial's.
in_trial() {
  local of
  of=$(stat -c '%i %z' "$3")
  (
    trap '' HUP INT TERM
    sleep "$1"
    [ "$(stat -c '%i %z' "$3" 2>/dev/null)" != "$of" ] || "$2"
  ) </dev/null >/dev/null 2>&1 &
}

# shellcheck shell=bash
# Make a fresh Debian or Ubuntu machine a Compose host, step by step. Run as root, without lib.sh; every step may be
# repeated. The engine decides which steps are needed (portside/bootstrap.py). Arguments: the step, then its own.
set -euo pipefail
umask 022
# A user's PATH may lack where dockerd, sshd and nft are.
export DEBIAN_FRONTEND=noninteractive LC_ALL=C PATH="$PATH:/usr/sbin:/sbin"
firewall_file=/etc/portside/firewall.nft
firewall_unit=/etc/systemd/system/portside-firewall.service

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

# look USER PUBLIC_KEY: what is there, one "name value" per line, read by portside/bootstrap.py. Changes nothing.
look() {
  local user="$1" key="$2" home
  sed -n 's/^\(ID\|VERSION_ID\|PRETTY_NAME\)=/os_release &/p' /etc/os-release
  printf 'uid %s\n' "$(id -u)"
  ! systemd || printf 'systemd yes\n'
  ! dpkg-query -W -f '${Status}' docker-ce 2>/dev/null | grep -q 'ok installed' || printf 'foreign docker-ce\n'
  if has docker; then
    printf 'installed %s\n' "$(dockerd --version 2>/dev/null | sed -n 's/^Docker version \([^,]*\),.*/\1/p')"
    printf 'engine %s\n' "$(timeout 15 docker version --format '{{.Server.Version}}' 2>/dev/null || true)"
    printf 'compose %s\n' "$(docker compose version --short 2>/dev/null || true)"
  fi
  if systemd && systemctl is-enabled --quiet docker 2>/dev/null; then printf 'at_boot yes\n'; fi
  if home=$(home_of "$user") && [ -n "$home" ]; then
    printf 'user yes\n'
    case " $(id -nG "$user") " in *" docker "*) printf 'group yes\n' ;; esac
    ! grep -qsF -- "$key" "$home/.ssh/authorized_keys" || printf 'key yes\n'
    [ "$(stat -c '%U %a' "$home/.portside" 2>/dev/null)" != "$user 700" ] || printf 'folder yes\n'
  fi
  # Where sshd listens, whatever port this connection came through.
  if has sshd; then { sshd -T 2>/dev/null || true; } | sed -n 's/^port /ssh_port /p'; fi
  if has ufw && ufw status 2>/dev/null | grep -q '^Status: active'; then
    printf 'ufw active\n'
    ufw status | sed -n 's/^\([0-9]*\)\/tcp *ALLOW.*/ufw_port \1/p'
  fi
  ! has nft || printf 'nft yes\n'
  if has nft && nft list table inet portside >/dev/null 2>&1 && [ -e "$firewall_file" ]; then
    printf 'firewall %s\n' "$(sha256sum <"$firewall_file" | cut -d ' ' -f 1)"
  fi
}

# packages PACKAGE … [-- PATH TEXT …]: files for apt first, then what is to be installed.
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
  local log
  log=$(mktemp)
  # A list that can't be had explains a package that isn't found, but doesn't stop what needs no new list.
  quiet_apt update >"$log" 2>&1 || true
  quiet_apt install --yes --no-install-recommends "${wanted[@]}" >>"$log" 2>&1 || {
    tail -n 15 "$log" >&2
    fail "apt-get could not install ${wanted[*]}"
  }
  rm -f "$log"
}

# engine SECONDS LOG: the Engine runs, now and after a reboot. LOG is for machines without systemd.
engine() {
  local deadline=$((SECONDS + $1)) log="$2"
  if systemd; then
    systemctl enable --now docker >/dev/null 2>&1 || true
  elif ! docker version >/dev/null 2>&1; then
    # A session of its own: it must outlive this connection.
    setsid dockerd </dev/null >>"$log" 2>&1 &
  fi
  until timeout 15 docker version >/dev/null 2>&1; do
    if [ "$SECONDS" -ge "$deadline" ]; then
      { if systemd; then journalctl -u docker -n 15 --no-pager; else tail -n 15 "$log"; fi; } >&2 || true
      fail "the Docker Engine did not answer within $1 s of its start"
    fi
    sleep 0.2
  done
}

# user NAME: someone who may log in by key and use Docker.
user() {
  # '*' and not '!': sshd without PAM turns away accounts whose password is locked.
  id "$1" >/dev/null 2>&1 || useradd --create-home --shell /bin/bash --password '*' "$1"
  usermod --append --groups docker "$1"
}

# key NAME PUBLIC_KEY: may log in as NAME. What is there already stays.
key() {
  local home ssh
  home=$(home_of "$1")
  ssh="$home/.ssh"
  install -d -m 0700 -o "$1" -g "$(id -gn "$1")" "$ssh"
  [ -e "$ssh/authorized_keys" ] || install -m 0600 -o "$1" -g "$(id -gn "$1")" /dev/null "$ssh/authorized_keys"
  # A file that doesn't end in a newline would swallow the key.
  [ ! -s "$ssh/authorized_keys" ] || [ -z "$(tail -c 1 "$ssh/authorized_keys")" ] || echo >>"$ssh/authorized_keys"
  printf '%s\n' "$2" >>"$ssh/authorized_keys"
}

# folder NAME: where the engine keeps releases.
folder() {
  install -d -m 0700 -o "$1" -g "$(id -gn "$1")" "$(home_of "$1")/.portside"
}

# ufw_allow PORT …: one more door in the firewall that is in use.
ufw_allow() {
  local port
  for port in "$@"; do ufw allow "$port/tcp" >/dev/null; done
}

# firewall RULES SECONDS: load the table; without `firewall_keep` within SECONDS it is taken away again.
firewall() {
  install -D -m 0644 /dev/null "$firewall_file.new"
  printf '%s' "$1" >"$firewall_file.new"
  nft --check --file "$firewall_file.new" || fail "nft refuses the rules"
  (
    trap '' HUP
    sleep "$2"
    [ ! -e "$firewall_file.new" ] || { nft delete table inet portside && rm -f "$firewall_file.new"; }
  ) </dev/null >/dev/null 2>&1 &
  nft --file "$firewall_file.new"
}

# firewall_keep: a new connection came through, so the rules may stay, after a reboot too.
firewall_keep() {
  [ -e "$firewall_file.new" ] || fail "the rules were taken away meanwhile"
  mv -f "$firewall_file.new" "$firewall_file"
  systemd || return 0
  cat >"$firewall_unit" <<END
[Unit]
Description=Ports that are open on this host (made by Portside)
Before=network-pre.target
Wants=network-pre.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=$(command -v nft) --file $firewall_file

[Install]
WantedBy=multi-user.target
END
  systemctl daemon-reload
  systemctl enable portside-firewall >/dev/null 2>&1
}

step="$1"
shift
case "$step" in
look | packages | engine | user | key | folder | ufw_allow | firewall | firewall_keep) "$step" "$@" ;;
*) fail "there is no step $step" ;;
esac

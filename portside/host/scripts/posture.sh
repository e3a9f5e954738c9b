# shellcheck shell=bash
# How hard a host is to get into: what its sshd, Docker, apt and the keys of a user say, in sections opened by
# "@@<name>". Root (`host-bootstrap`) and the deploy user (`doctor`) run the same; what a user may not read is named.
# Reads only. Argument: the user who deploys. Read by portside/hardening/posture.py.
set -uo pipefail
export LC_ALL=C PATH="$PATH:/usr/sbin:/sbin"
user="$1"

has() {
  command -v "$1" >/dev/null 2>&1
}

# file NAME PATH: a section with the text of a file that may not be there.
file() {
  if [ -r "$2" ]; then
    printf '@@%s %s\n' "$1" "$2"
    cat "$2"
    printf '\n'
  elif [ -e "$2" ] || { [ ! -x "${2%/*}" ] && [ -d "${2%/*}" ]; }; then
    printf '@@unreadable %s\n' "$2"
  fi
}

# The first running program of that name, as its process id.
first_of() {
  pidof "$1" 2>/dev/null | awk '{print $NF}'
}

printf '@@machine\n'
sed -n 's/^ID=/system /p' /etc/os-release | tr -d '"'
printf 'uid %s\n' "$(id -u)"
[ ! -d /run/systemd/system ] || printf 'systemd yes\n'
[ ! -e /run/reboot-required ] || printf 'reboot_required yes\n'

file sshd /etc/ssh/sshd_config
[ ! -d /etc/ssh/sshd_config.d ] || [ -r /etc/ssh/sshd_config.d ] || printf '@@unreadable /etc/ssh/sshd_config.d\n'
for each in /etc/ssh/sshd_config.d/*.conf; do [ ! -e "$each" ] || file sshd "$each"; done

file daemon /etc/docker/daemon.json
printf '@@docker\n'
printf 'daemon_hash %s\n' "$(cat /etc/docker/daemon.json 2>/dev/null | sha256sum | cut -d ' ' -f 1)"
if has docker; then
  timeout 15 docker info --format 'live_restore {{.LiveRestoreEnabled}}
swarm {{.Swarm.LocalNodeState}}' 2>/dev/null
  printf 'userland_proxies %s\n' "$(pidof docker-proxy 2>/dev/null | wc -w)"
  daemon=$(first_of dockerd)
  if [ -n "$daemon" ]; then tr '\0' '\n' <"/proc/$daemon/cmdline" | sed -n 's/^--/flag --/p'; fi
fi
printf '@@published\n'
! has docker || timeout 15 docker ps --format '{{.Names}}|{{.Label "dev.portside.role"}}|{{.Label "com.docker.compose.project"}}|{{.Ports}}' 2>/dev/null

printf '@@upgrades\n'
if has dpkg-query; then
  ! dpkg-query -W -f '${Status}' unattended-upgrades 2>/dev/null | grep -q 'ok installed' || printf 'installed yes\n'
fi
if [ -d /run/systemd/system ]; then
  for each in apt-daily apt-daily-upgrade; do
    ! systemctl is-enabled --quiet "$each.timer" 2>/dev/null || printf 'timer %s\n' "$each"
  done
fi
file apt_file /etc/apt/apt.conf.d/52portside-upgrades
printf '@@apt\n'
! has apt-config || apt-config dump 2>/dev/null | grep -E '^(APT::Periodic|Unattended-Upgrade)::'

printf '@@account\n'
printf 'groups %s\n' "$(id -nG "$user" 2>/dev/null)"
if [ "$(id -u)" = 0 ]; then
  # Field 2: a hash, or something that no password has as its hash.
  case "$(getent shadow "$user" | cut -d: -f2)" in '' | '*' | '!'*) ;; *) printf 'password yes\n' ;; esac
elif [ "$(id -un)" = "$user" ] && has sudo && sudo -n true 2>/dev/null; then
  printf 'sudo yes\n'
fi
home=$(getent passwd "$user" | cut -d: -f6)
printf 'home %s\n' "$home"
# A lock whose end is still to come: somebody is releasing.
for each in "$home"/.portside/sites/*/lock; do
  [ -r "$each/holder.json" ] && [ "$(cat "$each/expires" 2>/dev/null || echo 0)" -gt "$EPOCHSECONDS" ] || continue
  each=${each%/lock}
  printf 'busy %s\n' "${each##*/}"
done
[ -z "$home" ] || file keys "$home/.ssh/authorized_keys"

file nft /etc/portside/firewall.nft
printf '@@firewall\n'
! grep -qs '^ENABLED=yes' /etc/ufw/ufw.conf || printf 'ufw yes\n'
! nft list table inet portside >/dev/null 2>&1 || printf 'in_force yes\n'
if [ -d /run/systemd/system ] && systemctl is-enabled --quiet portside-firewall 2>/dev/null; then printf 'at_boot yes\n'; fi
printf '@@end\n'

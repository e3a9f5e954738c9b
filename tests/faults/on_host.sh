#!/bin/bash
# Run as root on a lab host: what goes wrong there, and how it is mended. The first argument says what.
set -euo pipefail

readonly home=/home/deploy disk=/var/tmp/home.img
readonly engine=/var/lib/docker engine_disk=/var/tmp/engine.img
readonly preload=/etc/ld.so.preload
readonly clock=/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1

# The numbers of the processes whose name begins with $1 and that belong to user $2.
processes() {
  local folder name
  for folder in /proc/[0-9]*; do
    name=$(tr '\0' ' ' <"$folder/cmdline" 2>/dev/null) || continue
    [[ $name == "$1"* && $(stat -c %U "$folder" 2>/dev/null) == "$2" ]] && printf '%s\n' "${folder##*/}"
  done
  return 0
}

# The first processes of the containers whose names begin with $1.
first_processes() {
  docker ps --filter "name=^$1" --format '{{.ID}}' | xargs --no-run-if-empty docker inspect --format '{{.State.Pid}}'
}

signal_containers() {
  local found
  mapfile -t found < <(first_processes "$2" | head -n "$3")
  kill -s "$1" "${found[@]}"
}

case "$1" in
# A home and an Engine's folder of their own sizes: the hosts' disks are this machine's, which nobody wants full.
small-disks)
  truncate --size=96M "$disk"
  truncate --size=1G "$engine_disk"
  mkfs.ext4 -q "$disk"
  # Nothing of it is kept back for root, whom the Engine runs as.
  mkfs.ext4 -q -m 0 "$engine_disk"
  printf '%s\n' '#!/bin/bash' 'set -euo pipefail' "mount -o loop $engine_disk $engine" \
    "cp -a $home/.ssh /run/ssh" "mount -o loop $disk $home" "rm -rf $home/.ssh" \
    "cp -a /run/ssh $home/.ssh" "chown deploy:deploy $home" \
    '[ ! -e /etc/lab-host.forward ] || exec /etc/lab-host.forward' >/etc/lab-host.boot
  chmod 755 /etc/lab-host.boot
  ;;
fill-disk) setpriv --reuid=deploy --regid=deploy --clear-groups dd if=/dev/zero of="$home/filler" bs=64k 2>/dev/null || true ;;
empty-disk) rm -f "$home/filler" ;;
fill-engine-disk)
  # Anywhere else it would be this machine's own disk.
  mountpoint -q "$engine"
  fallocate --length "$(df --output=avail --block-size=1 "$engine" | tail -n 1)" "$engine/filler" 2>/dev/null || true
  dd if=/dev/zero of="$engine/filler.end" bs=4k 2>/dev/null || true
  ;;
empty-engine-disk) rm -f "$engine/filler" "$engine/filler.end" ;;
freeze-ssh)
  mapfile -t frozen < <(processes sshd-session: deploy)
  printf '%s\n' "${frozen[@]}" >/run/frozen
  kill -STOP "${frozen[@]}"
  ;;
thaw-ssh)
  mapfile -t frozen </run/frozen
  kill -CONT "${frozen[@]}" 2>/dev/null || true
  ;;
clock-ahead)
  printf '%s\n' "+3600" >/etc/faketimerc
  printf '%s\n' "$clock" >"$preload"
  ;;
clock-right) rm -f "$preload" /etc/faketimerc ;;
kill-proxy) signal_containers KILL portside-proxy-caddy 1 ;;
# As its own supervisor would make it anew: from the files of the host, with nothing that it had in memory or in /data.
lose-proxy)
  folder="$home/.portside/proxy"
  PORTSIDE_CONFIG=$(docker inspect --format '{{index .Config.Labels "dev.portside.config"}}' portside-proxy-caddy-1)
  PORTSIDE_UID=$(id -u deploy) PORTSIDE_GID=$(id -g deploy)
  export PORTSIDE_CONFIG PORTSIDE_UID PORTSIDE_GID
  docker rm --force portside-proxy-caddy-1 >/dev/null
  rm -rf "$folder/data" "$folder/run"
  install -d -m 0700 -o deploy -g deploy "$folder/data" "$folder/run"
  docker compose -p portside-proxy --project-directory "$folder" -f "$folder/compose.yaml" --env-file /dev/null \
    up -d --no-build --pull never 2>/dev/null
  ;;
signal) signal_containers "$2" "$3" "$4" ;;
secrets)
  # Who but root and the owner reads it, and in which argument list it stands.
  setpriv --reuid=65534 --clear-groups grep -rlI -- "$2" /home /tmp /var/tmp /run /etc 2>/dev/null || true
  for folder in /proc/[0-9]*; do
    [[ ${folder##*/} != "$$" && ${folder##*/} != "$BASHPID" ]] || continue
    ! tr '\0' '\n' <"$folder/cmdline" 2>/dev/null | grep -qF -- "$2" || [ "$(<"$folder/comm")" = bash ] || tr '\0' ' ' <"$folder/cmdline"
  done
  grep -rl -- "$2" "$home/.portside" 2>/dev/null | grep -v '/releases/[^/]*/env$' || true
  ;;
esac

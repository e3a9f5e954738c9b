# Make a fresh Debian or Ubuntu machine a Compose host, step by step. Which steps are needed is decided by
# portside/bootstrap.py.
firewall_file=/etc/portside/firewall.nft
firewall_unit=/etc/systemd/system/portside-firewall.service

# look USER PUBLIC_KEY: what is there, one "name value" per line, read by portside/bootstrap.py. Changes nothing.
look() {
  local user="$1" key="$2" home engine
  sed -n 's/^\(ID\|VERSION_ID\|PRETTY_NAME\)=/os_release &/p' /etc/os-release
  printf 'uid %s\n' "$(id -u)"
  ! systemd || printf 'systemd yes\n'
  ! dpkg-query -W -f '${Status}' docker-ce 2>/dev/null | grep -q 'ok installed' || printf 'foreign docker-ce\n'
  if has docker; then
    printf 'installed %s\n' "$(dockerd --version 2>/dev/null | sed -n 's/^Docker version \([^,]*\),.*/\1/p')"
    engine=$(timeout 15 docker version --format '{{.Server.Version}}' 2>/dev/null || true)
    printf 'engine %s\n' "$engine"
    # A snap's, or Podman's.
    [ -z "$engine" ] || has dockerd || printf 'foreign %s\n' "$(command -v docker)"
    printf 'compose %s\n' "$(docker compose version --short 2>/dev/null || true)"
    [ "$(timeout 15 docker info --format '{{.Swarm.LocalNodeState}}' 2>/dev/null)" != active ] || printf 'swarm yes\n'
  fi
  if systemd && systemctl is-enabled --quiet docker 2>/dev/null; then printf 'at_boot yes\n'; fi
  if home=$(home_of "$user") && [ -n "$home" ]; then
    printf 'user yes\n'
    case " $(id -nG "$user") " in *" docker "*) printf 'group yes\n' ;; esac
    ! grep -sv '^[[:space:]]*#' "$home/.ssh/authorized_keys" | grep -F -- "$key" >/dev/null || printf 'key yes\n'
    [ "$(stat -c '%U %a' "$home/.portside" 2>/dev/null)" != "$user 700" ] || printf 'folder yes\n'
  fi
  # Where sshd listens, whatever port this connection came through.
  if has sshd; then { sshd -T 2>/dev/null || true; } | sed -n 's/^port /ssh_port /p'; fi
  if has ufw && ufw status 2>/dev/null | grep -q '^Status: active'; then
    printf 'ufw active\n'
    # Whoever may come in there, that is the owner's decision.
    ufw status | sed -n 's/ *#.*//; / OUT / d; / FWD / d; s/^\([0-9][0-9,:]*\)\(\/tcp\)\{0,1\}\( (v6)\)\{0,1\}\( on [^ ]*\)\{0,1\} *\(ALLOW\|LIMIT\) .*/ufw_port \1/p'
    ufw status | sed -n 's/^4789\/udp *ALLOW *\([^ ]*\).*/ufw_peer \1/p'
  fi
  ! has nft || printf 'nft yes\n'
  if has nft && nft list table inet portside >/dev/null 2>&1 && [ -e "$firewall_file" ] &&
    { ! systemd || grep -qs '^After=.*nftables' "$firewall_unit"; }; then
    printf 'firewall %s\n' "$(sha256sum <"$firewall_file" | cut -d ' ' -f 1)"
  fi
}

# engine SECONDS LOG: the Engine runs, now and after a reboot. LOG is for machines without systemd.
engine() {
  if systemd; then
    systemctl enable --now docker >/dev/null 2>&1 || true
  elif ! docker version >/dev/null 2>&1; then
    start_engine "$2"
  fi
  engine_answers "$@" || fail "the Docker Engine did not answer within $1 s of its start"
}

# user NAME: someone who may log in by key and use Docker.
user() {
  # '*' and not '!': sshd without PAM turns away accounts whose password is locked.
  id "$1" >/dev/null 2>&1 || useradd --create-home --shell /bin/bash --password '*' "$1"
  usermod --append --groups docker "$1"
}

# key NAME LINE: may log in as NAME; "[~/" in its options is NAME's home. What is there already stays.
key() {
  local home ssh
  home=$(home_of "$1")
  ssh="$home/.ssh"
  install -d -m 0700 -o "$1" -g "$(id -gn "$1")" "$ssh"
  [ -e "$ssh/authorized_keys" ] || install -m 0600 -o "$1" -g "$(id -gn "$1")" /dev/null "$ssh/authorized_keys"
  # A file that doesn't end in a newline would swallow the key.
  [ ! -s "$ssh/authorized_keys" ] || [ -z "$(tail -c 1 "$ssh/authorized_keys")" ] || echo >>"$ssh/authorized_keys"
  printf '%s\n' "${2//\[\~\//[$home/}" >>"$ssh/authorized_keys"
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

# ufw_peers NETWORK …: what the nodes of a Swarm there say to each other.
ufw_peers() {
  local peer
  for peer in "$@"; do
    ufw allow proto tcp from "$peer" to any port 2377,7946 >/dev/null
    ufw allow proto udp from "$peer" to any port 7946 >/dev/null
    ufw allow proto esp from "$peer" to any >/dev/null
    # Last, for this is the one that is looked for.
    ufw allow proto udp from "$peer" to any port 4789 >/dev/null
  done
}

# What was kept before is in force again, or nothing where nothing was.
end_firewall_trial() {
  [ -e "$firewall_file.new" ] || return 0
  if [ -e "$firewall_file" ]; then nft --file "$firewall_file"; else nft delete table inet portside; fi &&
    rm -f "$firewall_file.new"
}

# firewall RULES SECONDS: load the table; without `firewall_keep` within SECONDS all is as before again.
firewall() {
  none_in_trial "$2" "$firewall_file.new"
  install -D -m 0644 /dev/null "$firewall_file.checked"
  printf '%s' "$1" >"$firewall_file.checked"
  nft --check --file "$firewall_file.checked" || fail "nft refuses the rules"
  # An earlier trial's timer ends nothing from here on, so this one's is next.
  mv -f "$firewall_file.checked" "$firewall_file.new"
  in_trial "$2" end_firewall_trial "$firewall_file.new"
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
# As ufw and nftables do: with systemd's own dependencies it would come after cloud-init, which comes after the network,
# and systemd leaves out one of what waits for each other. Whatever nftables.service loads begins with a flush of all.
DefaultDependencies=no
After=local-fs.target nftables.service
Before=network-pre.target shutdown.target
Wants=network-pre.target
Conflicts=shutdown.target

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
look | packages | engine | user | key | folder | ufw_allow | ufw_peers | firewall | firewall_keep) "$step" "$@" ;;
*) fail "there is no step $step" ;;
esac

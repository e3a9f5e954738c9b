# Make a host harder to get into, step by step. What each step writes is decided by portside/hardening/plan.py.
sshd_file=/etc/ssh/sshd_config.d/00-portside.conf
# What sshd had before a trial: gone after a reboot, and once the trial is over.
sshd_before=/run/portside-sshd.before
daemon_file=/etc/docker/daemon.json

reload_sshd() {
  local file pid="" deadline=$((SECONDS + 10))
  if systemd && systemctl is-active --quiet ssh.socket; then
    # A reload would lose systemd's socket: "Cannot bind any address". A restart leaves open connections alone, and
    # where each connection has an sshd of its own there is nothing to restart.
    systemctl try-restart ssh
    return
  fi
  # For a moment a reloading sshd listens nowhere; it writes its process id when it does again.
  file=$(sshd -T 2>/dev/null | sed -n 's/^pidfile //p')
  if [ -s "$file" ]; then
    pid=$(cat "$file")
    rm -f "$file"
  fi
  if systemd; then systemctl reload ssh || return 1; else kill -HUP "$pid" || return 1; fi
  [ -n "$pid" ] || return 0
  until [ -s "$file" ] || [ "$SECONDS" -ge "$deadline" ]; do sleep 0.1; done
}

put_sshd_back() {
  if [ -s "$sshd_before" ]; then cp "$sshd_before" "$sshd_file"; else rm -f "$sshd_file"; fi
  rm -f "$sshd_before"
}

end_sshd_trial() {
  [ -e "$sshd_before" ] || return 0
  put_sshd_back
  reload_sshd
}

# sshd_settings TEXT SECONDS: sshd has them from its next connection on; without `sshd_keep` within SECONDS it has the
# old ones again. Connections that are open stay as they are.
sshd_settings() {
  local said
  none_in_trial "$2" "$sshd_before"
  [ ! -e "$sshd_before" ] || put_sshd_back
  said=$(sshd -t 2>&1) || fail "sshd refuses the configuration that is there already, so nothing was changed: ${said%%$'\n'*}"
  install -m 0600 /dev/null "$sshd_before"
  [ ! -e "$sshd_file" ] || cp "$sshd_file" "$sshd_before"
  install -D -m 0644 /dev/null "$sshd_file"
  printf '%s' "$1" >"$sshd_file"
  if ! said=$(sshd -t 2>&1); then
    put_sshd_back
    fail "sshd refuses the settings together with its others, so they were taken away: ${said%%$'\n'*}"
  fi
  in_trial "$2" end_sshd_trial "$sshd_before"
  reload_sshd || {
    put_sshd_back
    fail "sshd could not be told, so its old settings are back"
  }
}

# sshd_keep: a new connection came through, so the settings may stay.
sshd_keep() {
  [ -e "$sshd_before" ] || fail "the settings were taken away meanwhile"
  rm -f "$sshd_before"
}

live_restore() {
  [ "$(timeout 15 docker info --format '{{.LiveRestoreEnabled}}' 2>/dev/null)" = true ]
}

# reload_engine SECONDS: it reads daemon.json again. Live-restore, if that says so, is in force when this ends.
reload_engine() {
  local deadline=$((SECONDS + $1))
  kill -HUP "$(cat /run/docker.pid)" || return 1
  grep -q '"live-restore": true' "$daemon_file" || return 0
  until live_restore; do
    [ "$SECONDS" -lt "$deadline" ] || {
      printf 'the Docker Engine did not take live-restore\n' >&2
      return 1
    }
    sleep 0.2
  done
}

# restart_engine SECONDS LOG: with the arguments that it had, also when it is gone by now.
engine_arguments=()
restart_engine() {
  local pid deadline=$((SECONDS + $1))
  if systemd; then
    # An Engine that failed to start a few times is not started again before this is said.
    systemctl reset-failed docker 2>/dev/null || true
    systemctl restart docker || return 1
  else
    pid=$(cat /run/docker.pid 2>/dev/null || true)
    if [ -n "$pid" ] && [ -d "/proc/$pid" ]; then
      mapfile -d '' -t engine_arguments <"/proc/$pid/cmdline"
      kill "$pid" || true
      # A zombie has ended: its parent here may be nobody who looks.
      while grep -qs '^State:.[^Z]' "/proc/$pid/status"; do
        [ "$SECONDS" -lt "$deadline" ] || return 1
        sleep 0.2
      done
    fi
    start_engine "$2" "${engine_arguments[@]:1}"
  fi
  engine_answers "$1" "$2"
}

# First of all live-restore, for which a reload is enough: then a restart stops no container.
take_daemon() {
  reload_engine "$2" || return 1
  [ "$1" = reload ] || restart_engine "$2" "$3"
}

# daemon BEFORE HOW SECONDS LOG: replace daemon.json by what comes on standard input, if its hash is still BEFORE, and
# have it taken: HOW is "reload" or "restart". An Engine that doesn't come up gets the old file back.
daemon() {
  local said before="$daemon_file.before"
  # Half of this is an Engine that nobody told of its file. What is cut short here fails, and has its old one again.
  trap : HUP INT TERM
  [ "$(cat "$daemon_file" 2>/dev/null | sha256sum | cut -d ' ' -f 1)" = "$1" ] ||
    fail "$daemon_file was changed meanwhile: look at it and type the same again"
  install -d -m 0755 "${daemon_file%/*}"
  # A proxy's password may stand in it.
  install -m 0600 /dev/null "$daemon_file.new"
  cat >"$daemon_file.new"
  # dockerd takes a file without a word in it for one that leaves all as it is.
  [ -s "$daemon_file.new" ] || {
    rm -f "$daemon_file.new"
    fail "the new $daemon_file did not arrive, so nothing was changed"
  }
  said=$(dockerd --validate --config-file "$daemon_file.new" 2>&1) || {
    rm -f "$daemon_file.new"
    fail "dockerd refuses it, so nothing was changed: $said"
  }
  rm -f "$before"
  if [ -e "$daemon_file" ]; then
    chown --reference "$daemon_file" "$daemon_file.new"
    chmod --reference "$daemon_file" "$daemon_file.new"
    cp -p "$daemon_file" "$before"
  else
    chmod 0644 "$daemon_file.new"
  fi
  mv -f "$daemon_file.new" "$daemon_file"
  if take_daemon "$2" "$3" "$4"; then
    rm -f "$before"
    return
  fi
  if [ -e "$before" ]; then mv -f "$before" "$daemon_file"; else rm -f "$daemon_file"; fi
  if timeout 15 docker version >/dev/null 2>&1; then reload_engine "$3" || true; else restart_engine "$3" "$4" || true; fi
  fail "the Docker Engine did not come up with the new $daemon_file, so it has its old one again"
}

# upgrades [PACKAGE …] -- PATH TEXT: security updates install themselves.
upgrades() {
  packages "$@"
  ! systemd || systemctl enable --now apt-daily.timer apt-daily-upgrade.timer >/dev/null 2>&1
}

# key_options NAME HEAD NEW: the same key, with other options. HEAD is its line without the comment, which may be in any
# encoding, with an editor's \r at its end, and so didn't reach us as it is.
key_options() {
  local file line found=""
  file="$(home_of "$1")/.ssh/authorized_keys"
  while IFS= read -r line || [ -n "$line" ]; do
    case "$line" in
    "$3" | "$2" | "$2"[[:space:]]*)
      printf '%s\n' "$3"
      found=yes
      ;;
    *) printf '%s\n' "$line" ;;
    esac
  done <"$file" >"$file.new"
  [ -n "$found" ] || {
    rm -f "$file.new"
    fail "the line of this key in $file was changed meanwhile: look at it and type the same again"
  }
  chown --reference "$file" "$file.new"
  chmod --reference "$file" "$file.new"
  mv -f "$file.new" "$file"
}

# no_sudo NAME GROUP …: out of groups that may become root.
no_sudo() {
  local name="$1" group
  shift
  for group in "$@"; do gpasswd --delete "$name" "$group" >/dev/null; done
}

# no_password NAME: its key is the only way in.
no_password() {
  usermod --password '*' "$1"
}

step="$1"
shift
case "$step" in
sshd_settings | sshd_keep | daemon | upgrades | key_options | no_sudo | no_password) "$step" "$@" ;;
*) fail "there is no step $step" ;;
esac

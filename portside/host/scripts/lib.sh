# shellcheck shell=bash
# What every script below starts with. The engine puts this text before the script's own.
# $1 is the site (<service>-<env>); a script shifts it away by sourcing this.
set -euo pipefail
umask 077

base="$HOME/.portside"
site_name="$1"
site="$base/sites/$site_name"
shift

# Exit codes the engine knows: 71 lock held, 73 lock lost, 74 busy, 75 gate failed, 76 state on disk is wrong,
# 77 not fit to serve alone.
fail() {
  local code="$1"
  shift
  printf '%s\n' "$*" >&2
  exit "$code"
}

# Every program started here costs a small host a millisecond or two, times all hosts at once: what Bash can do by
# itself, it does.

# Replace file $1 by text $2 in one step, so that a reader or a crash sees the old or the new one, never half.
put() {
  printf '%s\n' "$2" >"$1.new" && mv -f "$1.new" "$1"
}

# As put, for what other users have to read: the proxy's, say. The folder above all of it is closed to others.
publish() {
  umask 022
  [ -d "${1%/*}" ] || mkdir -p "${1%/*}"
  if put "$@"; then umask 077; else umask 077 && return 1; fi
}

# A file that may not be there yet. One that is there and can't be read is an error, never "nothing released".
show() {
  local text
  [ -e "$1" ] || return 0
  text=$(<"$1")
  [ -z "$text" ] || printf '%s\n' "$text"
}

# Append one journal line: $1 is a JSON object without its time, which only this host's clock may tell.
record() {
  printf '{"at":%s,%s\n' "$EPOCHSECONDS" "${1#\{}" >>"$site/journal.jsonl"
}

# Half a line, which a full disk or a power cut has left, ends here: the next one would be lost with it.
end_line() {
  [ ! -s "$site/journal.jsonl" ] || [ "$(tail -c 1 "$site/journal.jsonl" | wc -l)" = 1 ] || printf '\n' >>"$site/journal.jsonl"
}

# Room for the lock and the journal of an undo, where a release has filled the disk: each one lays it aside first.
lay_aside() {
  [ -e "$site/ballast" ] || printf '%65536s' '' >"$site/ballast"
}

make_room() {
  rm -f "$site/ballast"
}

# True while the caller still holds the lease that gave it fencing token $1.
holds() {
  local held=""
  [ -e "$site/lock/holder.json" ] && [ -e "$site/lock/token" ] && read -r held <"$site/lock/token" && [ "$held" = "$1" ]
}

# One script at a time works on a site, and only for the holder of the lease. What an interrupted
# deployer left running is waited for; what it starts late is turned away by its stale token.
guard() {
  local token="$1"
  [ -d "$site/releases" ] && [ -d "$site/lock" ] || mkdir -p "$site/releases" "$site/lock"
  exec 9>"$site/work.lock"
  flock -w 60 9 || fail 74 "another portside step is still working on $site_name"
  holds "$token" || fail 73 "the release lock of $site_name was lost to another deployer"
  # A step that an undo of its operation has overtaken, on another connection, must not begin after it.
  local undone=""
  [ ! -e "$site/lock/undone" ] || read -r undone <"$site/lock/undone"
  case "${begin:-}" in
  *'"phase":"undo"'*) ;;
  *"\"${undone:--}\""*) fail 73 "this operation has been undone on $site_name already" ;;
  esac
}

# Which of the two slots the proxy sends traffic to, and which one stands behind it: "blue", "blue>green", "".
routed() {
  show "$base/proxy/routes/$site_name/route"
}

route() {
  publish "$base/proxy/routes/$site_name/route" "$1"
}

# What an undo of operation $1 begins with: whatever it has overtaken is turned away from now on (see guard), and traffic
# goes by route $2 ("-": as it does, "none": by none).
take_back() {
  put "$site/lock/undone" "$1" || return 1
  case "$2" in
  -) ;;
  none) rm -f "$base/proxy/routes/$site_name/route" ;;
  *) route "$2" ;;
  esac
}

# Go on only if the proxy's configuration, file $1, is the one with sha256 $2 still ("-": none), but for blank lines, which
# the engine doesn't see. Prints it where it isn't.
unless_changed() {
  local actual="-"
  [ ! -s "$1" ] || actual=$(show "$1" | sed '/^[[:space:]]*$/d' | sha256sum | cut -d ' ' -f 1)
  [ "$actual" = "$2" ] || {
    cat "$1"
    fail 74 "the proxy's configuration was changed meanwhile by another command"
  }
}

# Standard input, a tar, into folder $1, with the modes it says; what was left there is gone.
unpack() {
  [ ! -e "$1" ] || rm -rf "$1"
  mkdir -p "$1"
  tar -x -p -f - -C "$1"
}

# The containers of one release in one slot, of all services or of those named: ids, one per line.
containers() {
  local slot="$1" release="$2" id service
  shift 2
  docker ps -a --no-trunc --filter "label=com.docker.compose.project=$site_name-$slot" \
    --filter "label=dev.portside.release=$release" --format '{{.ID}} {{.Label "com.docker.compose.service"}}' |
    while read -r id service; do
      case " $* " in "  " | *" $service "*) printf '%s\n' "$id" ;; esac
    done
}

# As containers, into the array `ids`. An Engine that doesn't answer is no Engine without containers.
# shellcheck disable=SC2034 # whoever calls this uses `ids`
find_containers() {
  local found
  found=$(containers "$@") || fail 76 "the Docker Engine does not answer"
  ids=()
  [ -z "$found" ] || mapfile -t ids <<<"$found"
}

# Remove image $1, unless a release of any site here has it but release $2 of this one. What runs with it keeps it, too:
# the Engine refuses.
remove_image() {
  local record others=()
  for record in "$base"/sites/*/releases/*/release.json; do
    [ "$record" = "$site/releases/$2/release.json" ] || others+=("$record")
  done
  ! grep -qsF "\"reference\":\"$1\"" "${others[@]}" /dev/null || return 0
  timeout 60 docker image rm "$1" >/dev/null 2>&1 || true
}

# Remove container $1, which may not be there, but must not be there after this.
remove_container() {
  local said
  for _ in 1 2 3 4 5 6 7 8 9 10; do
    said=$(docker rm -f "$1" 2>&1) && return 0
    case "$said" in
    *"o such container"*) return 0 ;;
    # By the Engine itself: it was to go with its end.
    *"already in progress"*) sleep 0.5 ;;
    *) break ;;
    esac
  done
  fail 75 "container $1 could not be removed: $said"
}

# Into the array `composing`: how to start Compose. Through `docker compose` the plugin is started twice more.
# https://docs.docker.com/compose/install/linux/ names the folders.
# shellcheck disable=SC2034 # whoever calls this uses `composing`
find_compose() {
  local folder
  for folder in "${DOCKER_CONFIG:-$HOME/.docker}" /usr/local/lib/docker /usr/local/libexec/docker /usr/lib/docker /usr/libexec/docker; do
    if [ -x "$folder/cli-plugins/docker-compose" ]; then
      composing=("$folder/cli-plugins/docker-compose")
      return 0
    fi
  done
  composing=(docker compose)
}

compose() {
  local slot="$1" release="$2" composing
  shift 2
  find_compose
  # In a session of its own: a cancelled step must not leave Compose half-way. It keeps the work lock until it ends.
  setsid -w "${composing[@]}" -p "$site_name-$slot" --project-directory "$site/releases/$release" \
    -f "$site/releases/$release/compose.yaml" --env-file /dev/null "$@"
}

# Of the containers with label $1, the ids of those that a start waits for in vain. What the others say would bury it.
unwell() {
  docker ps -aq --filter "label=$1" --filter status=exited --filter status=restarting --filter status=dead
  docker ps -q --filter "label=$1" --filter health=unhealthy --filter health=starting
}

# The last health check of a container that runs and isn't healthy: why it can't be made is in nobody's log.
# shellcheck disable=SC2016 # its variables are the template's
check_format='{{if eq .State.Status "running"}}{{with .State.Health}}{{if ne .Status "healthy"}}{{$last := ""}}{{range .Log}}{{$last = .}}{{end}}{{with $last}}health check of {{slice $.Name 1}}: exit code {{.ExitCode}}: {{printf "%.500s" .Output}}{{end}}{{end}}{{end}}{{end}}'

# The end of what the containers given by id said, for an error. The checks come last: logs of others would bury them.
last_words() {
  local id check checks=()
  for id in "$@"; do
    printf -- '--- last log lines of %s\n' "$(docker inspect -f '{{.Name}} ({{.State.Status}}, exit code {{.State.ExitCode}}{{if .State.OOMKilled}}, out of memory{{end}})' "$id" 2>/dev/null | sed 's,^/,,')"
    docker logs --tail 20 "$id" 2>&1 || true
    check=$(docker inspect -f "$check_format" "$id" 2>/dev/null) || check=""
    [ -z "$check" ] || checks+=("$check")
  done
  [ "${#checks[@]}" = 0 ] || printf -- '--- %s\n' "${checks[@]//[[:cntrl:]]/ }"
}

# shellcheck shell=bash
# What every script below starts with. The engine puts this text before the script's own.
# $1 is the site (<service>-<env>); a script shifts it away by sourcing this.
set -euo pipefail
umask 077

base="$HOME/.portside"
site_name="$1"
site="$base/sites/$site_name"
shift

# Exit codes the engine knows: 71 lock held, 73 lock lost, 74 busy, 75 gate failed, 76 state on disk is wrong.
fail() {
  local code="$1"
  shift
  printf '%s\n' "$*" >&2
  exit "$code"
}

# Replace a file in one step, so that a reader or a crash sees the old or the new one, never half.
put() {
  cat >"$1.new"
  mv -f "$1.new" "$1"
}

# As put, for what the proxy's own user has to read; the folder above all of it is closed to others.
publish() {
  (
    umask 022
    mkdir -p "$(dirname "$1")"
    put "$1"
  )
}

# A file that may not be there yet. One that is there and can't be read is an error, never "nothing released".
show() {
  [ ! -e "$1" ] || cat "$1"
}

# Append one journal line: $1 is a JSON object without its time, which only this host's clock may tell.
record() {
  printf '{"at":%s,%s\n' "$(date -u +%s)" "${1#\{}" >>"$site/journal.jsonl"
}

# True while the caller still holds the lease that gave it fencing token $1.
holds() {
  [ -e "$site/lock/holder.json" ] && [ "$(cat "$site/lock/token" 2>/dev/null)" = "$1" ]
}

# One script at a time works on a site, and only for the holder of the lease. What an interrupted
# deployer left running is waited for; what it starts late is turned away by its stale token.
guard() {
  local token="$1"
  mkdir -p "$site/releases" "$site/lock"
  exec 9>"$site/work.lock"
  flock -w 60 9 || fail 74 "another portside step is still working on $site_name"
  holds "$token" || fail 73 "the release lock of $site_name was lost to another deployer"
}

# Which of the two slots the proxy sends traffic to, and which one stands behind it: "blue", "blue>green", "".
routed() {
  show "$base/proxy/routes/$site_name/route"
}

route() {
  printf '%s\n' "$1" | publish "$base/proxy/routes/$site_name/route"
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

compose() {
  local slot="$1" release="$2"
  shift 2
  # In a session of its own: a cancelled step must not leave Compose half-way. It keeps the work lock until it ends.
  setsid -w docker compose -p "$site_name-$slot" --project-directory "$site/releases/$release" \
    -f "$site/releases/$release/compose.yaml" --env-file /dev/null "$@"
}

# The end of what the containers given by id said, for an error.
last_words() {
  local id
  for id in "$@"; do
    printf -- '--- last log lines of %s\n' "$(docker inspect -f '{{.Name}} ({{.State.Status}}, exit code {{.State.ExitCode}}{{if .State.OOMKilled}}, out of memory{{end}})' "$id" 2>/dev/null | sed 's,^/,,')"
    docker logs --tail 20 "$id" 2>&1 || true
  done
}

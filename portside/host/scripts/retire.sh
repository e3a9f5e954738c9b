# shellcheck shell=bash
# Stop the release that served before, keep it for rollback, and prune what is older than that.
# Arguments: token, begin, end, route that remains, containers to stop as one word, the slot, release, port and readiness
# path of what is to serve alone, releases to prune as <release>=<image reference or "-">=<its containers, with spaces> …
token="$1" begin="$2" end="$3" new_route="$4" stopping="$5" slot="$6" release="$7" port="$8" path="$9"
shift 9
guard "$token"
# Minutes may have passed since it was watched, and what stands behind it answers for it until it is stopped.
if [ -n "$stopping" ]; then
  why=$(unfit "$slot" "$release" "$port" "$path") || exit "$?"
  [ -z "$why" ] || fail 77 "release $release is not fit to serve alone: $why"
fi
read -r -a ids <<<"$stopping"

# Each container knows its own grace period. Compose would do the same, and read its file first.
stop_all() {
  [ "${#ids[@]}" = 0 ] || setsid -w docker stop "${ids[@]}" >/dev/null 2>&1
}

# Keep those of `ids` that run still. Fails while the Engine doesn't answer.
keep_running() {
  local present id left=()
  present=$(docker ps -q --no-trunc 2>/dev/null) || return 1
  for id in "${ids[@]}"; do
    case "$present" in *"$id"*) left+=("$id") ;; esac
  done
  ids=("${left[@]}")
}

record "$begin"
[ "$new_route" = "-" ] || route "$new_route"
# An Engine that is restarted meanwhile starts again what it was stopping.
stop_all || {
  until=$((SECONDS + 45))
  until keep_running && stop_all; do
    [ "$SECONDS" -lt "$until" ] || fail 75 "could not stop all containers of the previous release"
    sleep 1
  done
}
for pruned in "$@"; do
  IFS='=' read -r old image found <<<"$pruned"
  read -r -a ids <<<"$found"
  [ "${#ids[@]}" = 0 ] || docker rm -f "${ids[@]}" >/dev/null
  # The folder goes last: by it both are found again.
  [ "$image" = "-" ] || remove_image "$image" "$old"
  rm -rf "${site:?}/releases/$old"
done
record "$end"

# shellcheck shell=bash
# Stop the release that served before, keep it for rollback, and prune what is older than that.
# Arguments: token, begin, end, route that remains, slot and release to stop ("-": none), releases to prune
# as <release>=<image reference or "-"> …
token="$1" begin="$2" end="$3" new_route="$4" slot="$5" release="$6"
shift 6
guard "$token"
record "$begin"
[ "$new_route" = "-" ] || route "$new_route"
if [ "$slot" != "-" ] && [ -d "$site/releases/$release" ]; then
  find_containers "$slot" "$release"
  # Each container knows its own grace period. Compose would do the same, and read its file first.
  [ "${#ids[@]}" = 0 ] || setsid -w docker stop "${ids[@]}" >/dev/null 2>&1 || echo "could not stop all of release $release"
fi
for pruned in "$@"; do
  old="${pruned%%=*}" image="${pruned#*=}"
  found=$(docker ps -aq --filter "label=dev.portside.site=$site_name" --filter "label=dev.portside.release=$old")
  ids=()
  [ -z "$found" ] || mapfile -t ids <<<"$found"
  [ "${#ids[@]}" = 0 ] || docker rm -f "${ids[@]}" >/dev/null
  rm -rf "${site:?}/releases/$old"
  [ "$image" = "-" ] || docker image rm "$image" >/dev/null 2>&1 || true
done
record "$end"

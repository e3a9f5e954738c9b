# shellcheck shell=bash
# Stop the release that served before, keep it for rollback, and prune what is older than that.
# Arguments: token, begin, end, route that remains, containers to stop as one word, releases to prune as
# <release>=<image reference or "-">=<its containers, with spaces> …
token="$1" begin="$2" end="$3" new_route="$4"
read -r -a ids <<<"$5"
shift 5
guard "$token"
record "$begin"
[ "$new_route" = "-" ] || route "$new_route"
# Each container knows its own grace period. Compose would do the same, and read its file first.
[ "${#ids[@]}" = 0 ] || setsid -w docker stop "${ids[@]}" >/dev/null 2>&1 || echo "could not stop all containers of the previous release"
for pruned in "$@"; do
  IFS='=' read -r old image found <<<"$pruned"
  read -r -a ids <<<"$found"
  [ "${#ids[@]}" = 0 ] || docker rm -f "${ids[@]}" >/dev/null
  rm -rf "${site:?}/releases/$old"
  [ "$image" = "-" ] || docker image rm "$image" >/dev/null 2>&1 || true
done
record "$end"

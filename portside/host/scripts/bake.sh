# shellcheck shell=bash
# Watch the new release for a while: fails as soon as one of its containers exits, restarts or turns unhealthy.
# Arguments: token, begin, end, slot, release, seconds, warm (1: it ran before, and may have been restarted then).
# A line on standard input ends it: enough was seen.
token="$1" begin="$2" end="$3" slot="$4" release="$5" seconds="$6" warm="$7"
guard "$token"
record "$begin"
find_containers "$slot" "$release"
declare -A before=()
[ "${#ids[@]}" -gt 0 ] || fail 75 "release $release has no containers any more"
# SECONDS counts whole seconds, which may cut a short bake by half.
until=$((${EPOCHREALTIME/[.,]/} + seconds * 1000000))
while [ "${EPOCHREALTIME/[.,]/}" -lt "$until" ]; do
  holds "$token" || fail 73 "the release lock of $site_name was lost"
  lines=$(docker inspect -f '{{.ID}} {{.Name}} {{.State.Status}} {{if .State.Health}}{{.State.Health.Status}}{{else}}none{{end}} {{.RestartCount}}' "${ids[@]}" 2>&1) ||
    { last_words "${ids[@]}" >&2; fail 75 "a container of release $release is gone"; }
  while read -r id name status health restarts; do
    [ "$warm" = 0 ] || [ -n "${before[$id]:-}" ] || before["$id"]="$restarts"
    if [ "$status" != running ] || [ "$health" = unhealthy ] || [ "$restarts" != "${before[$id]:-0}" ]; then
      last_words "$id" >&2
      fail 75 "container ${name#/} is $status, health $health, restarted $((restarts - ${before[$id]:-0})) times"
    fi
  done <<<"$lines"
  # A time-out is above 128; at the end of standard input there is nothing to wait at.
  if read -r -t 0.25 _; then break; else [ "$?" -gt 128 ] || sleep 0.25; fi
done
record "$end"

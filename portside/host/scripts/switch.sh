# shellcheck shell=bash
# Move traffic: one file replaced, read by the proxy at every request. Then hand over stop-first services.
# Arguments: token, begin, end, route, old slot, old release ("-" when none), new slot, new release,
# deadline in seconds, services of the old release to stop as one word, stop-first services of the new one …
token="$1" begin="$2" end="$3" new_route="$4" old_slot="$5" old_release="$6" slot="$7" release="$8" deadline="$9"
read -r -a stopping <<<"${10}"
shift 10
guard "$token"
record "$begin"
# After a power cut, no route may be there that the journal doesn't know of.
sync -d "$site/journal.jsonl"
[ "$new_route" = "-" ] || route "$new_route"
if [ "${#stopping[@]}" -gt 0 ]; then
  find_containers "$old_slot" "$old_release" "${stopping[@]}"
  [ "${#ids[@]}" = 0 ] || setsid -w docker stop "${ids[@]}" >"$site/up.log" 2>&1 || {
    tail -n 15 "$site/up.log" >&2
    fail 75 "${stopping[*]} of release $old_release could not be stopped, and must not run twice"
  }
fi
if [ "$#" -gt 0 ]; then
  compose "$slot" "$release" up -d --no-deps --no-build --pull never "$@" >"$site/up.log" 2>&1 || {
    tail -n 15 "$site/up.log" >&2
    fail 75 "docker compose could not start $* of release $release"
  }
  find_containers "$slot" "$release" "$@"
  gate "$token" "$deadline" 0 / "${ids[@]}" >&2
fi
record "$end"

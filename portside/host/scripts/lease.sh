# shellcheck shell=bash
# Take the release lock of a site and keep it while the engine keeps this channel open.
# Arguments: ttl in seconds; mode (hold, leave: a lock that outlives this
# channel until its ttl); full (1 adds the facts of a preflight, an image's name that image's as well).
# Standard input: the holder as one line of JSON, then a line per heartbeat.
# Standard output: "held <holder>" or "token <n>", then the site's state.
ttl="$1" mode="$2" full="$3"
mkdir -p "$site/lock" "$site/releases"
IFS= read -r holder || fail 76 "no holder was sent"

exec 8>"$site/lock/flock"
flock -w 10 8 || fail 74 "the lock file of $site_name is busy"
now=$(date -u +%s)
expires=$(cat "$site/lock/expires" 2>/dev/null || echo 0)
if [ -e "$site/lock/holder.json" ] && [ "$expires" -gt "$now" ]; then
  printf 'held %s %s %s\n' "$now" "$expires" "$(cat "$site/lock/holder.json")"
  exit 71
fi
token=$(($(cat "$site/lock/token" 2>/dev/null || echo 0) + 1))
printf '%s\n' "$token" | put "$site/lock/token"
printf '%s\n' "$((now + ttl))" | put "$site/lock/expires"
printf '{"since":%s,%s\n' "$now" "${holder#\{}" | put "$site/lock/holder.json"
flock -u 8
printf 'token %s\n' "$token"
# Side by side: the Engine takes its time over either.
[ "$full" = 0 ] || exec 5< <(emit_facts "$full")
emit_state
[ "$full" = 0 ] || cat <&5
printf '@@end\n'
[ "$mode" = hold ] || exit 0
exec 2>/dev/null

# However this ends, by end of file because the deployer is done or dead, or by a signal: nobody holds it any more.
release_lock() {
  flock -w 10 8
  if holds "$token"; then rm -f "$site/lock/holder.json" "$site/lock/expires"; fi
}
trap release_lock EXIT

while IFS= read -r _; do
  flock -w 10 8
  if ! holds "$token"; then exit 73; fi
  printf '%s\n' "$(($(date -u +%s) + ttl))" | put "$site/lock/expires"
  flock -u 8
done

# shellcheck shell=bash
# Take the release lock of a site and keep it while the engine keeps this channel open.
# Arguments: ttl in seconds; mode (hold, leave: a lock that outlives this
# channel until its ttl); full (1 adds the facts of a preflight, an image's name that image's as well).
# Standard input: the holder as one line of JSON, then a line per heartbeat; of a lock that is to be left, "keep".
# Standard output: "held <holder>" or "token <n>", then the site's state; of one that is left, then "kept".
ttl="$1" mode="$2" full="$3"
[ -d "$site/lock" ] && [ -d "$site/releases" ] || mkdir -p "$site/lock" "$site/releases"
IFS= read -r holder || fail 76 "no holder was sent"

exec 8>"$site/lock/flock"
flock -w 10 8 || fail 74 "the lock file of $site_name is busy"
now="$EPOCHSECONDS" expires=0 last=0
# Empty where the power was lost while it was written.
[ ! -s "$site/lock/expires" ] || read -r expires <"$site/lock/expires"
if [ -e "$site/lock/holder.json" ] && [ "$expires" -gt "$now" ]; then
  printf 'held %s %s %s\n' "$now" "$expires" "$(cat "$site/lock/holder.json")"
  exit 71
fi
[ ! -s "$site/lock/token" ] || read -r last <"$site/lock/token"
token=$((last + 1))

# However this ends, by end of file because the deployer is done or dead, or by a signal: nobody holds it any more.
release_lock() {
  flock -w 10 8
  if holds "$token"; then rm -f "$site/lock/holder.json" "$site/lock/expires"; fi
  # What this has started, and may outlive it, has the file open as well.
  flock -u 8
}
trap release_lock EXIT
take_lock() {
  put "$site/lock/token" "$token" && put "$site/lock/expires" "$((now + ttl))" &&
    put "$site/lock/holder.json" "{\"since\":$now,${holder#\{}"
}
take_lock || { make_room && take_lock; } || fail 76 "the lock of $site_name can't be written: is the disk full?"
flock -u 8
printf 'token %s\n' "$token"
# What a dead deployer left working here ends first, and nothing of his begins any more: a commit that is under way
# must not be read as one that never was (tests/model).
exec 9>"$site/work.lock"
flock -w 45 9 || fail 74 "a step of a release that was interrupted is still at work on $site_name"
# Whoever only looks does so on a full disk too; what has to be written says that it can't be.
end_line 2>/dev/null || true
exec 9>&-
# Side by side: the Engine takes its time over either.
[ "$full" = 0 ] || exec 5< <(emit_facts "$full")
emit_state
[ "$full" = 0 ] || cat <&5
printf '@@end\n'
if [ "$mode" = leave ]; then
  # Every host has to have it, or none keeps it.
  IFS= read -r word && [ "$word" = keep ] || exit 0
  trap - EXIT
  printf 'kept\n'
  exit 0
fi
exec 2>/dev/null

while IFS= read -r _; do
  # What can't be written now, on a full disk say, can be by the next beat: the lease lasts for three.
  flock -w 10 8 || continue
  if ! holds "$token"; then exit 73; fi
  put "$site/lock/expires" "$((EPOCHSECONDS + ttl))" || true
  flock -u 8
done

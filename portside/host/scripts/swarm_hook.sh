# shellcheck shell=bash
# Run the before-switch hook once, as a job of the Swarm: wherever it runs, it has the release's secrets.
# Arguments: token, begin line, end line, release, time-out in seconds.
token="$1" begin="$2" end="$3" release="$4" deadline=$((SECONDS + $5)) seconds="$5"
guard "$token"
record "$begin"
job="$site_name-hook" error="" outcome=""
remove_job "${job}_hook"
await_job_end "${job}_hook"
timeout 120 docker stack deploy --compose-file "$site/releases/$release/hook.yaml" --with-registry-auth --resolve-image never "$job" \
  >"$site/up.log" 2>&1 || {
  tail -n 15 "$site/up.log" >&2
  fail 75 "the before-switch hook could not be started"
}
while [ -z "$outcome" ]; do
  holds "$token" || fail 73 "the release lock of $site_name was lost"
  IFS='|' read -r id state error < <(swarm service ps --no-trunc --format '{{.ID}}|{{.CurrentState}}|{{.Error}}' "${job}_hook" 2>/dev/null) || true
  case "${state:-}" in
  Complete*) outcome=completed ;;
  Failed* | Rejected*) outcome="${error//\"/}" ;;
  *)
    if [ "$SECONDS" -ge "$deadline" ]; then outcome="it ran past its $seconds s"; else sleep 0.2; fi
    ;;
  esac
done
[ "$outcome" = completed ] || task_logs "${id:-${job}_hook}" 40 >&2
remove_job "${job}_hook"
[ "$outcome" = completed ] || fail 75 "the before-switch hook failed: $outcome"
record "$end"

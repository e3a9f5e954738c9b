# shellcheck shell=bash
# Watch the new release's tasks for a while, wherever they run: fails as soon as one ends by itself. A task that goes with
# its node doesn't count: the Swarm starts it elsewhere. One whose Engine is restarted has ended.
# Arguments: token, begin, end, acts ("acts" where this host watches for all), slot, release, seconds. A line on standard
# input ends it: enough was seen.
token="$1" begin="$2" end="$3" acts="$4" slot="$5" release="$6" seconds="$7"
guard "$token"
record "$begin"
if [ "$acts" = acts ]; then
  earlier=" $(bygone "$slot" "$release") "
  # SECONDS counts whole seconds, which may cut a short bake by half.
  until=$((${EPOCHREALTIME/[.,]/} + seconds * 1000000))
  while [ "${EPOCHREALTIME/[.,]/}" -lt "$until" ]; do
    holds "$token" || fail 73 "the release lock of $site_name was lost"
    # A Swarm that loses its leader, with a node, says nothing for some seconds.
    listed=$(tasks "$slot" "$release") || listed=""
    while IFS='|' read -r id service state _ _ _ error; do
      case "$state$earlier" in
      *" $id "*) ;;
      # Whoever ends in order has ended, too.
      failed* | complete*)
        last_task_words "$id" "$error" >&2
        fail 75 "a container of $service ended: ${error:-exited with code 0}"
        ;;
      esac
    done <<<"$listed"
    # A time-out is above 128; at the end of standard input there is nothing to wait at.
    if read -r -t 0.5 _; then break; else [ "$?" -gt 128 ] || sleep 0.5; fi
  done
fi
record "$end"

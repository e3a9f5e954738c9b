# shellcheck shell=bash
# Put this node, and from every manager the Swarm, back to what it was before an operation. Safe to repeat, and at once on
# several managers: the one that acted may be gone.
# Arguments: token, begin line, end line, route to restore ("-": as it is, "none": no route), old slot, old release ("-":
# none), new slot, new release, what to do with the new release (remove: it never served; keep: it is an older release),
# its operation, labels of the counters ("": none), stop-first services to bring back as <service>=<containers> …
token="$1" begin="$2" end="$3" old_route="$4" old_slot="$5" old_release="$6" slot="$7" release="$8" treatment="$9"
operation="${10}" labels="${11}"
shift 11
guard "$token"
make_room
end_line
record "$begin"
take_back "$operation" "$old_route"
acts=no
! manages || acts=yes
# Only what is new had a hook.
if [ "$treatment" = remove ]; then
  [ "$acts" = no ] || remove_job "$site_name-hook_hook"
  await_job_end "$site_name-hook_hook"
fi
if [ "$acts" = yes ]; then
  find_services "$old_slot" "$old_release"
  present=" ${services[*]} "
  for wanted in "$@"; do
    name="$site_name-${old_slot}_${wanted%=*}"
    case "$present" in *" $name "*) scale "$name" "${wanted#*=}" ;; esac
  done
  # Requests that it has taken on are finished: a task gets SIGTERM and its grace period.
  for _ in 1 2 3 4 5; do
    find_services "$slot" "$release"
    [ "${#services[@]}" -gt 0 ] || break
    if [ "$treatment" != remove ]; then
      for service in "${services[@]}"; do scale "$service" 0; done
      break
    fi
    swarm service rm "${services[@]}" >/dev/null 2>&1 || sleep 0.3
  done
  if [ "$treatment" = remove ]; then
    find_services "$slot" "$release"
    [ "${#services[@]}" = 0 ] || fail 75 "release $release could not be removed from the Swarm"
  fi
fi
rm -rf "${site:?}/releases/.new-$release"
[ "$treatment" != remove ] || rm -rf "${site:?}/releases/$release"
[ -z "$labels" ] || mark_undo "$operation" "$release" "$labels" 2>&1 || printf 'monitoring could not be told of this undo\n'
record "$end"

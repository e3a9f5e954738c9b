# shellcheck shell=bash
# Before an undo brings anything back: traffic goes as before, and what must not run twice ends, here and, from every
# manager, in the Swarm. Each node looks after its own containers, since a task that was scaled away is in no list; a manager
# also waits for what was scaled away of the release before: the one that handed over for all of that, which may be gone, and
# the others for what runs there.
# Arguments: token, begin line, end line, route to restore, old slot, old release (all three as in swarm_undo.sh), slot,
# release, its operation, seconds for containers to end, services …
token="$1" begin="$2" old_route="$4" old_slot="$5" old_release="$6" slot="$7" release="$8" operation="$9"
deadline=$((SECONDS + ${10}))
shift 10
guard "$token"
make_room
record "$begin"
take_back "$operation" "$old_route"
manages=no
! manages || manages=yes
if [ "$manages" = yes ]; then
  find_services "$slot" "$release"
  for service in "$@"; do
    name="$site_name-${slot}_$service"
    case " ${services[*]} " in *" $name "*) scale "$name" 0 ;; esac
  done
fi
for service in "$@"; do
  while :; do
    left=$(swarm ps -q --filter "label=com.docker.compose.project=$site_name-$slot" \
      --filter "label=dev.portside.release=$release" --filter "label=com.docker.compose.service=$service") || left=unknown
    [ -n "$left" ] || break
    holds "$token" || fail 73 "the release lock of $site_name was lost"
    [ "$SECONDS" -lt "$deadline" ] || fail 75 "$service of release $release did not stop in time, and must not run twice"
    sleep 0.2
  done
done
if [ "$manages" = yes ]; then
  ending=()
  # Empty after a power cut, it says nothing: an undo doesn't end with that.
  [ ! -e "$site/ending" ] || read -r -a ending <"$site/ending" || true
  here=$(swarm ps --filter "label=com.docker.compose.project=$site_name-$old_slot" \
    --filter "label=dev.portside.release=$old_release" \
    --format '{{.Label "com.docker.compose.service"}} {{.Label "com.docker.swarm.task.id"}}') ||
    fail 76 "the Docker Engine does not answer"
  while read -r service id; do
    case " $* " in *" $service "*) ending+=("$id") ;; esac
  done <<<"$here"
  for id in "${ending[@]}"; do
    until over "$id" || remains "$id"; do
      holds "$token" || fail 73 "the release lock of $site_name was lost"
      [ "$SECONDS" -lt "$deadline" ] || fail 75 "a service of the release before did not stop in time, and must not run twice"
      sleep 0.3
    done
  done
  rm -f "$site/ending"
fi

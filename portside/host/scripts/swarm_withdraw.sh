# shellcheck shell=bash
# Before an undo brings anything back: traffic goes as before, and what must not run twice ends, here and, from every
# manager, in the Swarm. Each node looks after its own containers, since a task that was scaled away is in no list; the one
# that handed over also waits for what it scaled away of the release before.
# Arguments: token, begin line, end line, route to restore (as in swarm_undo.sh), slot, release, its operation, seconds for
# containers to end, services …
token="$1" begin="$2" old_route="$4" slot="$5" release="$6" operation="$7" deadline=$((SECONDS + $8))
shift 8
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
if [ "$manages" = yes ] && [ -e "$site/ending" ]; then
  # Empty after a power cut, it says nothing: an undo doesn't end with that.
  read -r -a ending <"$site/ending" || true
  for id in "${ending[@]}"; do
    until over "$id" || remains "$id"; do
      holds "$token" || fail 73 "the release lock of $site_name was lost"
      [ "$SECONDS" -lt "$deadline" ] || fail 75 "a service of the release before did not stop in time, and must not run twice"
      sleep 0.3
    done
  done
  rm -f "$site/ending"
fi

# shellcheck shell=bash
# Hand over stop-first services, once traffic has moved: the old one's containers end, then the new one's start.
# Arguments: token, begin, end, old slot, old release ("-" when none), new slot, new release, deadline in seconds,
# services of the old release to stop as one word, services of the new one as <service>=<containers> …
token="$1" begin="$2" end="$3" old_slot="$4" old_release="$5" slot="$6" release="$7" deadline=$((SECONDS + $8))
read -r -a stopping <<<"$9"
shift 9
guard "$token"
record "$begin"

if [ "${#stopping[@]}" -gt 0 ]; then
  find_services "$old_slot" "$old_release"
  ending=()
  for service in "${stopping[@]}"; do
    name="$site_name-${old_slot}_$service"
    case " ${services[*]} " in *" $name "*) ;; *) continue ;; esac
    alive=$(live "$old_slot" "$old_release" "$service") || exit "$?"
    read -r -a tasks_of_it <<<"$alive"
    ending+=("${tasks_of_it[@]}")
    # An undo that comes before they have ended finds them in no list.
    put "$site/ending" "${ending[*]}"
    scale "$name" 0
  done
  for id in "${ending[@]}"; do
    until over "$id"; do
      holds "$token" || fail 73 "the release lock of $site_name was lost"
      [ "$SECONDS" -lt "$deadline" ] || fail 75 "a service of release $old_release did not stop in time, and must not run twice"
      sleep 0.3
    done
  done
  rm -f "$site/ending"
fi
earlier=$(bygone "$slot" "$release")
for wanted in "$@"; do scale "$site_name-${slot}_${wanted%=*}" "${wanted#*=}"; done
converge "$token" "$deadline" "$slot" "$release" "$earlier" "$@" >&2
record "$end"

# shellcheck shell=bash
# Hand over stop-first services, once traffic has moved: the old one's containers end, then the new one's start.
# Arguments: token, begin, end, old slot, old release ("-" when none), new slot, new release, deadline in seconds,
# services as <service>=<containers> …
token="$1" begin="$2" end="$3" old_slot="$4" old_release="$5" slot="$6" release="$7" deadline=$((SECONDS + $8))
shift 8
guard "$token"
record "$begin"

if [ "$old_release" != "-" ]; then
  find_services "$old_slot" "$old_release"
  old=()
  for wanted in "$@"; do
    name="$site_name-${old_slot}_${wanted%=*}"
    case " ${services[*]} " in *" $name "*) scale "$name" 0 && old+=("${wanted%=*}") ;; esac
  done
  await_end "$token" "$deadline" "$old_slot" "$old_release" "${old[@]}"
fi
earlier=$(bygone "$slot" "$release")
for wanted in "$@"; do scale "$site_name-${slot}_${wanted%=*}" "${wanted#*=}"; done
converge "$token" "$deadline" "$slot" "$release" "$earlier" "$@" >&2
record "$end"

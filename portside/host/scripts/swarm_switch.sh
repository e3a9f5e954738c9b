# shellcheck shell=bash
# Hand over stop-first services, once traffic has moved: the old one's containers end, then the new one's start.
# Arguments: token, begin, end, old slot, old release ("-" when none), new slot, new release, deadline in seconds,
# services as <service>=<containers> …
token="$1" begin="$2" end="$3" old_slot="$4" old_release="$5" slot="$6" release="$7" deadline=$((SECONDS + $8))
shift 8
guard "$token"
record "$begin"

# Whether a container of the old release's service $1 may still run, on any node but those of $2.
runs_still() {
  local service state node
  while IFS='|' read -r _ service state _ _ node _; do
    case "$service $state" in
    "$1 assigned" | "$1 accepted" | "$1 preparing" | "$1 ready" | "$1 starting" | "$1 running")
      case " $2 " in *" $node "*) ;; *) return 0 ;; esac
      ;;
    esac
  done < <(tasks "$old_slot" "$old_release")
  return 1
}

if [ "$old_release" != "-" ]; then
  present=" $(stack_services "$old_slot" "$old_release" | tr '\n' ' ') "
  old=()
  for wanted in "$@"; do
    name="$site_name-${old_slot}_${wanted%=*}"
    case "$present" in *" $name "*) scale "$name" 0 && old+=("${wanted%=*}") ;; esac
  done
  for service in "${old[@]}"; do
    # What is on a node that the Swarm has given up counts as ended: it would be started elsewhere, too.
    while runs_still "$service" "$(swarm node ls --format '{{.ID}} {{.Status}}' | sed -n 's/ Down$//p' | tr '\n' ' ')"; do
      holds "$token" || fail 73 "the release lock of $site_name was lost"
      [ "$SECONDS" -lt "$deadline" ] || fail 75 "$service of release $old_release did not stop in time, and must not run twice"
      sleep 0.3
    done
  done
fi
earlier=$(bygone "$slot" "$release")
for wanted in "$@"; do scale "$site_name-${slot}_${wanted%=*}" "${wanted#*=}"; done
converge "$token" "$deadline" "$slot" "$release" "$earlier" "$@" >&2
record "$end"

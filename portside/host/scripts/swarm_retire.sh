# shellcheck shell=bash
# Scale the release that served before to nothing, keep it for rollback, and prune what is older than that.
# Arguments: token, begin, end, acts ("acts" where this host prunes the Swarm's own objects), route that remains,
# old slot ("-": nothing to stop), old release; of what is to serve alone the slot, the release, how long it may take to be
# all there, and <service>=<containers> as one word; releases to prune as <release>=<image reference or "-"> …
token="$1" begin="$2" end="$3" acts="$4" new_route="$5" old_slot="$6" old_release="$7"
slot="$8" release="$9" deadline=$((SECONDS + ${10}))
read -r -a wanted <<<"${11}"
shift 11
guard "$token"
# Minutes may have passed since it was watched, and what stands behind it answers for it until it is scaled away.
if [ "$old_slot" != "-" ] && manages; then
  until why=$(lacking "$slot" "$release" "${wanted[@]}") && [ -z "$why" ]; do
    holds "$token" || fail 73 "the release lock of $site_name was lost"
    [ "$SECONDS" -lt "$deadline" ] || fail 77 "release $release is not fit to serve alone:${why:- the Swarm does not answer}"
    sleep 0.5
  done
fi
record "$begin"
[ "$new_route" = "-" ] || route "$new_route"
if [ "$old_slot" != "-" ] && manages; then
  find_services "$old_slot" "$old_release"
  for service in "${services[@]}"; do scale "$service" 0; done
fi
for pruned in "$@"; do
  [ "${pruned#*=}" = "-" ] || remove_image "${pruned#*=}" "${pruned%%=*}"
  rm -rf "${site:?}/releases/${pruned%%=*}"
done
if [ "$acts" = acts ]; then
  # What no release here names any more. One that a task still uses stays: the Engine refuses.
  for kind in secret config; do
    while read -r object; do
      grep -qsF "$object" "$site"/releases/*/compose.yaml || swarm "$kind" rm "$object" >/dev/null 2>&1 || true
    done < <(swarm "$kind" ls --filter "label=dev.portside.site=$site_name" --format '{{.Name}}')
  done
fi
record "$end"

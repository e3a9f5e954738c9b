# shellcheck shell=bash
# Scale the release that served before to nothing, keep it for rollback, and prune what is older than that.
# Arguments: token, begin, end, acts ("acts" where this host prunes the Swarm's own objects), route that remains,
# old slot ("-": nothing to stop), old release, releases to prune as <release>=<image reference or "-"> …
token="$1" begin="$2" end="$3" acts="$4" new_route="$5" old_slot="$6" old_release="$7"
shift 7
guard "$token"
record "$begin"
[ "$new_route" = "-" ] || route "$new_route"
if [ "$old_slot" != "-" ] && manages; then
  find_services "$old_slot" "$old_release"
  for service in "${services[@]}"; do scale "$service" 0; done
fi
for pruned in "$@"; do
  [ "${pruned#*=}" = "-" ] || timeout 60 docker image rm "${pruned#*=}" >/dev/null 2>&1 || true
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

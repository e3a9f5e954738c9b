# shellcheck shell=bash
# Start the new release's stack beside the old one, and wait until the Swarm says that its containers are healthy.
# Arguments: token, begin, end, slot, release, deadline in seconds, services as <service>=<containers> …
token="$1" begin="$2" end="$3" slot="$4" release="$5" deadline=$((SECONDS + $6))
shift 6
guard "$token"
record "$begin"
earlier=$(bygone "$slot" "$release")
# In a session of its own: a cancelled step must not leave half a stack. It keeps the work lock until it ends.
PORTSIDE_SLOT="$slot" setsid -w timeout 120 docker stack deploy --compose-file "$site/releases/$release/compose.yaml" --prune \
  --with-registry-auth --resolve-image never "$site_name-$slot" >"$site/up.log" 2>&1 || {
  tail -n 15 "$site/up.log" >&2
  fail 75 "docker stack deploy could not start release $release"
}
converge "$token" "$deadline" "$slot" "$release" "$earlier" "$@" >&2
record "$end"

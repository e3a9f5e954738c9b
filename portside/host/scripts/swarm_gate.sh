# shellcheck shell=bash
# What this node has of a release that the Swarm has started: ask its readiness, and let this node's proxy and agent reach
# it. Prints the names of its web containers, which may be none.
# Arguments: token, begin, end, slot, release, deadline in seconds, port, readiness path, web service.
token="$1" begin="$2" end="$3" slot="$4" release="$5" deadline=$((SECONDS + $6)) port="$7" path="$8" web="$9"
guard "$token"
record "$begin"
refuse_own_network
# They aren't the stack's, and each time they are made anew they are on their own network alone.
for name in portside-proxy-caddy-1 portside-agent-prometheus-1 portside-agent-blackbox-1; do
  connected=$(container_says "$name" "{{if index .NetworkSettings.Networks \"$site_name\"}}yes{{else}}no{{end}}") || exit "$?"
  [ "$connected" = no ] || continue
  said=$(swarm network connect "$site_name" "$name" 2>&1) || {
    # The Swarm gives a node an address only where it may have containers, and otherwise no answer.
    [ "$?" != 124 ] || said="no answer within 20 s. Where the node is drained or paused, there is none: docker node update --availability active NODE"
    fail 75 "$name could not be connected to network $site_name: $said"
  }
done
find_containers "$slot" "$release" "$web"
declare -A silent=()
names=""
for id in "${ids[@]}"; do
  said=$(container_says "$id" '{{.Name}} {{.State.Status}}') || exit "$?"
  read -r name state <<<"$said"
  [ "$state" = running ] || continue
  address=$(gateway_address "$id")
  [ -n "$address" ] || fail 75 "container ${name#/} has no address at this host"
  silent["$name"]="$address" names+="${name#/}"$'\n'
done
while [ "${#silent[@]}" -gt 0 ]; do
  holds "$token" || fail 73 "the release lock of $site_name was lost"
  for name in "${!silent[@]}"; do
    ! ready "${silent[$name]}" "$port" "$path" 2>/dev/null || unset 'silent[$name]'
  done
  [ "${#silent[@]}" -gt 0 ] || break
  if [ "$SECONDS" -ge "$deadline" ]; then
    why=""
    for name in "${!silent[@]}"; do
      ready "${silent[$name]}" "$port" "$path" 2>/dev/null || why+="; ${name#/}: $heard"
    done
    [ -n "$why" ] || break
    last_words "${ids[@]}" >&2
    fail 75 "not ready in time: ${why#; }"
  fi
  sleep 0.1
done
record "$end"
printf '%s' "$names"

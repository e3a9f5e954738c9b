# shellcheck shell=bash
# The networks of a Swarm's sites, which Compose knows nothing of: a container that it makes anew isn't on them.

# Into the array `networks`: those of a Swarm that containers $@ are on, of which some may not be there. Not what else goes
# by a site's name: a node that left one Swarm for another may still list a network of the first.
remember_networks() {
  local overlays mine
  networks=()
  overlays=$(docker network ls --filter driver=overlay --format '{{.Name}}')
  [ -n "$overlays" ] || return 0
  mine=$(docker inspect --format '{{range $name, $_ := .NetworkSettings.Networks}}{{println $name}}{{end}}' "$@" 2>/dev/null || true)
  mapfile -t networks < <(printf '%s\n' "$mine" | sed '/^$/d' | sort -u | { grep -xF "$overlays" || true; })
}

# Each of containers $@ that is there onto them again.
join_networks() {
  local name network
  for name in "$@"; do
    for network in "${networks[@]}"; do join_network "$network" "$name"; done
  done
}

# A Swarm that has no leader for the moment has one again within seconds.
join_network() {
  local said=""
  for _ in 1 2 3 4 5; do
    said=$(timeout 20 docker network connect "$1" "$2" 2>&1) && return 0
    case "$said" in *"already exists in network"* | *"o such container"*) return 0 ;; esac
    sleep 2
  done
  fail 75 "$2 could not be connected to network $1: $said"
}

# shellcheck shell=bash
# The networks of a Swarm's sites, which Compose knows nothing of: a container that it makes anew isn't on them.

# Into the array `networks`: the sites' that this node knows, and those that containers $@ are on.
remember_networks() {
  local overlays mine
  networks=()
  overlays=$(docker network ls --filter driver=overlay --format '{{.Name}}')
  [ -n "$overlays" ] || return 0
  mine=$(docker inspect --format '{{range $name, $_ := .NetworkSettings.Networks}}{{println $name}}{{end}}' "$@" 2>/dev/null || true)
  mapfile -t networks < <({
    docker network ls --filter driver=overlay --filter label=dev.portside.site --format '{{.Name}}'
    grep -xFf <(printf '%s\n' "$mine" | sed '/^$/d') <<<"$overlays" || true
  } | sort -u)
}

# Each of containers $@ that is there onto them again.
join_networks() {
  local name network said
  for name in "$@"; do
    for network in "${networks[@]}"; do
      said=$(timeout 20 docker network connect "$network" "$name" 2>&1) || case "$said" in
      *"already exists in network"* | *"o such container"*) ;;
      *) fail 75 "$name could not be connected to network $network: $said" ;;
      esac
    done
  done
}

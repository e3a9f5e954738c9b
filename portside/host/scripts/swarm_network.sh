# shellcheck shell=bash
# The network of a site in a Swarm, on which the tasks, the proxies of all nodes and the accessories meet.
# Argument: token.
guard "$1"
kind=$(swarm network inspect --format '{{.Driver}} {{.Attachable}}' "$site_name" 2>/dev/null) || {
  manages || fail_unseen_network
  swarm network create --driver overlay --attachable --label "dev.portside.site=$site_name" "$site_name" >/dev/null
  exit 0
}
[ "$kind" = "overlay true" ] ||
  fail 76 "network $site_name is no attachable overlay network: it is from before this environment was a Swarm's. Stop what is on it and remove it: docker network rm $site_name. What was an accessory there comes back with: invoke accessories"

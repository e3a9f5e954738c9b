# shellcheck shell=bash
# Start this host's agent, shared by every site on it, or give it its new files. Arguments: token, fingerprint, seconds
# to wait, what this host and this environment are called, Compose profiles ("-": none).
# Standard input: a tar of the agent's folder. Whatever isn't right here is no reason to touch a release.
token="$1" fingerprint="$2" seconds="$3" host="$4" env="$5" profiles="$6"
guard "$token"
agent="$base/agent"
mkdir -p "$agent/secrets" "$agent/wal" "$agent/alloy"
(umask 022 && mkdir -p "$base/targets" "$base/metrics" "$agent/config")
exec 7>"$agent/flock"
flock -w 60 7 || fail 74 "another portside command is changing the agent"
# What a host of several environments calls itself doesn't change with whoever deployed last.
[ -e "$agent/env" ] || put "$agent/env" "$env"

rm -rf "$agent/.new"
mkdir "$agent/.new"
tar -x -f - -C "$agent/.new"
chmod 644 "$agent/.new/config/"*
uid=$(id -u) gid=$(id -g)
if [ "$uid" = 0 ]; then
  # Root can give its files away, so the agent needn't be root.
  uid=65532 gid=65532
  chown -R "$uid:$gid" "$agent/.new/secrets" "$agent/wal" "$agent/alloy"
  chown "$uid:$gid" "$agent/secrets"
fi
mv -f "$agent/.new/config/"* "$agent/config/"
mv -f "$agent/.new/secrets/"* "$agent/secrets/"
mv -f "$agent/.new/compose.yaml" "$agent/.new/images.env" "$agent/"
rm -rf "$agent/.new"

for network in portside portside-observability; do
  docker network inspect "$network" >/dev/null 2>&1 || docker network create "$network" >/dev/null
done
gateway=$(docker network inspect -f '{{range .IPAM.Config}}{{.Gateway}} {{end}}' portside)
socket=/var/run/docker.sock
case "${DOCKER_HOST:-}" in unix://*) socket="${DOCKER_HOST#unix://}" ;; esac
# Some containers that play a host have no kernel log to read: then nobody is told whom the kernel killed.
kmsg=/dev/null
[ ! -e /dev/kmsg ] || kmsg=/dev/kmsg
# Mounts that come and go later are seen only where the host shares them, as systemd does.
propagation=""
if grep -qs ' / / .*shared:' /proc/self/mountinfo; then propagation=rslave; fi
[ "$profiles" != "-" ] || profiles=""
# A container of a profile that is gone would stay; --remove-orphans takes it only when Compose doesn't know it.
for known in alloy docker-proxy cadvisor; do
  case ",$profiles," in
  *",${known/docker-proxy/alloy},"*) ;;
  *) docker rm -f "portside-agent-$known-1" >/dev/null 2>&1 || true ;;
  esac
done
# What asks the service's containers.
asking=(portside-agent-prometheus-1 portside-agent-blackbox-1)
# The proxy was led there by the release.
remember_networks portside-proxy-caddy-1 "${asking[@]}"
PORTSIDE_UID="$uid" PORTSIDE_GID="$gid" PORTSIDE_CONFIG="$fingerprint" PORTSIDE_HOST="$host" \
  PORTSIDE_ENV="$(cat "$agent/env")" PORTSIDE_GATEWAY="${gateway%% *}" PORTSIDE_PROPAGATION="$propagation" \
  PORTSIDE_DOCKER_SOCKET="$socket" PORTSIDE_DOCKER_GID="$(stat -c %g "$socket" 2>/dev/null || echo 0)" \
  PORTSIDE_KMSG="$kmsg" COMPOSE_PROFILES="$profiles" \
  timeout "$((seconds + 10))" docker compose -p portside-agent --project-directory "$agent" -f "$agent/compose.yaml" \
  --env-file "$agent/images.env" \
  up -d --wait --wait-timeout "$seconds" --no-build --pull never --remove-orphans >"$agent/up.log" 2>&1 || {
  tail -n 15 "$agent/up.log" >&2
  mapfile -t ids < <(unwell dev.portside.role=agent | sort -u)
  last_words "${ids[@]}" >&2
  fail 75 "the agent did not start"
}
join_networks "${asking[@]}"

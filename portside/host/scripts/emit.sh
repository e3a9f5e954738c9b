# shellcheck shell=bash
# How a host describes itself: sections, each opened by a line "@@<name>". Read by portside/facts.py.

emit_state() {
  local expires
  printf '@@time\n%s\n' "${EPOCHREALTIME/,/.}"
  printf '@@base\n%s\n' "$base"
  printf '@@current\n'
  show "$site/current.json"
  printf '\n@@route\n'
  routed
  printf '@@maintenance\n'
  show "$base/proxy/routes/$site_name/maintenance"
  printf '@@proxy_config\n'
  show "$base/proxy/config/caddy.json"
  printf '\n@@proxy_compose\n'
  show "$base/proxy/compose.yaml"
  printf '\n@@told\n'
  show "$base/targets/$site_name.site.json"
  printf '\n@@lock\n'
  if [ -e "$site/lock/holder.json" ]; then
    expires=$(show "$site/lock/expires")
    printf '%s %s\n' "${expires:-0}" "$(<"$site/lock/holder.json")"
  fi
  printf '@@journal\n'
  show "$site/maintenance"
  [ ! -e "$site/journal.jsonl" ] || tail -n 400 "$site/journal.jsonl"
  # Its last line may be half of one.
  printf '\n@@releases\n'
  # Each ends with a newline. There may be none yet.
  shopt -s nullglob
  local records=("$site"/releases/*/release.json)
  shopt -u nullglob
  [ "${#records[@]}" = 0 ] || cat "${records[@]}"
  # One look at the Engine for all of it: each costs tens of milliseconds.
  local all="" owner role project service config id state name image status mine="" proxies="" agents="" accessories=""
  local credentials
  credentials=$(show "$base/agent/secrets/fingerprint")
  all=$(docker ps -a --no-trunc --format '{{.Label "dev.portside.site"}}|{{.Label "dev.portside.role"}}|{{.Label "com.docker.compose.project"}}|{{.Label "dev.portside.release"}}|{{.Label "com.docker.compose.service"}}|{{.Label "dev.portside.config"}}|{{.ID}}|{{.State}}|{{.Names}}|{{.Image}}|{{.Status}}')
  while IFS='|' read -r owner role project release service config id state name image status; do
    if [ "$owner" = "$site_name" ]; then
      mine+="$id $project $release $service $state $name $status"$'\n'
    elif [ "$role" = proxy ]; then
      proxies+="$state $config $image"$'\n'
    elif [ "$role" = agent ]; then
      agents+="$state $config ${credentials:-none} $service"$'\n'
    elif [ "$project" = "$site_name-accessories" ]; then
      accessories+="$service $state"$'\n'
    fi
  done <<<"$all"
  printf '@@containers\n%s@@proxy\n%s@@agent\n%s@@accessories\n' "$mine" "$proxies" "$agents"
  show "$site/accessories/fingerprint"
  printf '%s' "$accessories"
}

# emit_facts FULL: what a preflight judges; and, where FULL is an image's name, what this host has under it.
emit_facts() {
  local key value root home_free docker_free
  printf '@@machine\narch %s\ncpus %s\n' "$(uname -m)" "$(nproc)"
  while read -r key value _; do
    [ "$key" != MemAvailable: ] || printf 'memory_kb %s\n' "$value"
  done </proc/meminfo
  emit_engine
  root=$(sed -n 's/^docker_root //p' <<<"$engine")
  {
    read -r _
    read -r _ _ _ home_free _
    read -r _ _ _ docker_free _ || true
  } < <(df -Pk "$HOME" ${root:+"$root"} 2>/dev/null)
  printf 'home_free_kb %s\n' "$home_free"
  [ -z "$docker_free" ] || printf 'docker_free_kb %s\n' "$docker_free"
  [ "$1" != 1 ] || return 0
  printf '@@images\n'
  docker image inspect --format '{{.ID}} {{json .RepoTags}} {{json .RepoDigests}} {{json .RootFS.Layers}}' "$1" 2>/dev/null || true
}

# Versions of Engine and Compose and where the Engine keeps its data, into `engine` too. To ask takes longer than
# all other facts together, and the answer stays the same until a program, the configuration or the Engine's process
# is replaced: then one of these files is another one.
emit_engine() {
  local composing signature cached="$base/engine"
  find_compose
  signature=$(stat -L -c '%n %i %s %Y' "$(command -v docker)" "$(command -v dockerd)" "${composing[0]}" \
    "${DOCKER_CONFIG:-$HOME/.docker}/config.json" /etc/docker/daemon.json "${DOCKER_HOST:-/var/run/docker.sock}" 2>/dev/null || true)
  engine=$(show "$cached")
  if [ -z "$engine" ] || [ "${engine#*$'\n'@@signature$'\n'}" != "$signature" ]; then
    # `docker info` asks every plugin for its version anyway.
    engine=$(docker info --format 'engine {{.ServerVersion}}
docker_root {{.DockerRootDir}}
{{range .ClientInfo.Plugins}}{{if eq .Name "compose"}}compose {{.Version}}{{end}}{{end}}' 2>&1) || true
    case "$engine" in
    *"compose "*) ;;
    *) engine+=$'\n'"compose $(docker compose version --short 2>&1 | tail -n 1)" ;;
    esac
    # Only an answer is kept, never a complaint. Two commands that look at once are in each other's way: what counts is
    # the answer, and no look ends for not keeping it.
    case "$engine" in
    "engine "[0-9]*"compose "[0-9v]*) put "$cached" "$engine"$'\n'@@signature$'\n'"$signature" 2>/dev/null || true ;;
    esac
  fi
  engine="${engine%$'\n'@@signature$'\n'*}"
  printf '%s\n' "$engine"
}

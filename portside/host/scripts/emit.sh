# shellcheck shell=bash
# How a host describes itself: sections, each opened by a line "@@<name>". Read by portside/facts.py.

emit_state() {
  local release
  printf '@@time\n%s\n' "$(date -u +%s.%N)"
  printf '@@base\n%s\n' "$base"
  printf '@@current\n'
  show "$site/current.json"
  printf '\n@@route\n'
  routed
  printf '@@maintenance\n'
  show "$base/proxy/routes/$site_name/maintenance"
  printf '@@proxy_config\n'
  show "$base/proxy/config/caddy.json"
  printf '\n@@lock\n'
  if [ -e "$site/lock/holder.json" ]; then
    printf '%s %s\n' "$(cat "$site/lock/expires" 2>/dev/null || echo 0)" "$(cat "$site/lock/holder.json")"
  fi
  printf '@@journal\n'
  [ ! -e "$site/journal.jsonl" ] || tail -n 400 "$site/journal.jsonl"
  printf '@@releases\n'
  for release in "$site"/releases/*/release.json; do
    [ -e "$release" ] || continue
    cat "$release"
    printf '\n'
  done
  # One look at the Engine for all of it: each costs tens of milliseconds.
  local all="" owner role project service config id state name image status mine="" proxies="" agents="" accessories=""
  all=$(docker ps -a --no-trunc --format '{{.Label "dev.portside.site"}}|{{.Label "dev.portside.role"}}|{{.Label "com.docker.compose.project"}}|{{.Label "dev.portside.release"}}|{{.Label "com.docker.compose.service"}}|{{.Label "dev.portside.config"}}|{{.ID}}|{{.State}}|{{.Names}}|{{.Image}}|{{.Status}}')
  while IFS='|' read -r owner role project release service config id state name image status; do
    if [ "$owner" = "$site_name" ]; then
      mine+="$id $project $release $service $state $name $status"$'\n'
    elif [ "$role" = proxy ]; then
      proxies+="$state $config $image"$'\n'
    elif [ "$role" = agent ]; then
      agents+="$state $config $service"$'\n'
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
  printf '@@machine\n'
  printf 'arch %s\ncpus %s\n' "$(uname -m)" "$(nproc)"
  awk '/^MemAvailable:/ {print "memory_kb", $2}' /proc/meminfo
  df -Pk "$HOME" | awk 'NR == 2 {print "home_free_kb", $4}'
  local info root
  # `docker info` asks every plugin for its version anyway.
  info=$(docker info --format 'engine {{.ServerVersion}}
docker_root {{.DockerRootDir}}
{{range .ClientInfo.Plugins}}{{if eq .Name "compose"}}compose {{.Version}}{{end}}{{end}}' 2>&1) || true
  printf '%s\n' "$info"
  root=$(sed -n 's/^docker_root //p' <<<"$info")
  [ -z "$root" ] || df -Pk "$root" 2>/dev/null | awk 'NR == 2 {print "docker_free_kb", $4}'
  case "$info" in
  *"compose "*) ;;
  *) printf 'compose %s\n' "$(docker compose version --short 2>&1 | tail -n 1)" ;;
  esac
  [ "$1" != 1 ] || return 0
  printf '@@images\n'
  docker image inspect --format '{{.ID}} {{json .RepoTags}} {{json .RepoDigests}} {{json .RootFS.Layers}}' "$1" 2>/dev/null || true
}

# shellcheck shell=bash
# How a host describes itself: sections, each opened by a line "@@<name>". Read by portside/facts.py.

emit_state() {
  local release
  printf '@@time\n%s\n' "$(date -u +%s.%N)"
  printf '@@base\n%s\n' "$base"
  printf '@@current\n'
  cat "$site/current.json" 2>/dev/null || true
  printf '\n@@route\n'
  routed
  printf '@@maintenance\n'
  cat "$base/proxy/routes/$site_name/maintenance" 2>/dev/null || true
  printf '@@proxy_config\n'
  cat "$base/proxy/config/caddy.json" 2>/dev/null || true
  printf '\n@@lock\n'
  if [ -e "$site/lock/holder.json" ]; then
    printf '%s %s\n' "$(cat "$site/lock/expires" 2>/dev/null || echo 0)" "$(cat "$site/lock/holder.json")"
  fi
  printf '@@journal\n'
  tail -n 400 "$site/journal.jsonl" 2>/dev/null || true
  printf '@@releases\n'
  for release in "$site"/releases/*/release.json; do
    [ -e "$release" ] || continue
    cat "$release"
    printf '\n'
  done
  printf '@@containers\n'
  docker ps -a --no-trunc --filter "label=dev.portside.site=$site_name" \
    --format '{{.ID}} {{.Label "com.docker.compose.project"}} {{.Label "dev.portside.release"}} {{.Label "com.docker.compose.service"}} {{.State}} {{.Names}} {{.Status}}'
  printf '@@proxy\n'
  docker ps -a --filter "label=dev.portside.role=proxy" --format '{{.State}} {{.Label "dev.portside.config"}} {{.Image}}'
  printf '@@accessories\n'
  cat "$site/accessories/fingerprint" 2>/dev/null || true
  docker ps -a --filter "label=com.docker.compose.project=$site_name-accessories" \
    --format '{{.Label "com.docker.compose.service"}} {{.State}}'
}

emit_facts() {
  printf '@@machine\n'
  printf 'arch %s\ncpus %s\n' "$(uname -m)" "$(nproc)"
  awk '/^MemAvailable:/ {print "memory_kb", $2}' /proc/meminfo
  df -Pk "$HOME" | awk 'NR == 2 {print "home_free_kb", $4}'
  docker info --format 'engine {{.ServerVersion}}
docker_root {{.DockerRootDir}}' 2>&1 || true
  df -Pk "$(docker info --format '{{.DockerRootDir}}' 2>/dev/null)" 2>/dev/null | awk 'NR == 2 {print "docker_free_kb", $4}'
  printf 'compose %s\n' "$(docker compose version --short 2>&1 | tail -n 1)"
  printf '@@images\n'
  # A list of ids, one per word, is what `inspect` takes.
  # shellcheck disable=SC2046
  docker image inspect $(docker image ls -q --no-trunc | sort -u) \
    --format '{{.ID}} {{json .RepoTags}} {{json .RepoDigests}} {{json .RootFS.Layers}}' 2>/dev/null || true
}
